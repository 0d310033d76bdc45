//! What each change of accounts and API keys does to the tables.
//!
//! As in [`super::changes`]: everything is read before anything is written.

use super::changes::{Removal, refused};
use super::codec;
use super::keys::{account_key, owned_key, tail};
use super::records::{KeyPlace, Mark, Number};
use super::schema::{
    ACCOUNTS, Change, KEYS, LAST_ACCOUNT, LINKS, NAMES, OWNED, PUBLICS, STATE, SUPER_ADMIN,
    Snapshot,
};
use super::{AccountEdit, AccountEdited, AccountRemoved, Freed, KeyAdded, MetadataError, ended};
use crate::model::{Account, AccountId, ApiKey, Lookup, Role, folded_name};
use std::ops::Bound;

type Result<T> = std::result::Result<T, MetadataError>;

/// Accounts looked at in one go.
const PAGE: usize = 64;
/// API keys that go in one step of a removal: bounds memory, and how long other changes wait.
const KEYS_STEP: usize = 128;
/// Uploads in chunks that end in one step of a removal.
const SESSIONS_STEP: usize = 64;

/// Whether that account was there once and is no more. Its number is not given out again.
pub(super) fn is_removed(from: &impl Snapshot, id: AccountId) -> Result<bool> {
    let last = STATE
        .get(from, LAST_ACCOUNT)?
        .map_or(0, |Number(last)| last);
    Ok(id.0 <= last && !ACCOUNTS.has(from, &account_key(id))?)
}

/// Up to `limit` accounts after `after`, in the order of their numbers.
pub(super) fn accounts(
    from: &impl Snapshot,
    after: Option<AccountId>,
    limit: usize,
) -> Result<Vec<Account>> {
    let after = after.map(account_key);
    let start = after
        .as_ref()
        .map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
    let rows = ACCOUNTS.range(from, (start, Bound::Unbounded), limit)?;
    Ok(rows.into_iter().map(|(_, account)| account).collect())
}

/// Up to `limit` API keys of `owner` after `after`, in the order of their hashes.
pub(super) fn keys_of(
    from: &impl Snapshot,
    owner: AccountId,
    after: Option<&Lookup>,
    limit: usize,
) -> Result<Vec<ApiKey>> {
    let (first, last) = owned_range(owner, after);
    let start = match after {
        Some(_) => Bound::Excluded(&first[..]),
        None => Bound::Included(&first[..]),
    };
    OWNED
        .range(from, (start, Bound::Included(&last)), limit)?
        .iter()
        .map(|(key, Mark)| KEYS.need(from, &tail::<32>(OWNED.name, key)?))
        .collect()
}

/// Where the API keys of `owner` from `after` on are, in `owned`.
pub(super) fn owned_range(owner: AccountId, after: Option<&Lookup>) -> ([u8; 40], [u8; 40]) {
    (
        owned_key(owner, after.unwrap_or(&Lookup([0; 32]))),
        owned_key(owner, &Lookup([u8::MAX; 32])),
    )
}

/// The API key with that public id.
pub(super) fn key_of_public_id(from: &impl Snapshot, public_id: &str) -> Result<Option<ApiKey>> {
    PUBLICS
        .get(from, public_id.as_bytes())?
        .map(|KeyPlace(lookup)| KEYS.need(from, &lookup.0))
        .transpose()
}

