//! What each change of accounts and API keys does to the tables.
//!
//! As in [`super::changes`]: everything is read before anything is written.

use super::changes::{Removal, refused};
use super::codec;
use super::keys::{account_key, owned_key, tail};
use super::records::{KeyPlace, Mark, Number};
use super::schema::{
    ACCOUNTS, Change, KEYS, LAST_ACCOUNT, LINKS, NAMES, OWNED, PUBLICS, STATE, Snapshot,
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
fn owned_range(owner: AccountId, after: Option<&Lookup>) -> ([u8; 40], [u8; 40]) {
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
    STATE.put(to, LAST_ACCOUNT, &Number(number))?;
    ACCOUNTS.put(to, &account_key(id), &account)?;
    NAMES.put(to, name.as_bytes(), &Number(number))?;
    if let Some(mut key) = key {
        key.account = id;
        put_key(to, &key)?;
    }
    Ok(Some(id))
}

pub(super) fn edit_account(
    to: &Change<'_>,
    id: AccountId,
    edit: AccountEdit,
) -> Result<AccountEdited> {
    let Some(old) = ACCOUNTS.get(to, &account_key(id))? else {
        return Ok(AccountEdited::Gone);
    };
    let mut new = old.clone();
    if let Some(role) = edit.role {
        new.role = role;
    }
    if let Some(disabled) = edit.disabled {
        new.disabled = disabled;
    }
    if let Some((password, by_password)) = edit.password {
        new.password = password;
        new.wraps.by_password = by_password;
    }
    if let Some(by_master) = edit.by_master {
        new.wraps.by_master = Some(by_master);
    }
    if let Some(by_recovery) = edit.by_recovery {
        new.wraps.by_recovery = Some(by_recovery);
    }
    if is_working_admin(&old) && !is_working_admin(&new) && is_last_admin(to, id)? {
        return Ok(AccountEdited::LastAdmin);
    }
    if new != old {
        ACCOUNTS.put(to, &account_key(id), &new)?;
    }
    Ok(AccountEdited::Done)
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
    if is_working_admin(&account) && is_last_admin(to, id)? {
        return Ok(AccountRemoved::LastAdmin);
    }
    if !LINKS.under(to, &account_key(id), 1)?.is_empty() {
        return Ok(AccountRemoved::HasLinks);
    }
    let keys = keys_of(to, id, None, KEYS_STEP + 1)?;
    for key in keys.iter().take(KEYS_STEP) {
        delete_key(to, key)?;
    }
    let all_ended = ended::end_those_of(to, id, SESSIONS_STEP)?;
    if keys.len() > KEYS_STEP || !all_ended {
        return Ok(AccountRemoved::HasKeys);
    }
    NAMES.delete(to, folded_name(&account.name).as_bytes())?;
    ACCOUNTS.delete(to, &account_key(id))?;
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

fn expect_new(from: &impl Snapshot, key: &ApiKey) -> Result<()> {
    if KEYS.has(from, &key.lookup.0)? || PUBLICS.has(from, key.public_id.as_bytes())? {
        return Err(refused("an API key of that hash or public id is there"));
    }
    Ok(())
}

fn put_key(to: &Change<'_>, key: &ApiKey) -> Result<()> {
    OWNED.put(to, &owned_key(key.account, &key.lookup), &Mark)?;
    PUBLICS.put(to, key.public_id.as_bytes(), &KeyPlace(key.lookup))?;
    KEYS.put(to, &key.lookup.0, key)
}

fn delete_key(to: &Change<'_>, key: &ApiKey) -> Result<()> {
    OWNED.delete(to, &owned_key(key.account, &key.lookup))?;
    PUBLICS.delete(to, key.public_id.as_bytes())?;
    KEYS.delete(to, &key.lookup.0)
}

fn is_working_admin(account: &Account) -> bool {
    account.role == Role::Admin && !account.disabled
}

/// Whether no account but `id` could look after the server.
fn is_last_admin(from: &impl Snapshot, id: AccountId) -> Result<bool> {
    let mut after = None;
    loop {
        let page = accounts(from, after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(true);
        };
        after = Some(last.id);
        if page.iter().any(|a| a.id != id && is_working_admin(a)) {
            return Ok(false);
        }
    }
}
