//! API keys: made, listed, revoked. A key is shown once; the database holds its hash, and the
//! account key wrapped under it.

use super::{Error, Proof, Service, Session, events};
use crate::metadata::KeyAdded;
use crate::model::{Account, AccountId, ApiKey, Lookup, Permissions, Secret, Timestamp, Token};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};

/// Characters of a public id, as Gokapi has them.
const PUBLIC_ID: usize = 35;
/// The longest name of a key, in characters.
const NAME_MAX: usize = 64;
/// The most keys of an account: more are made by a script that has gone wrong, or by a thief who wants
/// to fill the disk.
pub const KEYS_MAX: u64 = 1_000;

/// A new API key: shown once.
pub struct NewApiKey {
    /// The key.
    pub key: Token,
    /// Its public name, 35 characters.
    pub public_id: String,
    /// What it may do.
    pub permissions: Permissions,
}

/// An API key, as its owner and administrators see it.
pub struct KeyView {
    /// Its hash: where a listing goes on.
    pub lookup: Lookup,
    /// Its public name, 35 characters.
    pub public_id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it may do, its account's rank and permissions considered.
    pub permissions: Permissions,
    /// Whose it is.
    pub account: AccountId,
    /// From when on it opens nothing; `None` is never.
    pub expires: Option<Timestamp>,
    /// When it was last used, to the hour.
    pub last_used: Option<Timestamp>,
}

impl Service {
    /// Makes an API key for the session's account. Its permissions are `Permissions::BASIC` or
    /// none, within those of the session. It ends at `expires`, if that is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the account has [`KEYS_MAX`] keys or the end is over,
    /// [`Error::Unauthorized`] when the session is no more.
    pub fn create_api_key(
        &self,
        session: &Session,
        name: &str,
        basic: bool,
        expires: Option<Timestamp>,
    ) -> Result<NewApiKey, Error> {
        let now = self.parts.clock.now();
        if expires.is_some_and(|at| at <= now) {
            return Err(Error::Invalid(
                "the end of the key is over already: name a later time, or 0 for none".into(),
            ));
        }
        let wished = if basic {
            Permissions::BASIC
        } else {
            Permissions::NONE
        };
        let permissions = wished.and(session.permissions);
        let (mut row, key) =
            self.draw_api_key(session.account, &session.account_key, name, permissions);
        row.expires = expires;
        let (lookup, by) = (row.lookup, self.actor(session));
        let added = self.parts.metadata.create_key(&by, row, KEYS_MAX);
        match added.map_err(|error| self.failed(error))? {
            KeyAdded::Done => {
                events::key("made", &lookup, session.account);
                Ok(key)
            }
            KeyAdded::TooMany => Err(too_many_keys()),
            KeyAdded::OwnerGone => Err(Error::Unauthorized),
        }
    }

    /// Makes an API key for the account of that name. Only who can open the account can do so:
    /// `proof` says how.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account, [`Error::Invalid`] when it has
    /// [`KEYS_MAX`] keys, and what [`Proof`] says.
    pub fn create_key_for(
        &self,
        account: &str,
        proof: Proof<'_>,
        name: &str,
        wished: Permissions,
    ) -> Result<NewApiKey, Error> {
        let account = self.account_row(account)?;
        let account_key = self.open_account(&account, proof)?;
        let permissions = wished.and(account.rights());
        let (row, key) = self.draw_api_key(account.id, &account_key, name, permissions);
        let lookup = row.lookup;
        let added = self.parts.metadata.add_api_key(row, KEYS_MAX);
        match added.map_err(|error| self.failed(error))? {
            KeyAdded::Done => {
                events::key("made", &lookup, account.id);
                Ok(key)
            }
            KeyAdded::TooMany => Err(too_many_keys()),
            KeyAdded::OwnerGone => Err(Error::NotFound),
        }
    }

    /// Up to `limit` API keys of the account of that name, after `after`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Internal`].
    pub fn keys_of(
        &self,
        account: &str,
        after: Option<&Lookup>,
        limit: usize,
    ) -> Result<Vec<KeyView>, Error> {
        let account = self.account_row(account)?;
        let keys = self.parts.metadata.api_keys_of(account.id, after, limit);
        let keys = keys.map_err(|error| self.failed(error))?.into_iter();
        Ok(keys.map(|key| self.key_view(key, &account)).collect())
    }

    /// Revokes the API key with that public id: the next call with it is refused.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Internal`].
    pub fn revoke_key(&self, public_id: &str) -> Result<(), Error> {
        let metadata = &self.parts.metadata;
        let key = metadata.api_key_named(public_id);
        let key = key.map_err(|error| self.failed(error))?;
        let key = key.ok_or(Error::NotFound)?;
        let (lookup, owner) = (key.lookup, key.account);
        let removed = metadata.remove_api_key(&lookup);
        if !removed.map_err(|error| self.failed(error))? {
            return Err(Error::NotFound);
        }
        events::key("revoked", &lookup, owner);
        Ok(())
    }

    pub(super) fn key_view(&self, key: ApiKey, account: &Account) -> KeyView {
        let last_used = self.uses.last(account.id, Some(&key.lookup));
        KeyView {
            lookup: key.lookup,
            public_id: key.public_id,
            name: key.name,
            created: key.created,
            permissions: key.permissions.and(account.rights()),
            account: key.account,
            expires: key.expires,
            last_used: last_used.or(key.last_used),
        }
    }

    /// A new key of an account: the row, and what is shown.
    pub(super) fn draw_api_key(
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
            name: clean_key_name(name),
            created: self.parts.clock.now(),
            permissions,
            wrap: keys::wrap(
                Purpose::AccountByApiKey,
                &[key.reveal().as_bytes()],
                &lookup.0,
                account_key.reveal(),
            ),
            expires: None,
            last_used: None,
        };
        let new = NewApiKey {
            key,
            public_id,
            permissions,
        };
        (row, new)
    }
}

/// What may be seen of the name of a key.
pub(super) fn clean_key_name(name: &str) -> String {
    let visible = name.chars().filter(|c| !crate::model::is_hostile(*c));
    visible.take(NAME_MAX).collect()
}

fn too_many_keys() -> Error {
    Error::Invalid(format!(
        "this account has {KEYS_MAX} API keys, and no account may have more: revoke some that are not in use (mayfly key list, mayfly key revoke)"
    ))
}
