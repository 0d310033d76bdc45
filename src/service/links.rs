//! What recipients do before they download: look at a link, unlock it, open it.

use super::files::{ATTEMPTS, changes_all_the_time};
use super::label::{Label, row};
use super::limiter::Kind;
use super::link_keys::unwrap_by_link;
use super::passwords::{PASSWORD_MAX, Wait};
use super::upload::describe;
use super::{Error, Service, Session, events};
use crate::model::{Allowance, BlobFormat, Link, Lookup, Secret, Timestamp, Token};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use crate::pipeline::{SendError, Source};
use crate::store::{Reason, StoreError, StoredBlob};
use data_encoding::HEXLOWER;
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
    pub(super) source: Box<Source>,
    /// Whether a download of it counts.
    pub(super) counts: bool,
}

impl Service {
    /// What the page of a link may show. `unlock` is the cookie of [`Service::unlock`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooMany`] after too many ids that are none.
    pub fn view(&self, id: &str, unlock: Option<&str>, peer: IpAddr) -> Result<PublicView, Error> {
        let (token, link) = self.visible_link(id, peer)?;
        let content = match self.content_by_link(&token, &link, unlock) {
            Err(Error::PasswordNeeded) => return Ok(PublicView::Locked),
            content => content?,
        };
        let label = Label::open(&link.label, &content, &link.lookup, &link.blob);
        let label = label.ok_or(Error::Damaged)?;
        let Allowance {
            remaining,
            leased,
            unlimited,
            ..
        } = link.allowance;
        Ok(PublicView::Open {
            name: label.name,
            content_type: label.content_type,
            size: link.size,
            until: (!link.expiry.unlimited).then_some(link.expiry.at),
            downloads: (!unlimited).then_some(remaining.saturating_add(leased)),
        })
    }

    /// Checks the password of a link; answers a cookie value that opens this link for a time. Takes
    /// a password check, so it belongs into the password room.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::NotFound`] (also when the link has no password),
    /// [`Error::TooMany`].
    pub fn unlock(&self, id: &str, password: &str, peer: IpAddr) -> Result<String, Error> {
        let (token, link) = self.visible_link(id, peer)?;
        let params = link.password.ok_or(Error::NotFound)?;
        let charged = [
            (Kind::LinkPassword, (&link.lookup).into()),
            (Kind::LinkPasswordFrom, peer.into()),
        ];
        self.limiter
            .charge(&charged, self.parts.clock.elapsed())
            .map_err(|wait| events::too_many("link-password", peer, wait))?;
        if password.len() > PASSWORD_MAX {
            events::password_wrong(&link.lookup, peer);
            return Err(Error::WrongPassword);
        }
        // Refused at the door: it was no attempt.
        let key = self
            .stretch(password, &params, Wait::Bounded)
            .inspect_err(|_| {
                self.limiter.refund(&charged);
                events::checks_full(peer);
            })?;
        let context = row(&link.lookup, &link.blob);
        if unwrap_by_link(&token, Some(&key), &context, &link.by_link).is_none() {
            events::password_wrong(&link.lookup, peer);
            return Err(Error::WrongPassword);
        }
        self.limiter.refund(&charged);
        Ok(self.seal_unlock(&link, &key))
    }

    /// Opens a link for reading. Counts nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PasswordNeeded`], [`Error::TooMany`], [`Error::Damaged`].
    pub fn open(
        &self,
        door: Door<'_>,
        unlock: Option<&str>,
        peer: IpAddr,
    ) -> Result<OpenFile, Error> {
        for _ in 0..ATTEMPTS {
            let (link, content) = match door {
                Door::Link(id) => {
                    let (token, link) = self.visible_link(id, peer)?;
                    let content = self.content_by_link(&token, &link, unlock)?;
                    (link, content)
                }
                Door::Hotlink(id) => self.hotlinked(id, peer)?,
            };
            if let Some(file) = self.open_file(link, &content, true)? {
                return Ok(file);
            }
        }
        Err(changes_all_the_time())
    }

    /// Opens a file of the session's account; its password is not asked for. Whether the download
    /// counts is the caller's wish.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Damaged`].
    pub fn open_own(&self, session: &Session, id: &str, counts: bool) -> Result<OpenFile, Error> {
        for _ in 0..ATTEMPTS {
            let own = self.own_visible(session, id)?;
            if let Some(file) = self.open_file(own.link, &own.keys.content, counts)? {
                return Ok(file);
            }
        }
        Err(changes_all_the_time())
    }

    /// The link of that id, if a recipient may see it. Ids that are none are charged to `peer`.
    fn visible_link(&self, id: &str, peer: IpAddr) -> Result<(Token, Link), Error> {
        let found = match Token::parse(id) {
            Some(token) => {
                let link = self.visible_row(&keys::lookup(TokenKind::Link, &token))?;
                link.map(|link| (token, link))
            }
            None => None,
        };
        found.ok_or_else(|| self.unknown_id(peer))
    }

