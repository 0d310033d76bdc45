//! Accounts, as other accounts look after them: made, listed, given and denied permissions, promoted and
//! demoted. Removal is told in [`super::removal`].
//!
//! Nobody changes the super admin, themselves or who has a higher rank, and nobody gives what they do not
//! hold. Who asks is looked up in the transaction that makes the change.
//!
//! An account that is made here has no password: nothing opens it before it gets its first one. What it
//! uploads then is sealed under an account key that only its own credentials open (and the master key, with
//! `encryption = "server"`). So, in the other modes, another account can give it a new password only while
//! it owns nothing; afterwards its password, its recovery phrase or one of its API keys is needed.

use super::accounts::check_name;
use super::credentials::Wraps;
use super::passwords::Wait;
use super::{Encryption, Error, Service, Session, events};
use crate::metadata::{UserChange, UserChanged};
use crate::model::{Account, AccountId, AccountKeyWraps, Role, Timestamp, Token, UserPermissions};
use crate::pipeline::seal::keys;

/// Characters of a password that is made up: some 95 bits.
const PASSWORD: usize = 16;

/// An account, as those see it who look after accounts.
pub struct UserView {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// Its rank.
    pub role: Role,
    /// What it may do beyond its own files.
    pub permissions: UserPermissions,
    /// When one of its credentials was last used, to the hour.
    pub last_online: Option<Timestamp>,
    /// Whether it should choose another password.
    pub must_change_password: bool,
    /// Whether its credentials and links are refused.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Why nothing was done to an account.
#[derive(Debug)]
pub enum UserRefusal {
    /// For a reason that is not the account's.
    Service(Error),
    /// The name is another account's.
    Taken,
    /// No account may have this name; carries the rule.
    BadName(String),
    /// There is no such account.
    Gone,
    /// Nobody else changes the super admin.
    SuperAdmin,
    /// Nobody changes themselves so.
    Yourself,
    /// It has a higher rank than who asks, or would get one, or its password would open more.
    Outranks,
    /// Who asks does not hold that permission.
    NotHeld,
    /// Its files open only with a credential of its own; carries what can be done.
    Sealed(String),
}

impl From<Error> for UserRefusal {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl Service {
    /// Makes an account of the lowest rank, without any permission or password.
    ///
    /// # Errors
    /// [`UserRefusal`], here and below.
    pub fn create_user(&self, session: &Session, name: &str) -> Result<UserView, UserRefusal> {
        check_name(name).map_err(|why| UserRefusal::BadName(why.to_string()))?;
        let account_key = keys::random_secret();
        let account = Account {
            // The database gives the number.
            id: AccountId(0),
            name: name.to_owned(),
            created: self.parts.clock.now(),
            role: Role::User,
            permissions: UserPermissions::NONE,
            disabled: false,
            leaving: None,
            must_change_password: false,
            last_online: None,
            password: self.new_password_params(),
            wraps: AccountKeyWraps {
                by_password: Vec::new(),
                by_master: Wraps::new(name, &account_key).by_master(self)?,
                by_recovery: None,
            },
        };
        let by = self.actor(session);
        let added = self.parts.metadata.create_user(&by, account.clone());
        let id = match added.map_err(|error| self.failed(error))? {
            Ok(Some(id)) => id,
            Ok(None) => return Err(UserRefusal::Taken),
            Err(refused) => return Err(refusal(refused)),
        };
        events::account("made", id, name);
        Ok(self.user_view(Account { id, ..account }))
    }

    /// Up to `limit` accounts after `after`, in the order of their numbers.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn users(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<UserView>, Error> {
        let accounts = self.parts.metadata.accounts(after, limit);
        let accounts = accounts.map_err(|error| self.failed(error))?.into_iter();
        Ok(accounts.map(|account| self.user_view(account)).collect())
    }

    /// One account.
    ///
    /// # Errors
    /// As [`Service::create_user`].
    pub fn user(&self, id: AccountId) -> Result<UserView, UserRefusal> {
        self.user_row(id).map(|account| self.user_view(account))
    }

    /// Lets an account do something.
    ///
    /// # Errors
    /// As [`Service::create_user`].
    pub fn grant_to_user(
        &self,
        session: &Session,
        id: AccountId,
        permission: UserPermissions,
    ) -> Result<(), UserRefusal> {
        self.change_user(session, id, UserChange::Grant(permission), "granted")
    }

    /// Lets an account do something no more. Its API keys lose at once, and for good, what goes with that.
    ///
    /// # Errors
    /// As [`Service::create_user`].
    pub fn revoke_from_user(
        &self,
        session: &Session,
        id: AccountId,
        permission: UserPermissions,
    ) -> Result<(), UserRefusal> {
        self.change_user(session, id, UserChange::Revoke(permission), "denied")
    }

