//! What each change that an account asks for does to the tables, and whether it may be.
//!
//! As in [`super::changes`]: everything is read before anything is written.

use super::accounts::{self, delete_key, keys_of};
use super::keys::{account_key, owned_key, tail};
use super::records::Mark;
use super::rewrite::hand_over;
use super::schema::{ACCOUNTS, Change, KEYS, LINKS, OWNED, Snapshot, UPLOADING, find_link};
use super::users::{Actor, KeyChange, KeyChanged, MovedLink, Use, UserChange, UserChanged};
use super::{KeyAdded, MetadataError};
use crate::model::{
    Account, AccountId, ApiKey, Leaving, Link, Lookup, Permissions, Role, Timestamp,
    UserPermissions,
};
use std::ops::Bound;

type Result<T> = std::result::Result<T, MetadataError>;

/// API keys of an account that are looked at in one go.
const PAGE: usize = 64;
/// A use is worth a write when the last one that was written is older, in seconds.
const USE_STEP: u64 = 3600;

pub(super) fn leaving(from: &impl Snapshot, id: AccountId) -> Result<Option<Leaving>> {
    let account = ACCOUNTS.get(from, &account_key(id))?;
    Ok(account.and_then(|account| account.leaving))
}

/// What who asks may do, now, and its account. `None` when the credential opens nothing any more.
fn rights(from: &impl Snapshot, by: &Actor) -> Result<Option<(Account, Permissions)>> {
    let account = ACCOUNTS.get(from, &account_key(by.account))?;
    let Some(account) = account.filter(|account| !account.disabled) else {
        return Ok(None);
    };
    if by.password.is_some_and(|params| params != account.password) {
        return Ok(None);
    }
    let mut rights = account.rights();
    if let Some(lookup) = &by.key {
        let key = KEYS.get(from, &lookup.0)?;
        let key = key.filter(|key| key.account == account.id && !key.is_over(by.now));
        let Some(key) = key else { return Ok(None) };
        rights = rights.and(key.permissions);
    }
    Ok(Some((account, rights)))
}

pub(super) fn allows(from: &impl Snapshot, by: &Actor, needed: Permissions) -> Result<bool> {
    Ok(rights(from, by)?.is_some_and(|(_, rights)| rights.allow(needed)))
}

pub(super) fn api_keys(
    from: &impl Snapshot,
    after: Option<(AccountId, Lookup)>,
    limit: usize,
) -> Result<Vec<ApiKey>> {
    let after = after.map(|(account, lookup)| owned_key(account, &lookup));
    let start = after
        .as_ref()
        .map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
    OWNED
        .range(from, (start, Bound::Unbounded), limit)?
        .iter()
        .map(|(key, Mark)| KEYS.need(from, &tail::<32>(OWNED.name, key)?))
        .collect()
}

pub(super) fn create_key(
    to: &Change<'_>,
    by: &Actor,
    mut key: ApiKey,
    most: u64,
) -> Result<KeyAdded> {
    // A password makes keys without a permission for it: it stands for the account.
    let held = rights(to, by)?.map(|(_, rights)| rights);
    let held = held.filter(|held| by.key.is_none() || held.allow(Permissions::API_MOD));
    let Some(held) = held else {
        return Ok(KeyAdded::OwnerGone);
    };
    key.permissions = key.permissions.and(held);
    accounts::add_api_key(to, &key, most)
}

pub(super) fn change_key(
    to: &Change<'_>,
    by: &Actor,
    lookup: &Lookup,
    change: KeyChange,
) -> Result<KeyChanged> {
    let held = rights(to, by)?.filter(|(_, rights)| rights.allow(Permissions::API_MOD));
    let Some((asks, held)) = held else {
        return Ok(KeyChanged::NotAllowed);
    };
    let Some(key) = KEYS.get(to, &lookup.0)? else {
        return Ok(KeyChanged::Gone);
    };
    let owner = ACCOUNTS.need(to, &account_key(key.account))?;
    if owner.id != asks.id && !may_change_keys_of(&asks, &owner) {
        return Ok(KeyChanged::Foreign);
    }
    let mut new = key.clone();
    match change {
        KeyChange::Name(name) => new.name = name,
        KeyChange::Grant(wished) => {
            if !owner.rights().allow(wished) || !held.allow(wished) {
                return Ok(KeyChanged::NotHeld);
            }
            new.permissions = key.permissions.or(wished);
        }
        KeyChange::Revoke(unwanted) => new.permissions = key.permissions.without(unwanted),
        KeyChange::Remove => {
            delete_key(to, &key)?;
            return Ok(KeyChanged::Done(owner.id));
        }
    }
    if new != key {
        KEYS.put(to, &lookup.0, &new)?;
    }
    Ok(KeyChanged::Done(owner.id))
}

/// Whether one account may change the API keys of another.
fn may_change_keys_of(asks: &Account, owner: &Account) -> bool {
    asks.permissions.allow(UserPermissions::API)
        && owner.role != Role::SuperAdmin
        && owner.role >= asks.role
}

