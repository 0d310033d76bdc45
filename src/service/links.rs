//! What recipients do before they download: look at a link, unlock it, open it.

use super::{Error, Service, Session};
use crate::model::{Link, Timestamp};
use crate::pipeline::Source;
use std::net::IpAddr;

/// What the page of a link may show.
pub enum PublicView {
    /// A password is needed first; nothing else is told.
    Locked,
    /// The file.
    Open {
        /// Its name.
        name: String,
        /// Its media type.
        content_type: String,
        /// Its size in bytes.
        size: u64,
        /// When it ends by time, if it does.
        until: Option<Timestamp>,
        /// Downloads left, if they are limited.
        downloads: Option<u32>,
    },
}

/// What a recipient has in hand.
#[derive(Clone, Copy)]
pub enum Door<'a> {
    /// A link id.
    Link(&'a str),
    /// A hotlink id.
    Hotlink(&'a str),
}

/// A file that may be downloaded. Nothing is counted yet.
#[allow(dead_code)]
pub struct OpenFile {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was uploaded: the `Last-Modified`.
    pub created: Timestamp,
    /// A strong validator without the quotes: the same as long as the bytes are, and no hint at
    /// them.
    pub etag: String,
    pub(super) link: Link,
    pub(super) source: Source,
    /// Whether a download of it counts.
    pub(super) counts: bool,
}

impl Service {
    /// What the page of a link may show. `unlock` is the cookie of [`Service::unlock`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooMany`] after too many ids that are none.
    pub fn view(
        &self,
        _id: &str,
        _unlock: Option<&str>,
        _peer: IpAddr,
    ) -> Result<PublicView, Error> {
        todo!()
    }

    /// Checks the password of a link; answers a cookie value that opens this link for a time. Takes
    /// a password check, so it belongs into the password room.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::NotFound`], [`Error::TooMany`].
    pub fn unlock(&self, _id: &str, _password: &str, _peer: IpAddr) -> Result<String, Error> {
        todo!()
    }

    /// Opens a link for reading. Counts nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PasswordNeeded`], [`Error::TooMany`], [`Error::Damaged`].
    pub fn open(
        &self,
        _door: Door<'_>,
        _unlock: Option<&str>,
        _peer: IpAddr,
    ) -> Result<OpenFile, Error> {
        todo!()
    }

    /// Opens a file of the session's account; its password is not asked for. Whether the download
    /// counts is the caller's wish.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Damaged`].
    pub fn open_own(
        &self,
        _session: &Session,
        _id: &str,
        _counts: bool,
    ) -> Result<OpenFile, Error> {
        todo!()
    }
}
