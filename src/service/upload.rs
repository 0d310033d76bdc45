//! The story of one upload: admit, receive, publish. The last two are apart because the fields that
//! say how long a link lives may come after the file.

use super::{Error, FileView, Service, Session};
use crate::model::Timestamp;
use crate::store::Stage;
use std::io::Read;
use zeroize::Zeroizing;

/// A file that has been received and staged, and is not visible yet. Dropping it leaves nothing.
#[allow(dead_code)]
pub struct Received {
    pub(super) stage: Box<dyn Stage>,
}

/// How often a link may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Any number of downloads.
    Unlimited,
    /// This many; 0 makes a link that is over at once (as a negative number does in Gokapi).
    Limited(u32),
}

/// How long a link lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// For ever.
    Unlimited,
    /// Until this time.
    Until(Timestamp),
}

/// What an uploader wishes for a link.
pub struct LinkWish {
    /// The file's name, as the client gave it. Cleaned here: no path, no control characters, at
    /// most 255 bytes; "unnamed" when nothing is left.
    pub name: String,
    /// The file's type, as the client gave it; `application/octet-stream` when it is no media type.
    pub content_type: String,
    /// End by downloads.
    pub count: Count,
    /// End by time.
    pub lifetime: Lifetime,
    /// A password; empty means none.
    pub password: Option<Zeroizing<String>>,
}

impl Service {
    /// Takes a whole file in. `declared` is the most it can be, if the client said so.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Full`], at once when `declared` tells; [`Error::Input`].
    pub fn receive(
        &self,
        _session: &Session,
        _input: &mut dyn Read,
        _declared: Option<u64>,
    ) -> Result<Received, Error> {
        todo!()
    }

    /// Makes a received file visible under a new link. When it returns, file and link are durable.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Invalid`] (password over 1,024 bytes), [`Error::Internal`].
    pub fn publish(
        &self,
        _session: &Session,
        _received: Received,
        _wish: LinkWish,
    ) -> Result<FileView, Error> {
        todo!()
    }
}
