//! Accounts, API keys, and who somebody is.

use super::limiter::{Kind, Source};
use super::passwords::{PASSWORD_MAX, Wait};
use super::{Encryption, Error, Service};
use crate::model::{
    Account, AccountId, AccountKeyWraps, ApiKey, PasswordParams, Permissions, Secret, Token,
};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use std::net::IpAddr;

/// Characters of a public id, as Gokapi has them.
const PUBLIC_ID: usize = 35;
/// The shortest password of an account, in bytes.
const PASSWORD_MIN: usize = 8;
/// The longest name of an account or key, in characters.
const NAME_MAX: usize = 64;

/// Somebody who has shown a credential.
pub struct Session {
    /// Who.
    pub account: AccountId,
    /// What the credential allows.
    pub permissions: Permissions,
    /// Opens what the account owns.
    pub(super) account_key: Secret,
}

/// A new API key: shown once.
pub struct NewApiKey {
    /// The key.
    pub key: Token,
    /// Its public name, 35 characters.
    pub public_id: String,
}

/// A new account with its first API key: shown once.
pub struct NewAccount {
    /// Its number.
    pub id: AccountId,
    /// A key with every permission.
    pub key: NewApiKey,
}

impl Service {
    /// Makes an account. The password is stretched here.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is taken or not 2 to 64 characters, or the password is not
    /// 8 to 1,024 bytes.
    pub fn add_account(&self, name: &str, password: &str) -> Result<NewAccount, Error> {
        let length = name.chars().count();
        if !(2..=NAME_MAX).contains(&length)
            || name.chars().any(char::is_control)
            || name.trim() != name
        {
            return Err(Error::Invalid(format!(
                "a user name has 2 to {NAME_MAX} characters, no control characters, and no space at its ends"
            )));
        }
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()) {
            return Err(Error::Invalid(format!(
                "a password has {PASSWORD_MIN} to {PASSWORD_MAX} bytes"
            )));
        }
        let account_key = keys::random_secret();
        let params = self.new_password_params();
        let password_key = self.stretch(password, &params, Wait::Unbounded)?;
        let context = name_context(name);
        let wrap = |purpose, secret: &Secret| {
            keys::wrap(purpose, &[secret.reveal()], &context, account_key.reveal())
        };
        let by_master = match (self.policy.encryption, &self.parts.master_key) {
            (Encryption::Server, Some(master)) => Some(wrap(Purpose::AccountByMaster, master)),
            (Encryption::Server, None) => {
                return Err(Error::Internal("the master key is missing".into()));
            }
            (Encryption::Link | Encryption::None, _) => None,
        };
        let account = Account {
            // The database gives the number.
            id: AccountId(0),
            name: name.to_owned(),
            created: self.parts.clock.now(),
            password: params,
            wraps: AccountKeyWraps {
                by_password: wrap(Purpose::AccountByPassword, &password_key),
                by_master,
            },
        };
        let (row, key) =
            self.draw_api_key(AccountId(0), &account_key, "First key", Permissions::ALL);
        let added = self.parts.metadata.add_account(account, row);
        match added.map_err(|error| self.failed(error))? {
            Some(id) => Ok(NewAccount { id, key }),
            None => Err(Error::Invalid(
                "this user name is taken: choose another".into(),
            )),
        }
    }

    /// Whether there is any account yet.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn has_accounts(&self) -> Result<bool, Error> {
        // Numbers count up from 1, and there is no way to remove an account.
        let first = self.parts.metadata.account(AccountId(1));
        Ok(first.map_err(|error| self.failed(error))?.is_some())
    }

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
                .map_err(Error::TooMany)?;
            return Err(Error::Unauthorized);
        };
        if session.permissions.allow(needed) {
            Ok(session)
        } else {
            Err(Error::Unauthorized)
        }
    }

    fn session_of_key(&self, key: &str) -> Result<Option<Session>, Error> {
        let Some(token) = Token::parse(key) else {
            return Ok(None);
        };
        let lookup = keys::lookup(TokenKind::ApiKey, &token);
        let row = self.parts.metadata.api_key(&lookup);
        let Some(row) = row.map_err(|error| self.failed(error))? else {
            return Ok(None);
        };
        let secrets = [token.reveal().as_bytes()];
        let opened = keys::unwrap(Purpose::AccountByApiKey, &secrets, &lookup.0, &row.wrap);
        let Some(account_key) = opened.and_then(|key| Secret::from_slice(&key)) else {
            log::error!("API key {lookup}: its record does not open the account");
            return Err(Error::Internal("an API key is damaged".into()));
        };
        Ok(Some(Session {
            account: row.account,
            permissions: row.permissions,
            account_key,
        }))
    }

    /// Who has this name and password: a session with every permission. Takes a password check, so
    /// it belongs into the password room.
    ///
    /// # Errors
    /// As [`Service::authenticate`]; unknown names take as long as wrong passwords.
    pub fn authenticate_password(
        &self,
        name: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Session, Error> {
        let name_tag = keys::client_tag(&self.process_key, &name_context(name));
        let charged = [
            (Kind::Login, peer.into()),
            (Kind::LoginAccount, Source::from(name_tag)),
        ];
        self.limiter
            .charge(&charged, self.parts.clock.elapsed())
            .map_err(Error::TooMany)?;
        if password.len() > PASSWORD_MAX {
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
            .inspect_err(|_| self.limiter.refund(&charged))?;
        let session = account.and_then(|account| {
            let account_key = keys::unwrap(
                Purpose::AccountByPassword,
                &[password_key.reveal()],
                &name_context(&account.name),
                &account.wraps.by_password,
            )?;
            Some(Session {
                account: account.id,
                permissions: Permissions::ALL,
                account_key: Secret::from_slice(&account_key)?,
            })
        });
        if session.is_some() {
            self.limiter.refund(&charged);
        }
        session.ok_or(Error::Unauthorized)
    }

    /// Makes an API key for the session's account. Its permissions are `Permissions::BASIC` or
    /// none, within those of the session.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn create_api_key(
        &self,
        session: &Session,
        name: &str,
        basic: bool,
    ) -> Result<NewApiKey, Error> {
        let wished = if basic {
            Permissions::BASIC
        } else {
            Permissions::NONE
        };
        let permissions = wished.and(session.permissions);
        let visible = name.chars().filter(|c| !c.is_control());
        let name: String = visible.take(NAME_MAX).collect();
        let (row, key) =
            self.draw_api_key(session.account, &session.account_key, &name, permissions);
        let added = self.parts.metadata.add_api_key(row);
        added.map_err(|error| self.failed(error))?;
        Ok(key)
    }

    fn draw_api_key(
        &self,
        account: AccountId,
        account_key: &Secret,
        name: &str,
        permissions: Permissions,
    ) -> (ApiKey, NewApiKey) {
        let key = keys::random_token(Token::API_KEY);
        let public_id = keys::random_token(PUBLIC_ID).reveal().to_owned();
        let lookup = keys::lookup(TokenKind::ApiKey, &key);
        let row = ApiKey {
            lookup,
            public_id: public_id.clone(),
            account,
            name: name.to_owned(),
            created: self.parts.clock.now(),
            permissions,
            wrap: keys::wrap(
                Purpose::AccountByApiKey,
                &[key.reveal().as_bytes()],
                &lookup.0,
                account_key.reveal(),
            ),
        };
        (row, NewApiKey { key, public_id })
    }
}

/// What the wraps of an account are bound to. Names are unique without regard to ASCII case.
fn name_context(name: &str) -> Vec<u8> {
    name.to_ascii_lowercase().into_bytes()
}
