//! Accounts, API keys, and who somebody is.

use super::{Error, Service};
use crate::model::{AccountId, Permissions, Secret, Token};
use std::net::IpAddr;

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
    pub fn add_account(&self, _name: &str, _password: &str) -> Result<NewAccount, Error> {
        todo!()
    }

    /// Whether there is any account yet.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn has_accounts(&self) -> Result<bool, Error> {
        todo!()
    }

    /// Who presents this API key, if it has all of `needed`. Failures from `peer` are limited;
    /// valid keys are not.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], or [`Error::TooMany`] once the failures from there are too many.
    pub fn authenticate(
        &self,
        _key: Option<&str>,
        _needed: Permissions,
        _peer: IpAddr,
    ) -> Result<Session, Error> {
        todo!()
    }

    /// Who has this name and password: a session with every permission. Takes a password check, so
    /// it belongs into the password room.
    ///
    /// # Errors
    /// As [`Service::authenticate`]; unknown names take as long as wrong passwords.
    pub fn authenticate_password(
        &self,
        _name: &str,
        _password: &str,
        _peer: IpAddr,
    ) -> Result<Session, Error> {
        todo!()
    }

    /// Makes an API key for the session's account. Its permissions are `Permissions::BASIC` or
    /// none, within those of the session.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn create_api_key(
        &self,
        _session: &Session,
        _name: &str,
        _basic: bool,
    ) -> Result<NewApiKey, Error> {
        todo!()
    }
}
