//! What owners do with their files: list, inspect, change, delete, restore.

use super::{Count, Error, Lifetime, Service, Session};
use crate::metadata::LinkCursor;
use crate::model::{AccountId, Allowance, Expiry, Timestamp, Token};
use zeroize::Zeroizing;

/// A file, as its owner sees it.
pub struct FileView {
    /// The link id.
    pub id: Token,
    /// The file's name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was uploaded.
    pub created: Timestamp,
    /// End by time.
    pub expiry: Expiry,
    /// End by downloads. What is left for recipients is `remaining + leased`.
    pub allowance: Allowance,
    /// Who uploaded it.
    pub owner: AccountId,
    /// Whether it has a password.
    pub has_password: bool,
    /// Whether its bytes are sealed.
    pub sealed: bool,
    /// Whether it waits for its delayed deletion.
    pub pending_delete: bool,
    /// The hotlink id, when it has one.
    pub hotlink: Option<Token>,
}

/// Changes to a link; `None` keeps.
#[derive(Default)]
pub struct Changes {
    /// Another end by downloads.
    pub count: Option<Count>,
    /// Another end by time.
    pub lifetime: Option<Lifetime>,
    /// What becomes of the password.
    pub password: PasswordChange,
}

/// What becomes of a password.
#[derive(Default)]
pub enum PasswordChange {
    /// It stays.
    #[default]
    Keep,
    /// None from now on.
    Remove,
    /// This one from now on.
    Set(Zeroizing<String>),
}

impl Service {
    /// Up to `limit` files of the session's account that are not over, oldest first, and where to go
    /// on; `None` at the end. Files that wait for their deletion are included.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn files(
        &self,
        _session: &Session,
        _after: Option<&LinkCursor>,
        _limit: usize,
    ) -> Result<(Vec<FileView>, Option<LinkCursor>), Error> {
        todo!()
    }

    /// One file of the session's account.
    ///
    /// # Errors
    /// [`Error::NotFound`] (also when it waits for its deletion), [`Error::Forbidden`].
    pub fn file(&self, _session: &Session, _id: &str) -> Result<FileView, Error> {
        todo!()
    }

    /// Deletes a file, at once or after `delay` seconds; hidden at once in both cases.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub fn delete(&self, _session: &Session, _id: &str, _delay: u64) -> Result<(), Error> {
        todo!()
    }

    /// Takes a delayed deletion back. Works when there was none.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub fn restore(&self, _session: &Session, _id: &str) -> Result<FileView, Error> {
        todo!()
    }

    /// Changes limits or password.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Invalid`].
    pub fn modify(
        &self,
        _session: &Session,
        _id: &str,
        _changes: Changes,
    ) -> Result<FileView, Error> {
        todo!()
    }
}
