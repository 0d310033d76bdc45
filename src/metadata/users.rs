//! Changes of accounts and API keys that one account asks for: whether it may is looked up in the
//! transaction that makes the change, so that what was taken from it a moment ago counts.

use super::asked;
use super::{AccountRemoved, Freed, KeyAdded, MetadataError, RedbMetadata, accounts};
use crate::model::{
    Account, AccountId, AccountKeyWraps, ApiKey, Leaving, Lookup, PasswordParams, Permissions,
    Role, Timestamp, UserPermissions,
};

type Result<T> = std::result::Result<T, MetadataError>;

/// Who asks for a change, by what credential.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// The account.
    pub account: AccountId,
    /// The API key that was shown, if it was one.
    pub key: Option<Lookup>,
    /// How the password that was shown becomes a key, if it was one.
    pub password: Option<PasswordParams>,
    /// When.
    pub now: Timestamp,
}

/// A change of an API key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyChange {
    /// It is called this.
    Name(String),
    /// It may do this, too.
    Grant(Permissions),
    /// It may not do this any more.
    Revoke(Permissions),
    /// It is no more.
    Remove,
}

/// What became of a change of an API key. Unless it is done, nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyChanged {
    /// It is done, or was so before. Whose key it is.
    Done(AccountId),
    /// Who asks may not change keys.
    NotAllowed,
    /// There is no such key.
    Gone,
    /// It is another account's.
    Foreign,
    /// Its owner, or who asks, may not do that.
    NotHeld,
}

/// A change of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UserChange {
    /// It may do this, too.
    Grant(UserPermissions),
    /// It may not do this any more, nor may its API keys.
    Revoke(UserPermissions),
    /// Another rank: an admin may do everything, a user nothing beyond its own files.
    Rank(Role),
    /// It should choose another password.
    MustChangePassword,
    /// Another password, which it should change.
    Password {
        /// How it becomes a key.
        params: PasswordParams,
        /// The account key under each credential, where it is another account key: possible only while
        /// nothing is wrapped under the old one. Otherwise only that under the password counts.
        wraps: AccountKeyWraps,
        /// Whether it is another account key.
        is_new_key: bool,
    },
    /// It is being removed.
    Leave(Leaving),
}

/// What became of a change of an account. Unless it is done, nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserChanged {
    /// It is done, or was so before.
    Done,
    /// Who asks may not change accounts.
    NotAllowed,
    /// There is no such account.
    Gone,
    /// It is the super admin.
    SuperAdmin,
    /// It is who asks.
    Yourself,
    /// It has a higher rank than who asks, or would get one, or its password would open more.
    Outranks,
    /// Who asks does not hold what is to be granted.
    NotHeld,
    /// What it owns would not open any more.
    OwnsSomething,
}

/// A link that gets another owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MovedLink {
    /// Which.
    pub lookup: Lookup,
    /// What it has for its owner.
    pub was: Vec<u8>,
    /// What it has for the new one.
    pub by_owner: Vec<u8>,
}

/// That a credential was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// Whose.
    pub account: AccountId,
    /// The API key, if it was one.
    pub key: Option<Lookup>,
    /// When.
    pub at: Timestamp,
}

/// What accounts do with accounts and API keys: see [`super::Metadata`].
///
/// # Errors
/// Every method: [`MetadataError`].
#[allow(
    clippy::missing_errors_doc,
    reason = "one error type for all, described on the trait"
)]
pub trait Users {
    /// Up to `limit` API keys of all accounts after `after`, in the order of the numbers of their accounts.
    fn api_keys(&self, after: Option<(AccountId, Lookup)>, limit: usize) -> Result<Vec<ApiKey>>;
    /// Adds an API key for who asks, with what both may do, unless there are `most` already.
    fn create_key(&self, by: &Actor, key: ApiKey, most: u64) -> Result<KeyAdded>;
    /// Changes an API key.
    fn change_key(&self, by: &Actor, key: &Lookup, change: KeyChange) -> Result<KeyChanged>;
    /// Adds an account. `None` when the name is taken; [`UserChanged::NotAllowed`] is the only refusal.
    fn create_user(
        &self,
        by: &Actor,
        user: Account,
    ) -> Result<std::result::Result<Option<AccountId>, UserChanged>>;
    /// Changes an account.
    fn change_user(&self, by: &Actor, user: AccountId, change: UserChange) -> Result<UserChanged>;
    /// Gives links of an account that is being removed to `heir`, who gets them. Those that were changed
    /// meanwhile stay. False when it is not being removed in favour of that one any more, or the heir is gone or
    /// disabled.
    fn move_links(&self, from: AccountId, heir: AccountId, links: Vec<MovedLink>) -> Result<bool>;
    /// Removes up to `limit` links of an account, if it is being removed together with them.
    fn remove_links_of_leaving(&self, from: AccountId, limit: usize) -> Result<Vec<Freed>>;
    /// Removes an account that is being removed, as [`super::Metadata::remove_account`].
    fn remove_leaving(&self, id: AccountId) -> Result<AccountRemoved>;
    /// Writes down when credentials were used: where more than an hour has passed since the last time.
    fn touch(&self, uses: &[Use]) -> Result<()>;
}

impl Users for RedbMetadata {
    fn api_keys(&self, after: Option<(AccountId, Lookup)>, limit: usize) -> Result<Vec<ApiKey>> {
        self.read(|view| asked::api_keys(view, after, limit))
    }

    fn create_key(&self, by: &Actor, key: ApiKey, most: u64) -> Result<KeyAdded> {
        let by = *by;
        self.writer
            .run(move |to| asked::create_key(to, &by, key, most))
    }

    fn change_key(&self, by: &Actor, key: &Lookup, change: KeyChange) -> Result<KeyChanged> {
        let (by, key) = (*by, *key);
        self.writer
            .run(move |to| asked::change_key(to, &by, &key, change))
    }

    fn create_user(
        &self,
        by: &Actor,
        user: Account,
    ) -> Result<std::result::Result<Option<AccountId>, UserChanged>> {
        let by = *by;
        self.writer.run(move |to| {
            if !asked::allows(to, &by, Permissions::USERS)? {
                return Ok(Err(UserChanged::NotAllowed));
            }
            accounts::add_account(to, user, None).map(Ok)
        })
    }

    fn change_user(&self, by: &Actor, user: AccountId, change: UserChange) -> Result<UserChanged> {
        let by = *by;
        self.writer
            .run(move |to| asked::change_user(to, &by, user, change))
    }

    fn move_links(&self, from: AccountId, heir: AccountId, links: Vec<MovedLink>) -> Result<bool> {
        self.writer
            .run(move |to| asked::move_links(to, from, heir, links))
    }

    fn remove_links_of_leaving(&self, from: AccountId, limit: usize) -> Result<Vec<Freed>> {
        self.writer.run(move |to| match asked::leaving(to, from)? {
            Some(Leaving::DeletesFiles) => accounts::remove_links_of(to, from, limit),
            _ => Ok(Vec::new()),
        })
    }

    fn remove_leaving(&self, id: AccountId) -> Result<AccountRemoved> {
        let removed = self.writer.run(move |to| match asked::leaving(to, id)? {
            Some(_) => accounts::remove_account(to, id),
            None => Ok(AccountRemoved::Gone),
        })?;
        self.clear_ended();
        Ok(removed)
    }

    fn touch(&self, uses: &[Use]) -> Result<()> {
        let uses = uses.to_vec();
        self.writer
            .run(move |to| uses.iter().try_for_each(|one| asked::touch(to, one)))
    }
}