    /// Makes an account an admin with every permission, or a user with none. The API keys of who was demoted
    /// lose at once, and for good, what a user may not do.
    ///
    /// # Errors
    /// As [`Service::create_user`].
    pub fn change_rank(
        &self,
        session: &Session,
        id: AccountId,
        rank: Role,
    ) -> Result<(), UserRefusal> {
        let what = format!("role-{}", rank.word());
        self.change_user(session, id, UserChange::Rank(rank), &what)
    }

    /// Asks an account to choose another password.
    ///
    /// # Errors
    /// As [`Service::create_user`].
    pub fn expire_password(&self, session: &Session, id: AccountId) -> Result<(), UserRefusal> {
        let change = UserChange::MustChangePassword;
        self.change_user(session, id, change, "password-expired")
    }

    /// Gives an account another password, made up here, which it is asked to change. The old one opens
    /// nothing from now on; API keys stay. Takes a password check, so it belongs into the password room.
    ///
    /// # Errors
    /// As [`Service::create_user`]; [`UserRefusal::Sealed`] when what the account owns would not open any
    /// more.
    pub fn reset_password(&self, session: &Session, id: AccountId) -> Result<Token, UserRefusal> {
        let account = self.user_row(id)?;
        let opened = self.by_master(&account);
        let is_new_key = opened.is_none();
        let account_key = opened.unwrap_or_else(keys::random_secret);
        let password = keys::random_token(PASSWORD);
        let params = self.new_password_params();
        let password_key = self.stretch(password.reveal(), &params, Wait::Bounded)?;
        let wraps = Wraps::new(&account.name, &account_key);
        let change = UserChange::Password {
            params,
            wraps: AccountKeyWraps {
                by_password: wraps.by_password(&password_key),
                by_master: wraps.by_master(self)?,
                by_recovery: None,
            },
            is_new_key,
        };
        self.change_user(session, id, change, "password-reset")?;
        self.limiter.forget(&self.attempts_on(&account.name));
        Ok(password)
    }

    /// Changes an account; `what` is for the log.
    pub(super) fn change_user(
        &self,
        session: &Session,
        id: AccountId,
        change: UserChange,
        what: &str,
    ) -> Result<(), UserRefusal> {
        self.try_change(session, id, change)?;
        // Gone again by now, perhaps.
        if let Ok(account) = self.user_row(id) {
            events::account(what, id, &account.name);
        }
        Ok(())
    }

    pub(super) fn try_change(
        &self,
        session: &Session,
        id: AccountId,
        change: UserChange,
    ) -> Result<(), UserRefusal> {
        let by = self.actor(session);
        let changed = self.parts.metadata.change_user(&by, id, change);
        match changed.map_err(|error| self.failed(error))? {
            UserChanged::Done => Ok(()),
            UserChanged::OwnsSomething => Err(UserRefusal::Sealed(self.not_to_be_reset())),
            refused => Err(refusal(refused)),
        }
    }

    fn not_to_be_reset(&self) -> String {
        let why = match self.policy.encryption {
            Encryption::Server => "the master key does not open it",
            Encryption::Link | Encryption::None => {
                "only encryption = \"server\" lets others open it"
            }
        };
        format!(
            "what this user owns opens with a credential of the user alone ({why}), and a new password would lose it: whoever has the password, the recovery phrase or an API key of the user changes the password with mayfly user passwd"
        )
    }

    pub(super) fn user_row(&self, id: AccountId) -> Result<Account, UserRefusal> {
        let account = self.parts.metadata.account(id);
        let account = account.map_err(|error| self.failed(error))?;
        account.ok_or(UserRefusal::Gone)
    }

    fn user_view(&self, account: Account) -> UserView {
        UserView {
            last_online: self.uses.last(account.id, None).or(account.last_online),
            id: account.id,
            name: account.name,
            role: account.role,
            permissions: account.permissions,
            must_change_password: account.must_change_password,
            disabled: account.disabled,
            created: account.created,
        }
    }
}

fn refusal(refused: UserChanged) -> UserRefusal {
    match refused {
        UserChanged::Gone => UserRefusal::Gone,
        UserChanged::SuperAdmin => UserRefusal::SuperAdmin,
        UserChanged::Yourself => UserRefusal::Yourself,
        UserChanged::Outranks => UserRefusal::Outranks,
        UserChanged::NotHeld => UserRefusal::NotHeld,
        UserChanged::NotAllowed | UserChanged::Done | UserChanged::OwnsSomething => {
            Error::Unauthorized.into()
        }
    }
}
