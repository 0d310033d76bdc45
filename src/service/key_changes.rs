//! API keys, as accounts look after them themselves: listed, renamed, given and denied permissions, revoked.
//!
//! A key is named by itself or by its public id. Nobody gives a key what its owner may not do, or what the
//! credential that asks may not do itself.

use super::api_keys::clean_key_name;
use super::{Error, KeyView, Service, Session, events};
use crate::metadata::{KeyChange, KeyChanged};
use crate::model::{AccountId, ApiKey, Lookup, Permissions, Token, UserPermissions};
use crate::pipeline::seal::keys::{self, TokenKind};

/// A place in the listing of API keys.
pub type KeyCursor = (AccountId, Lookup);

/// Why nothing was done to an API key.
#[derive(Debug)]
pub enum KeyRefusal {
    /// For a reason that is not the key's.
    Service(Error),
    /// There is no such key.
    Gone,
    /// It belongs to another account.
    Foreign,
    /// Its owner, or the credential that asks, does not hold that permission.
    NotHeld,
}

impl From<Error> for KeyRefusal {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl Service {
    /// Gives an API key another name.
    ///
    /// # Errors
    /// [`KeyRefusal`], here and below.
    pub fn rename_key(&self, session: &Session, key: &str, name: &str) -> Result<(), KeyRefusal> {
        let change = KeyChange::Name(clean_key_name(name));
        self.change_key(session, key, change, "renamed")
    }

    /// Gives an API key a permission.
    ///
    /// # Errors
    /// As [`Service::rename_key`].
    pub fn grant_to_key(
        &self,
        session: &Session,
        key: &str,
        permission: Permissions,
    ) -> Result<(), KeyRefusal> {
        self.change_key(session, key, KeyChange::Grant(permission), "granted")
    }

    /// Takes a permission from an API key.
    ///
    /// # Errors
    /// As [`Service::rename_key`].
    pub fn revoke_from_key(
        &self,
        session: &Session,
        key: &str,
        permission: Permissions,
    ) -> Result<(), KeyRefusal> {
        self.change_key(session, key, KeyChange::Revoke(permission), "denied")
    }

    /// Revokes an API key: the next call with it is refused.
    ///
    /// # Errors
    /// As [`Service::rename_key`].
    pub fn delete_key(&self, session: &Session, key: &str) -> Result<(), KeyRefusal> {
        self.change_key(session, key, KeyChange::Remove, "revoked")
    }

    fn change_key(
        &self,
        session: &Session,
        key: &str,
        change: KeyChange,
        what: &str,
    ) -> Result<(), KeyRefusal> {
        let lookup = self.key_row(key)?.lookup;
        let by = self.actor(session);
        let changed = self.parts.metadata.change_key(&by, &lookup, change);
        match changed.map_err(|error| self.failed(error))? {
            KeyChanged::Done(owner) => {
                events::key(what, &lookup, owner);
                Ok(())
            }
            KeyChanged::NotAllowed => Err(Error::Unauthorized.into()),
            KeyChanged::Gone => Err(KeyRefusal::Gone),
            KeyChanged::Foreign => Err(KeyRefusal::Foreign),
            KeyChanged::NotHeld => Err(KeyRefusal::NotHeld),
        }
    }

    /// The key that is this, or has this public id.
    fn key_row(&self, key: &str) -> Result<ApiKey, KeyRefusal> {
        let metadata = &self.parts.metadata;
        if let Some(token) = Token::parse(key) {
            let row = metadata.api_key(&keys::lookup(TokenKind::ApiKey, &token));
            if let Some(row) = row.map_err(|error| self.failed(error))? {
                return Ok(row);
            }
        }
        let row = metadata.api_key_named(key);
        let row = row.map_err(|error| self.failed(error))?;
        row.ok_or(KeyRefusal::Gone)
    }

    /// The API key with that public id.
    ///
    /// # Errors
    /// [`KeyRefusal`].
    pub fn key(&self, session: &Session, public_id: &str) -> Result<KeyView, KeyRefusal> {
        let row = self.parts.metadata.api_key_named(public_id);
        let row = row.map_err(|error| self.failed(error))?;
        let row = row.ok_or(KeyRefusal::Gone)?;
        if row.account != session.account && !self.sees_all_keys(session)? {
            return Err(KeyRefusal::Foreign);
        }
        let owner = self.parts.metadata.account(row.account);
        let owner = owner.map_err(|error| self.failed(error))?;
        Ok(self.key_view(row, &owner.ok_or(KeyRefusal::Gone)?))
    }

    /// Up to `limit` API keys after `after`, and where to go on; `None` at the end. Those of the session's
    /// account, and of all others where it looks after them.
    ///
    /// # Errors
    /// [`Error::Internal`], [`Error::Unauthorized`] when the account is no more.
    pub fn keys(
        &self,
        session: &Session,
        after: Option<KeyCursor>,
        limit: usize,
    ) -> Result<(Vec<KeyView>, Option<KeyCursor>), Error> {
        let metadata = &self.parts.metadata;
        let rows = if self.sees_all_keys(session)? {
            metadata.api_keys(after, limit)
        } else {
            let after = after.map(|(_, lookup)| lookup);
            metadata.api_keys_of(session.account, after.as_ref(), limit)
        };
        let rows = rows.map_err(|error| self.failed(error))?;
        let next = match rows.last() {
            Some(last) if rows.len() == limit => Some((last.account, last.lookup)),
            _ => None,
        };
        let mut views = Vec::with_capacity(rows.len());
        let mut owner = None;
        for row in rows {
            if owner.as_ref().is_none_or(|(id, _)| *id != row.account) {
                let account = metadata.account(row.account);
                owner = Some((row.account, account.map_err(|error| self.failed(error))?));
            }
            // One whose account went meanwhile is no more.
            if let Some((_, Some(account))) = &owner {
                views.push(self.key_view(row, account));
            }
        }
        Ok((views, next))
    }

    fn sees_all_keys(&self, session: &Session) -> Result<bool, Error> {
        let account = self.parts.metadata.account(session.account);
        let account = account.map_err(|error| self.failed(error))?;
        let account = account.filter(|account| !account.disabled);
        let account = account.ok_or(Error::Unauthorized)?;
        Ok(account.permissions.allow(UserPermissions::API))
    }
}
