//! Who somebody is: API keys and passwords, what each opens, and how a password is changed.
//!
//! Every credential of an account wraps the same account key (`accounts`). A change of the password
//! wraps it anew and touches nothing else: files and API keys stay.

use super::accounts::{check_password, name_context};
use super::limiter::{Kind, Source};
use super::passwords::{PASSWORD_MAX, Wait};
use super::{Encryption, Error, RecoveryPhrase, Service, events};
use crate::metadata::{AccountEdit, AccountEdited, Actor};
use crate::model::{
    Account, AccountId, Lookup, PasswordParams, Permissions, Secret, Token, folded_name,
};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use std::net::IpAddr;

/// Somebody who has shown a credential.
pub struct Session {
    /// Who.
    pub account: AccountId,
    /// What the credential allows.
    pub permissions: Permissions,
    /// The API key that was shown, if it was one.
    pub(super) opener: Option<Lookup>,
    /// How the password that was shown becomes a key, if it was one.
    pub(super) password: Option<PasswordParams>,
    /// Opens what the account owns.
    pub(super) account_key: Secret,
}

/// How an account is opened for a change of its credentials, by somebody who is already trusted
/// with the server: attempts are not limited.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// By nothing of the account's: works with the master key only, in mode `server`;
    /// [`Error::PasswordNeeded`] otherwise.
    Master,
    /// By its password; [`Error::WrongPassword`].
    Password(&'a str),
    /// By its recovery phrase, or one of its API keys; [`Error::WrongPassword`].
    Recovery(&'a str),
}

impl Service {
    /// Who presents this API key, if it has all of `needed`. Failures from `peer` are limited;
    /// valid keys are not.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], or [`Error::TooMany`] once the failures from there are too many.
    pub fn authenticate(
        &self,
        key: Option<&str>,
        needed: Permissions,
        peer: IpAddr,
    ) -> Result<Session, Error> {
        let key = key.ok_or(Error::Unauthorized)?;
        let Some(session) = self.session_of_key(key)? else {
            self.limiter
                .charge(&[(Kind::BadKey, peer.into())], self.parts.clock.elapsed())
                .map_err(|wait| events::too_many("api-key", peer, wait))?;
            events::key_wrong(peer);
            return Err(Error::Unauthorized);
        };
        if session.permissions.allow(needed) {
            Ok(session)
        } else {
            Err(Error::Unauthorized)
        }
    }

    /// What a key may do is looked up at every call: a change of its account acts at once.
    fn session_of_key(&self, key: &str) -> Result<Option<Session>, Error> {
        let Some(token) = Token::parse(key) else {
            return Ok(None);
        };
        let lookup = keys::lookup(TokenKind::ApiKey, &token);
        let row = self.parts.metadata.api_key(&lookup);
        let row = row.map_err(|error| self.failed(error))?;
        let now = self.parts.clock.now();
        let Some(row) = row.filter(|row| !row.is_over(now)) else {
            return Ok(None);
        };
        let account = self.parts.metadata.account(row.account);
        let account = account.map_err(|error| self.failed(error))?;
        let Some(account) = account.filter(|account| !account.disabled) else {
            return Ok(None);
        };
        let secrets = [token.reveal().as_bytes()];
        let opened = keys::unwrap(Purpose::AccountByApiKey, &secrets, &lookup.0, &row.wrap);
        let Some(account_key) = opened.and_then(|key| Secret::from_slice(&key)) else {
            log::error!("key={lookup} its record does not open the account");
            return Err(Error::Internal("an API key is damaged".into()));
        };
        self.uses.note(&account, Some(&row), now);
        Ok(Some(Session {
            account: row.account,
            opener: Some(lookup),
            password: None,
            permissions: row.permissions.and(account.rights()),
            account_key,
        }))
    }

    /// Who has this name and password: a session with every permission of the account. Takes
    /// a password check, so it belongs into the password room.
    ///
    /// # Errors
    /// As [`Service::authenticate`]; unknown names take as long as wrong passwords.
    pub fn authenticate_password(
        &self,
        name: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Session, Error> {
        let charged = [(Kind::Login, peer.into()), self.attempts_on(name)];
        self.limiter
            .charge(&charged, self.parts.clock.elapsed())
            .map_err(|wait| events::too_many("login", peer, wait))?;
        if password.len() > PASSWORD_MAX {
            events::login_failed(name, peer);
            return Err(Error::Unauthorized);
        }
        let account = self.parts.metadata.account_named(name);
        let account = account.map_err(|error| self.failed(error))?;
        let (memory_kib, passes) = self.policy.password_cost;
        let nobody = PasswordParams {
            salt: [0; 16],
            memory_kib,
            passes,
        };
        let params = account.as_ref().map_or(nobody, |account| account.password);
        // Refused at the door: it was no attempt.
        let password_key = self
            .stretch(password, &params, Wait::Bounded)
            .inspect_err(|_| {
                self.limiter.refund(&charged);
                events::checks_full(peer);
            })?;
        // As it is now: the password may have been changed while this one waited for its check.
        let account = self.parts.metadata.account_named(name);
        let account = account.map_err(|error| self.failed(error))?;
        let session = account.and_then(|account| {
            Some(Session {
                account_key: by_password(&account, &password_key)?,
                account: account.id,
                opener: None,
                password: Some(account.password),
                permissions: account.rights(),
            })
            .filter(|_| !account.disabled)
            .inspect(|_| self.uses.note(&account, None, self.parts.clock.now()))
        });
        if session.is_some() {
            self.limiter.refund(&charged);
        } else {
            events::login_failed(name, peer);
        }
        session.ok_or(Error::Unauthorized)
    }

    /// Gives an account another password: from now on the old one opens nothing, and failures to
    /// guess it are forgotten. Files and API keys stay. Answers a recovery phrase for an account
    /// that had none, and with `new_phrase` for any: the old one opens nothing then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] when the new password is not 8 to 1,024 bytes, and
    /// what [`Proof`] says.
    pub fn change_password(
        &self,
        name: &str,
        proof: Proof<'_>,
        password: &str,
        new_phrase: bool,
    ) -> Result<Option<RecoveryPhrase>, Error> {
        check_password(password)?;
        let account = self.account_row(name)?;
        let account_key = match proof {
            // Nothing is wrapped under any key yet.
            Proof::Master if was_never_open(&account) => keys::random_secret(),
            proof => self.open_account(&account, proof)?,
        };
        let wanted = new_phrase || account.wraps.by_recovery.is_none();
        let phrase = wanted.then(RecoveryPhrase::draw);
        let params = self.new_password_params();
        let password_key = self.stretch(password, &params, Wait::Unbounded)?;
        let wraps = Wraps::new(&account.name, &account_key);
        let edit = AccountEdit {
            password: Some((params, wraps.by_password(&password_key))),
            by_master: wraps.by_master(self)?,
            by_recovery: phrase.as_ref().map(|phrase| wraps.by_recovery(phrase)),
            ..AccountEdit::default()
        };
        let edited = self.parts.metadata.edit_account(account.id, edit);
        match edited.map_err(|error| self.failed(error))? {
            AccountEdited::Done => {}
            AccountEdited::Gone | AccountEdited::LastAdmin => return Err(Error::NotFound),
        }
        self.limiter.forget(&self.attempts_on(name));
        events::account("password", account.id, &account.name);
        Ok(phrase)
    }

    /// The account key, for whom `proof` lets in.
    pub(super) fn open_account(
        &self,
        account: &Account,
        proof: Proof<'_>,
    ) -> Result<Secret, Error> {
        let opened = match proof {
            Proof::Master => {
                return self.by_master(account).ok_or(Error::PasswordNeeded);
            }
            Proof::Password(password) if password.len() > PASSWORD_MAX => None,
            Proof::Password(password) => {
                let key = self.stretch(password, &account.password, Wait::Unbounded)?;
                by_password(account, &key)
            }
            Proof::Recovery(text) => match RecoveryPhrase::parse(text) {
                Some(phrase) => by_recovery(account, &phrase),
                None => self
                    .session_of_key(text.trim())?
                    .filter(|session| session.account == account.id)
                    .map(|session| session.account_key),
            },
        };
        opened.ok_or(Error::WrongPassword)
    }

    /// Whether `proof` opens the account of that name, or may give it its first password.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn opens(&self, name: &str, proof: Proof<'_>) -> Result<bool, Error> {
        let account = self.account_row(name)?;
        match self.open_account(&account, proof) {
            Ok(_) => Ok(true),
            Err(Error::PasswordNeeded) if was_never_open(&account) => Ok(true),
            Err(Error::PasswordNeeded | Error::WrongPassword) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Whether there is such an API key, whoever's it is.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn knows_key(&self, key: &Token) -> Result<bool, Error> {
        let lookup = keys::lookup(TokenKind::ApiKey, key);
        let row = self.parts.metadata.api_key(&lookup);
        Ok(row.map_err(|error| self.failed(error))?.is_some())
    }

    /// Whether the master key, if there is one, is the one that the first account was made with.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn master_key_fits(&self) -> Result<bool, Error> {
        if self.parts.master_key.is_none() {
            return Ok(true);
        }
        let first = self.parts.metadata.accounts(None, 1);
        let first = first.map_err(|error| self.failed(error))?;
        // An account from before there was a master key says nothing.
        let wrapped = first.first().filter(|a| a.wraps.by_master.is_some());
        Ok(wrapped.is_none_or(|account| self.by_master(account).is_some()))
    }

    /// Who asks for a change, for the database to look up what it may do.
    pub(super) fn actor(&self, session: &Session) -> Actor {
        Actor {
            account: session.account,
            key: session.opener,
            password: session.password,
            now: self.parts.clock.now(),
        }
    }

    pub(super) fn by_master(&self, account: &Account) -> Option<Secret> {
        let master = self.parts.master_key.as_ref()?;
        let wrap = account.wraps.by_master.as_ref()?;
        let context = name_context(&account.name);
        let key = keys::unwrap(Purpose::AccountByMaster, &[master.reveal()], &context, wrap)?;
        Secret::from_slice(&key)
    }

    /// The bucket of attempts on the account of that name, whether or not there is one.
    pub(super) fn attempts_on(&self, name: &str) -> (Kind, Source) {
        // However a name is written, it is one bucket.
        let folded = folded_name(name);
        let tag = keys::client_tag(&self.process_key, folded.as_bytes());
        (Kind::LoginAccount, Source::from(tag))
    }
}

/// Whether nobody could ever open that account: it was made without a password, and waits for its first.
fn was_never_open(account: &Account) -> bool {
    let wraps = &account.wraps;
    !account.has_password() && wraps.by_master.is_none() && wraps.by_recovery.is_none()
}

fn by_password(account: &Account, key: &Secret) -> Option<Secret> {
    let context = name_context(&account.name);
    let wrap = &account.wraps.by_password;
    let key = keys::unwrap(Purpose::AccountByPassword, &[key.reveal()], &context, wrap)?;
    Secret::from_slice(&key)
}

fn by_recovery(account: &Account, phrase: &RecoveryPhrase) -> Option<Secret> {
    let context = name_context(&account.name);
    let wrap = account.wraps.by_recovery.as_ref()?;
    let key = keys::unwrap(
        Purpose::AccountByRecovery,
        &[phrase.secret()],
        &context,
        wrap,
    )?;
    Secret::from_slice(&key)
}

/// Wraps one account key under one credential after the other.
pub(super) struct Wraps<'a> {
    context: Vec<u8>,
    account_key: &'a Secret,
}

impl<'a> Wraps<'a> {
    pub(super) fn new(name: &str, account_key: &'a Secret) -> Self {
        Self {
            context: name_context(name),
            account_key,
        }
    }

    fn wrap(&self, purpose: Purpose, secret: &[u8]) -> Vec<u8> {
        keys::wrap(purpose, &[secret], &self.context, self.account_key.reveal())
    }

    pub(super) fn by_password(&self, key: &Secret) -> Vec<u8> {
        self.wrap(Purpose::AccountByPassword, key.reveal())
    }

    pub(super) fn by_recovery(&self, phrase: &RecoveryPhrase) -> Vec<u8> {
        self.wrap(Purpose::AccountByRecovery, phrase.secret())
    }

    /// Only in mode `server`.
    pub(super) fn by_master(&self, service: &Service) -> Result<Option<Vec<u8>>, Error> {
        match (service.policy.encryption, &service.parts.master_key) {
            (Encryption::Server, Some(master)) => {
                Ok(Some(self.wrap(Purpose::AccountByMaster, master.reveal())))
            }
            (Encryption::Server, None) => Err(Error::Internal("the master key is missing".into())),
            (Encryption::Link | Encryption::None, _) => Ok(None),
        }
    }
}
