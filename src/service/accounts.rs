//! Accounts: made, listed, changed, removed. There is always one that can look after the server.
//!
//! What an account owns opens with its account key, which is random and never stored: each row
//! holds it wrapped under the credentials of the account (`credentials`).

use super::credentials::Wraps;
use super::passwords::{PASSWORD_MAX, Wait};
use super::{Error, NewApiKey, RecoveryPhrase, Service, events};
use crate::metadata::{AccountEdit, AccountEdited, AccountRemoved, Freed};
use crate::model::{Account, AccountId, AccountKeyWraps, Role, Timestamp, is_hostile};
use crate::pipeline::seal::keys;

/// The shortest password of an account, in bytes.
const PASSWORD_MIN: usize = 8;
/// The longest name of an account, in characters.
const NAME_MAX: usize = 64;
/// Links that go in one step of a removal: bounds how long other changes wait.
pub(super) const REMOVAL_STEP: usize = 128;

/// A new account with its first API key: shown once.
pub struct NewAccount {
    /// Its number.
    pub id: AccountId,
    /// A key with every permission of its role.
    pub key: NewApiKey,
    /// Opens it when the password is forgotten.
    pub recovery: RecoveryPhrase,
}

/// What a new account is to be.
pub struct AccountWish<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its password.
    pub password: &'a str,
    /// What it is for.
    pub role: Role,
}

/// An account, as an administrator sees it.
pub struct AccountView {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Whether its credentials and links are refused.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl Service {
    /// Makes an account for an administrator, as [`Service::create_account`] does.
    ///
    /// # Errors
    /// As there.
    pub fn add_account(&self, name: &str, password: &str) -> Result<NewAccount, Error> {
        self.create_account(AccountWish {
            name,
            password,
            role: Role::Admin,
        })
    }

    /// Makes an account. The password is stretched here.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is taken or not 2 to 64 visible characters, or the password
    /// is not 8 to 1,024 bytes.
    pub fn create_account(&self, wish: AccountWish<'_>) -> Result<NewAccount, Error> {
        check_name(wish.name)?;
        check_password(wish.password)?;
        let account_key = keys::random_secret();
        let params = self.new_password_params();
        let password_key = self.stretch(wish.password, &params, Wait::Unbounded)?;
        let recovery = RecoveryPhrase::draw();
        let wraps = Wraps::new(wish.name, &account_key);
        let account = Account {
            // The database gives the number.
            id: AccountId(0),
            name: wish.name.to_owned(),
            created: self.parts.clock.now(),
            role: wish.role,
            permissions: wish.role.usual(),
            disabled: false,
            leaving: None,
            must_change_password: false,
            last_online: None,
            password: params,
            wraps: AccountKeyWraps {
                by_password: wraps.by_password(&password_key),
                by_master: wraps.by_master(self)?,
                by_recovery: Some(wraps.by_recovery(&recovery)),
            },
        };
        let (row, key) =
            self.draw_api_key(AccountId(0), &account_key, "First key", account.rights());
        let added = self.parts.metadata.add_account(account, Some(row));
        let id = added
            .map_err(|error| self.failed(error))?
            .ok_or_else(|| Error::Invalid("this user name is taken: choose another".into()))?;
        events::account("made", id, wish.name);
        Ok(NewAccount { id, key, recovery })
    }

    /// Whether there is any account yet.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn has_accounts(&self) -> Result<bool, Error> {
        Ok(!self.accounts(None, 1)?.is_empty())
    }