pub(super) fn add_account(
    to: &Change<'_>,
    mut account: Account,
    key: Option<ApiKey>,
) -> Result<Option<AccountId>> {
    let name = folded_name(&account.name);
    if NAMES.has(to, name.as_bytes())? {
        return Ok(None);
    }
    if let Some(key) = &key {
        expect_new(to, key)?;
    }
    let last = STATE.get(to, LAST_ACCOUNT)?.map_or(0, |Number(last)| last);
    let number = last
        .checked_add(1)
        .ok_or_else(|| refused("no account number is left"))?;
    let id = AccountId(number);
    // The counter is behind the table only when it was damaged.
    if ACCOUNTS.has(to, &account_key(id))? {
        return Err(codec::damaged(STATE.name, LAST_ACCOUNT));
    }
    account.id = id;
    let is_first_admin = account.is_working_admin() && !STATE.has(to, SUPER_ADMIN)?;
    account.role = match account.role {
        Role::User => Role::User,
        Role::SuperAdmin | Role::Admin if is_first_admin => Role::SuperAdmin,
        Role::SuperAdmin | Role::Admin => Role::Admin,
    };
    if is_first_admin {
        STATE.put(to, SUPER_ADMIN, &Number(number))?;
    }
    STATE.put(to, LAST_ACCOUNT, &Number(number))?;
    ACCOUNTS.put(to, &account_key(id), &account)?;
    NAMES.put(to, name.as_bytes(), &Number(number))?;
    if let Some(mut key) = key {
        key.account = id;
        put_key(to, &key)?;
    }
    Ok(Some(id))
}

/// Changes an account, as who looks after the machine wants it. When the super admin would not be a
/// working administrator any more, the oldest other one takes over.
pub(super) fn edit_account(
    to: &Change<'_>,
    id: AccountId,
    edit: AccountEdit,
) -> Result<AccountEdited> {
    let Some(old) = ACCOUNTS.get(to, &account_key(id))? else {
        return Ok(AccountEdited::Gone);
    };
    let mut new = old.clone();
    // The super admin is an administrator already.
    if let Some(role) = edit.role
        && role.is_admin() != old.role.is_admin()
    {
        new.role = role.max(Role::Admin);
        new.permissions = role.usual();
    }
    if let Some(disabled) = edit.disabled {
        new.disabled = disabled;
        if !disabled {
            new.leaving = None;
        }
    }
    if let Some((password, by_password)) = edit.password {
        new.password = password;
        new.wraps.by_password = by_password;
        new.must_change_password = false;
    }
    if let Some(by_master) = edit.by_master {
        new.wraps.by_master = Some(by_master);
    }
    if let Some(by_recovery) = edit.by_recovery {
        new.wraps.by_recovery = Some(by_recovery);
    }
    let heir = match succession(to, &old, new.is_working_admin())? {
        Succession::LastAdmin => return Ok(AccountEdited::LastAdmin),
        Succession::None => None,
        Succession::To(heir) => Some(heir),
    };
    if heir.is_some() {
        new.role = new.role.max(Role::Admin);
    } else if new.is_working_admin() && !STATE.has(to, SUPER_ADMIN)? {
        new.role = Role::SuperAdmin;
        STATE.put(to, SUPER_ADMIN, &Number(id.0))?;
    }
    if new != old {
        ACCOUNTS.put(to, &account_key(id), &new)?;
    }
    heir.map_or(Ok(()), |heir| crown(to, heir))?;
    Ok(AccountEdited::Done)
}

/// Who is the super admin when an account changes.
enum Succession {
    /// Whoever it is now.
    None,
    /// This one.
    To(Account),
    /// Nobody could be.
    LastAdmin,
}

/// Who is the super admin after `old`, if that one does not stay a working administrator.
fn succession(from: &impl Snapshot, old: &Account, stays: bool) -> Result<Succession> {
    if stays || old.role != Role::SuperAdmin {
        return Ok(Succession::None);
    }
    Ok(oldest_other_admin(from, old.id)?.map_or(Succession::LastAdmin, Succession::To))
}

fn crown(to: &Change<'_>, mut heir: Account) -> Result<()> {
    heir.role = Role::SuperAdmin;
    heir.permissions = heir.role.usual();
    STATE.put(to, SUPER_ADMIN, &Number(heir.id.0))?;
    ACCOUNTS.put(to, &account_key(heir.id), &heir)
}

/// Removes up to `limit` links of an account, with all that goes with them.
pub(super) fn remove_links_of(
    to: &Change<'_>,
    owner: AccountId,
    limit: usize,
) -> Result<Vec<Freed>> {
    let mut freed = Vec::new();
    for (_, link) in LINKS.under(to, &account_key(owner), limit)? {
        // One after the other: several of them may share a blob, and the last one frees it.
        match Removal::plan(to, link) {
            Ok(removal) => freed.push(removal.run(to)?),
            // What is done stands; the next call meets the damage first, and reports it.
            Err(_) if !freed.is_empty() => break,
            Err(damage) => return Err(damage),
        }
    }
    Ok(freed)
}