    /// The link of that hotlink id and its content key. A password closes this way in.
    fn hotlinked(&self, id: &str, peer: IpAddr) -> Result<(Link, Secret), Error> {
        let found = match Token::parse(id) {
            Some(token) => {
                let lookup = keys::lookup(TokenKind::Hotlink, &token);
                let hotlink = self.parts.metadata.hotlink(&lookup);
                let hotlink = hotlink.map_err(|error| self.failed(error))?;
                hotlink.map(|hotlink| (token, lookup, hotlink))
            }
            None => None,
        };
        let (token, lookup, hotlink) = found.ok_or_else(|| self.unknown_id(peer))?;
        let link = self.visible_row(&hotlink.link)?;
        let link = link
            .filter(|link| link.password.is_none())
            .ok_or_else(|| self.unknown_id(peer))?;
        let content = keys::unwrap(
            Purpose::ContentByHotlink,
            &[token.reveal().as_bytes()],
            &row(&lookup, &link.blob),
            &hotlink.by_hotlink,
        );
        let content = content.and_then(|key| Secret::from_slice(&key));
        Ok((link, content.ok_or(Error::Damaged)?))
    }

    fn visible_row(&self, lookup: &Lookup) -> Result<Option<Link>, Error> {
        let link = self.parts.metadata.link(lookup);
        let link = link.map_err(|error| self.failed(error))?;
        match link.filter(|link| link.is_visible(self.parts.clock.now())) {
            Some(link) if self.is_enabled(link.owner)? => Ok(Some(link)),
            _ => Ok(None),
        }
    }

    /// The same answer for unknown, expired, used up and deleted; too many of them are limited.
    fn unknown_id(&self, peer: IpAddr) -> Error {
        let charged = [(Kind::UnknownId, peer.into())];
        match self.limiter.charge(&charged, self.parts.clock.elapsed()) {
            Ok(()) => {
                events::link_unknown(peer);
                Error::NotFound
            }
            Err(wait) => events::too_many("unknown-link", peer, wait),
        }
    }

    /// The content key, by the id and, where there is a password, by the unlock cookie.
    fn content_by_link(
        &self,
        token: &Token,
        link: &Link,
        unlock: Option<&str>,
    ) -> Result<Secret, Error> {
        let context = row(&link.lookup, &link.blob);
        if link.password.is_none() {
            let content = unwrap_by_link(token, None, &context, &link.by_link);
            return content.ok_or(Error::Damaged);
        }
        // A cookie from before a change of the password does not open the new wrap.
        unlock
            .and_then(|cookie| self.open_unlock(link, cookie))
            .and_then(|key| unwrap_by_link(token, Some(&key), &context, &link.by_link))
            .ok_or(Error::PasswordNeeded)
    }

    /// `None` when the link has other bytes by now: it is to be looked at once more.
    pub(super) fn open_file(
        &self,
        link: Link,
        content: &Secret,
        counts: bool,
    ) -> Result<Option<OpenFile>, Error> {
        let label = Label::open(&link.label, content, &link.lookup, &link.blob);
        let label = label.ok_or(Error::Damaged)?;
        let stored = match self.parts.store.open(&link.blob) {
            Ok(stored) => stored,
            Err(StoreError::NotFound) => {
                // Gone with its link since, replaced, or missing: the row tells.
                match self.visible_row(&link.lookup)? {
                    None => return Err(Error::NotFound),
                    Some(row) if row.blob != link.blob => return Ok(None),
                    Some(_) => {}
                }
                log::error!("link={} its stored file is missing", link.lookup);
                return Err(Error::Damaged);
            }
            Err(error) => return Err(not_opened(&link.lookup, error)),
        };
        let source = source(stored, &link.lookup, link.format, link.size, content)?;
        let etag = keys::etag(content, &row(&link.lookup, &link.blob));
        Ok(Some(OpenFile {
            name: label.name,
            content_type: label.content_type,
            size: link.size,
            created: link.created,
            etag: HEXLOWER.encode(&etag),
            link,
            source,
            counts,
        }))
    }
}

/// What it means that a stored file could not be opened.
pub(super) fn not_opened(link: &Lookup, error: StoreError) -> Error {
    let what = describe(&error);
    log::error!("link={link} {what}");
    match error {
        StoreError::Refused(cause) => Error::Away(Reason::public_of(&cause)),
        StoreError::NotFound => Error::Damaged,
        _ => Error::Internal(what),
    }
}

/// The plaintext of an open blob.
pub(super) fn source(
    stored: Box<dyn StoredBlob>,
    link: &Lookup,
    format: BlobFormat,
    size: u64,
    content: &Secret,
) -> Result<Box<Source>, Error> {
    let source = match format {
        BlobFormat::Plain => Source::plain(stored, size),
        BlobFormat::Sealed => Source::sealed(stored, size, content),
    };
    source.map(Box::new).map_err(|error| match error {
        SendError::Blob(cause) => {
            log::error!("link={link} its stored file cannot be read: {cause}");
            Error::Away(Reason::public_of(&cause))
        }
        _ => {
            log::error!("link={link} its stored file is damaged");
            Error::Damaged
        }
    })
}