    /// Up to `limit` accounts after `after`, in the order of their numbers.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<AccountView>, Error> {
        let accounts = self.parts.metadata.accounts(after, limit);
        let accounts = accounts.map_err(|error| self.failed(error))?.into_iter();
        Ok(accounts.map(view).collect())
    }

    /// The account of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn account_named(&self, name: &str) -> Result<AccountView, Error> {
        self.account_row(name).map(view)
    }

    /// Gives an account another role. Its API keys lose at once what the role does not allow.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for the last administrator.
    pub fn set_role(&self, name: &str, role: Role) -> Result<(), Error> {
        let edit = AccountEdit {
            role: Some(role),
            ..AccountEdit::default()
        };
        let id = self.edit_account(name, edit)?;
        events::account(&format!("role-{}", role.word()), id, name);
        Ok(())
    }

    /// Disables an account, or enables it again. While it is disabled its password, its keys and its
    /// links are refused; nothing is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for the last administrator.
    pub fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), Error> {
        let edit = AccountEdit {
            disabled: Some(disabled),
            ..AccountEdit::default()
        };
        let id = self.edit_account(name, edit)?;
        let what = if disabled { "disabled" } else { "enabled" };
        events::account(what, id, name);
        Ok(())
    }

    /// One step of removing an account: it is disabled, its files go some at a time, then its
    /// keys, and at last itself. False when it is gone, true when there is more to do. A removal that
    /// breaks off leaves a disabled account, and goes on with the next call.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for the last administrator.
    pub fn remove_account_step(&self, name: &str) -> Result<bool, Error> {
        let account = self.account_row(name)?;
        if !account.disabled {
            self.set_disabled(name, true)?;
        }
        let metadata = &self.parts.metadata;
        let freed = metadata.remove_links_of(account.id, REMOVAL_STEP);
        let freed = freed.map_err(|error| self.failed(error))?;
        self.gone_with(account.id, &freed);
        if !freed.is_empty() {
            return Ok(true);
        }
        let removed = metadata.remove_account(account.id);
        match removed.map_err(|error| self.failed(error))? {
            AccountRemoved::Done => {
                events::account("removed", account.id, &account.name);
                Ok(false)
            }
            // An upload that was on its way became visible meanwhile.
            AccountRemoved::HasLinks | AccountRemoved::HasKeys => Ok(true),
            AccountRemoved::LastAdmin => Err(last_admin()),
            AccountRemoved::Gone => Err(Error::NotFound),
        }
    }

    /// What is to be done when these went with their account.
    pub(super) fn gone_with(&self, account: AccountId, freed: &[Freed]) {
        let blobs: Vec<_> = freed.iter().filter_map(|freed| freed.blob).collect();
        self.unlink(&blobs);
        for link in freed.iter().filter_map(|freed| freed.link) {
            events::deleted(&link, account, 0);
        }
    }

    fn edit_account(&self, name: &str, edit: AccountEdit) -> Result<AccountId, Error> {
        let account = self.account_row(name)?;
        let edited = self.parts.metadata.edit_account(account.id, edit);
        match edited.map_err(|error| self.failed(error))? {
            AccountEdited::Done => Ok(account.id),
            AccountEdited::LastAdmin => Err(last_admin()),
            AccountEdited::Gone => Err(Error::NotFound),
        }
    }

    /// The account of that name.
    pub(super) fn account_row(&self, name: &str) -> Result<Account, Error> {
        let account = self.parts.metadata.account_named(name);
        account
            .map_err(|error| self.failed(error))?
            .ok_or(Error::NotFound)
    }

    /// Whether what this account shares may be seen.
    pub(super) fn is_enabled(&self, id: AccountId) -> Result<bool, Error> {
        let account = self.parts.metadata.account(id);
        let account = account.map_err(|error| self.failed(error))?;
        Ok(account.is_some_and(|account| !account.disabled))
    }
}

fn view(account: Account) -> AccountView {
    AccountView {
        id: account.id,
        name: account.name,
        role: account.role,
        disabled: account.disabled,
        created: account.created,
    }
}

fn last_admin() -> Error {
    Error::Invalid(
        "this is the last working administrator: make another account an administrator first"
            .into(),
    )
}

/// Whether an account may have this name.
///
/// # Errors
/// [`Error::Invalid`], which says how names are.
pub fn check_name(name: &str) -> Result<(), Error> {
    let length = name.chars().count();
    // A colon ends the name in the Basic scheme (RFC 7617, section 2).
    if (2..=NAME_MAX).contains(&length)
        && !name.chars().any(|c| is_hostile(c) || c == ':')
        && name.trim() == name
    {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "a user name has 2 to {NAME_MAX} characters, no control characters, no colon, and no space at its ends"
    )))
}

/// Whether an account may have this password.
///
/// # Errors
/// [`Error::Invalid`] with the rule.
pub fn check_password(password: &str) -> Result<(), Error> {
    if (PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "a password has {PASSWORD_MIN} to {PASSWORD_MAX} bytes"
    )))
}

/// What the wraps of an account are bound to.
pub(super) fn name_context(name: &str) -> Vec<u8> {
    name.to_ascii_lowercase().into_bytes()
}