pub(super) fn change_user(
    to: &Change<'_>,
    by: &Actor,
    id: AccountId,
    change: UserChange,
) -> Result<UserChanged> {
    let held = rights(to, by)?.filter(|(_, rights)| rights.allow(Permissions::USERS));
    let Some((asks, _)) = held else {
        return Ok(UserChanged::NotAllowed);
    };
    let Some(old) = ACCOUNTS.get(to, &account_key(id))? else {
        return Ok(UserChanged::Gone);
    };
    if old.role == Role::SuperAdmin {
        return Ok(UserChanged::SuperAdmin);
    }
    if old.id == asks.id {
        return Ok(UserChanged::Yourself);
    }
    if old.role < asks.role {
        return Ok(UserChanged::Outranks);
    }
    let mut new = old.clone();
    match change {
        UserChange::Grant(wished) => {
            if !asks.permissions.allow(wished) {
                return Ok(UserChanged::NotHeld);
            }
            new.permissions = old.permissions.or(wished);
        }
        UserChange::Revoke(unwanted) => new.permissions = old.permissions.without(unwanted),
        UserChange::Rank(rank) => {
            if rank < asks.role {
                return Ok(UserChanged::Outranks);
            }
            if rank.is_admin() && !asks.permissions.allow(UserPermissions::ALL) {
                return Ok(UserChanged::NotHeld);
            }
            if rank.max(Role::Admin) != old.role {
                new.role = rank.max(Role::Admin);
                new.permissions = match new.role {
                    Role::SuperAdmin | Role::Admin => UserPermissions::ALL,
                    Role::User => UserPermissions::NONE,
                };
            }
        }
        UserChange::MustChangePassword => new.must_change_password = true,
        UserChange::Password {
            params,
            wraps,
            is_new_key,
        } => {
            // Who asks will know the password: it must not open more than that one holds.
            if !asks.permissions.allow(old.permissions) {
                return Ok(UserChanged::Outranks);
            }
            if is_new_key {
                if owns_something(to, id)? {
                    return Ok(UserChanged::OwnsSomething);
                }
                new.wraps = wraps;
            } else {
                new.wraps.by_password = wraps.by_password;
            }
            new.password = params;
            new.must_change_password = true;
        }
        UserChange::Leave(leaving) => {
            new.disabled = true;
            new.leaving = Some(leaving);
        }
    }
    strip_keys(to, id, old.rights().without(new.rights()))?;
    if new != old {
        ACCOUNTS.put(to, &account_key(id), &new)?;
    }
    Ok(UserChanged::Done)
}

/// Whether anything is wrapped under the account key, other than for its credentials.
fn owns_something(from: &impl Snapshot, id: AccountId) -> Result<bool> {
    let prefix = account_key(id);
    Ok(!LINKS.keys_under(from, &prefix, 1)?.is_empty()
        || !OWNED.keys_under(from, &prefix, 1)?.is_empty()
        || !UPLOADING.keys_under(from, &prefix, 1)?.is_empty())
}

/// Takes `lost` from the API keys of an account for good: they do not come back with the rank.
fn strip_keys(to: &Change<'_>, of: AccountId, lost: Permissions) -> Result<()> {
    if lost == Permissions::NONE {
        return Ok(());
    }
    let mut after = None;
    loop {
        let page = keys_of(to, of, after.as_ref(), PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.lookup);
        for mut key in page {
            let left = key.permissions.without(lost);
            if left != key.permissions {
                key.permissions = left;
                KEYS.put(to, &key.lookup.0, &key)?;
            }
        }
    }
}

pub(super) fn move_links(
    to: &Change<'_>,
    from: AccountId,
    heir: AccountId,
    links: Vec<MovedLink>,
) -> Result<bool> {
    if leaving(to, from)? != Some(Leaving::MovesFiles(heir)) {
        return Ok(false);
    }
    let account = ACCOUNTS.get(to, &account_key(heir))?;
    if account.is_none_or(|account| account.disabled) {
        return Ok(false);
    }
    for moved in links {
        let link = find_link(to, &moved.lookup)?;
        if let Some(link) = link.filter(|link| link.owner == from && link.by_owner == moved.was) {
            let new = Link {
                owner: heir,
                by_owner: moved.by_owner,
                ..link.clone()
            };
            hand_over(to, &link, &new)?;
        }
    }
    Ok(true)
}

pub(super) fn touch(to: &Change<'_>, one: &Use) -> Result<()> {
    if let Some(lookup) = &one.key
        && let Some(mut key) = KEYS.get(to, &lookup.0)?
        && is_news(key.last_used, one.at)
    {
        key.last_used = Some(one.at);
        KEYS.put(to, &lookup.0, &key)?;
    }
    if let Some(mut account) = ACCOUNTS.get(to, &account_key(one.account))?
        && is_news(account.last_online, one.at)
    {
        account.last_online = Some(one.at);
        ACCOUNTS.put(to, &account_key(one.account), &account)?;
    }
    Ok(())
}

/// Whether a use at `at` is worth a write after that at `last`.
pub(crate) fn is_news(last: Option<Timestamp>, at: Timestamp) -> bool {
    last.is_none_or(|last| at.0.abs_diff(last.0) >= USE_STEP)
}