/// Removes an account that has no links any more, with the last [`KEYS_STEP`] of its API keys and the
/// last [`SESSIONS_STEP`] of its uploads in chunks. As long as it has more of them, it stays, and only
/// they go.
pub(super) fn remove_account(to: &Change<'_>, id: AccountId) -> Result<AccountRemoved> {
    let Some(account) = ACCOUNTS.get(to, &account_key(id))? else {
        return Ok(AccountRemoved::Gone);
    };
    let heir = match succession(to, &account, false)? {
        Succession::LastAdmin => return Ok(AccountRemoved::LastAdmin),
        Succession::None => None,
        Succession::To(heir) => Some(heir),
    };
    if !LINKS.under(to, &account_key(id), 1)?.is_empty() {
        return Ok(AccountRemoved::HasLinks);
    }
    let keys = keys_of(to, id, None, KEYS_STEP + 1)?;
    let sessions = ended::those_of(to, id, SESSIONS_STEP + 1)?;
    for key in keys.iter().take(KEYS_STEP) {
        delete_key(to, key)?;
    }
    for session in sessions.iter().take(SESSIONS_STEP) {
        ended::end_for_later(to, session)?;
    }
    if keys.len() > KEYS_STEP || sessions.len() > SESSIONS_STEP {
        return Ok(AccountRemoved::HasKeys);
    }
    NAMES.delete(to, folded_name(&account.name).as_bytes())?;
    ACCOUNTS.delete(to, &account_key(id))?;
    heir.map_or(Ok(()), |heir| crown(to, heir))?;
    Ok(AccountRemoved::Done)
}

/// Adds an API key, unless its account has `most` of them.
pub(super) fn add_api_key(to: &Change<'_>, key: &ApiKey, most: u64) -> Result<KeyAdded> {
    expect_new(to, key)?;
    if !ACCOUNTS.has(to, &account_key(key.account))? {
        return Ok(KeyAdded::OwnerGone);
    }
    let (first, last) = owned_range(key.account, None);
    let all = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    if OWNED.count_range(to, all, most)? >= most {
        return Ok(KeyAdded::TooMany);
    }
    put_key(to, key)?;
    Ok(KeyAdded::Done)
}

pub(super) fn remove_api_key(to: &Change<'_>, lookup: &Lookup) -> Result<bool> {
    let Some(key) = KEYS.get(to, &lookup.0)? else {
        return Ok(false);
    };
    delete_key(to, &key)?;
    Ok(true)
}

pub(super) fn expect_new(from: &impl Snapshot, key: &ApiKey) -> Result<()> {
    if KEYS.has(from, &key.lookup.0)? || PUBLICS.has(from, key.public_id.as_bytes())? {
        return Err(refused("an API key of that hash or public id is there"));
    }
    Ok(())
}

pub(super) fn put_key(to: &Change<'_>, key: &ApiKey) -> Result<()> {
    OWNED.put(to, &owned_key(key.account, &key.lookup), &Mark)?;
    PUBLICS.put(to, key.public_id.as_bytes(), &KeyPlace(key.lookup))?;
    KEYS.put(to, &key.lookup.0, key)
}

pub(super) fn delete_key(to: &Change<'_>, key: &ApiKey) -> Result<()> {
    OWNED.delete(to, &owned_key(key.account, &key.lookup))?;
    PUBLICS.delete(to, key.public_id.as_bytes())?;
    KEYS.delete(to, &key.lookup.0)
}

/// The oldest account but `id` that could look after the server.
fn oldest_other_admin(from: &impl Snapshot, id: AccountId) -> Result<Option<Account>> {
    let mut after = None;
    loop {
        let page = accounts(from, after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after = Some(last.id);
        let mut others = page.into_iter().filter(|other| other.id != id);
        if let Some(heir) = others.find(Account::is_working_admin) {
            return Ok(Some(heir));
        }
    }
}
