//! What owners do with their files: list, inspect, change, delete, restore.

use super::label::{Label, row};
use super::link_keys::{OwnerKeys, wrap_by_link};
use super::{Count, Error, Lifetime, Service, Session, events};
use crate::metadata::{LinkCursor, LinkEdit, PasswordEdit};
use crate::model::{
    AccountId, Allowance, BlobFormat, Expiry, Link, Lookup, PasswordParams, Secret, Timestamp,
    Token,
};
use crate::pipeline::seal::keys::{self, TokenKind};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// How often a change is made again that was made from what is no more.
pub(super) const ATTEMPTS: usize = 16;

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

/// An own link, opened with the account key.
pub(super) struct OwnLink {
    pub(super) link: Link,
    pub(super) keys: OwnerKeys,
}

impl Service {
    /// Up to `limit` files of the session's account that are not over, oldest first, and where to go
    /// on; `None` at the end. Files that wait for their deletion are included.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn files(
        &self,
        session: &Session,
        after: Option<&LinkCursor>,
        limit: usize,
    ) -> Result<(Vec<FileView>, Option<LinkCursor>), Error> {
        let limit = limit.max(1);
        let mut after = after.cloned();
        loop {
            let page = self
                .parts
                .metadata
                .links_of(session.account, after.as_ref(), limit)
                .map_err(|error| self.failed(error))?;
            let full = page.len() == limit;
            after = page.last().map(|link| LinkCursor {
                created: link.created,
                lookup: link.lookup,
            });
            let now = self.parts.clock.now();
            let mut views = Vec::with_capacity(page.len());
            for link in page.into_iter().filter(|link| !link.is_over(now)) {
                let lookup = link.lookup;
                match self
                    .unlock_own(session, link)
                    .and_then(|own| self.view_of(own))
                {
                    Ok(view) => views.push(view),
                    // One damaged row must not hide the others.
                    Err(Error::Damaged) => log::error!("link={lookup} its record is damaged"),
                    Err(error) => return Err(error),
                }
            }
            if !full {
                return Ok((views, None));
            }
            if !views.is_empty() {
                return Ok((views, after));
            }
        }
    }

    /// One file of the session's account.
    ///
    /// # Errors
    /// [`Error::NotFound`] (also when it waits for its deletion), [`Error::Forbidden`].
    pub fn file(&self, session: &Session, id: &str) -> Result<FileView, Error> {
        let own = self.own_visible(session, id)?;
        self.view_of(own)
    }

    /// Deletes a file, at once or after `delay` seconds; hidden at once in both cases.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub fn delete(&self, session: &Session, id: &str, delay: u64) -> Result<(), Error> {
        let link = self.own_row(session, id)?;
        if delay == 0 {
            self.end_link(&link.lookup)?;
        } else {
            let seconds = i64::try_from(delay).unwrap_or(i64::MAX);
            let edit = LinkEdit {
                pending_delete: Some(Some(self.parts.clock.now().plus(seconds))),
                ..LinkEdit::default()
            };
            self.edit(&link.lookup, edit)?;
        }
        events::deleted(&link.lookup, session.account, delay);
        Ok(())
    }

    /// Takes a delayed deletion back. Works when there was none.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub fn restore(&self, session: &Session, id: &str) -> Result<FileView, Error> {
        let mut link = self.own_row(session, id)?;
        if link.pending_delete.is_some() {
            let edit = LinkEdit {
                pending_delete: Some(None),
                ..LinkEdit::default()
            };
            link = self.edit(&link.lookup, edit)?;
            events::restored(&link.lookup, session.account);
        }
        let own = self.unlock_own(session, link)?;
        self.view_of(own)
    }

    /// Changes limits or password. A new number of downloads includes those that are in progress.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Invalid`].
    pub fn modify(&self, session: &Session, id: &str, changes: Changes) -> Result<FileView, Error> {
        let mut own = self.own_visible(session, id)?;
        self.allows(changes.count, changes.lifetime)?;
        let password = match &changes.password {
            PasswordChange::Keep => None,
            PasswordChange::Remove => Some(None),
            PasswordChange::Set(password) => Some(self.new_password(Some(password))?),
        };
        let _turn = password.as_ref().map(|_| self.rewriting());
        for _ in 0..ATTEMPTS {
            let OwnLink { link, keys } = own;
            let expiry = changes.lifetime.map(|lifetime| match lifetime {
                // The number stays, as in Gokapi.
                Lifetime::Unlimited => Expiry {
                    unlimited: true,
                    ..link.expiry
                },
                Lifetime::Until(_) => lifetime.expiry(self.parts.clock.now()),
            });
            let (keys, password) = match &password {
                None => (keys, None),
                Some(password) => {
                    let (keys, edit) = with_password(session, &link, keys, password.as_ref());
                    (keys, Some(edit))
                }
            };
            let mut what = Vec::new();
            what.extend(changes.count.map(|_| "downloads"));
            what.extend(expiry.map(|_| "expiry"));
            what.extend(password.as_ref().map(|_| "password"));
            let wrapped = password.as_ref().map(|edit| edit.by_owner.clone());
            let edit = LinkEdit {
                expiry,
                allowance: changes.count.map(|count| allowance(count, link.allowance)),
                pending_delete: None,
                password,
            };
            if changes.count.is_some() {
                // Fewer than are in progress: the database takes the youngest back.
                self.book().doubt(&link.lookup);
            }
            let changed = self.edit(&link.lookup, edit)?;
            if wrapped.is_some_and(|wrapped| wrapped != changed.by_owner) {
                own = self.own_visible(session, id)?;
                continue;
            }
            events::changed(&link.lookup, session.account, &what);
            // What the clock is not sure of is refused, and goes later.
            if changed.is_over(self.parts.clock.now().min(self.removable())) {
                self.end_link(&changed.lookup)?;
                events::expired(&changed.lookup, "change");
            }
            return self.view_of(OwnLink {
                link: changed,
                keys,
            });
        }
        Err(changes_all_the_time())
    }

    /// One change at a time to what the owner's key opens in a link: those that were made from what is no
    /// more have to be made again. Only for that: another process may be at it, too.
    pub(super) fn rewriting(&self) -> MutexGuard<'_, ()> {
        self.rewriting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, lookup: &Lookup, edit: LinkEdit) -> Result<Link, Error> {
        let edited = self.parts.metadata.edit(lookup, edit);
        edited
            .map_err(|error| self.failed(error))?
            .ok_or(Error::NotFound)
    }

    /// Removes a link and, with its last reference, the bytes.
    fn end_link(&self, lookup: &Lookup) -> Result<(), Error> {
        let freed = self.parts.metadata.remove(lookup);
        let freed = freed
            .map_err(|error| self.failed(error))?
            .ok_or(Error::NotFound)?;
        self.unlink(freed.blob.as_slice());
        Ok(())
    }

    /// The row of an own link that is not over.
    fn own_row(&self, session: &Session, id: &str) -> Result<Link, Error> {
        let token = Token::parse(id).ok_or(Error::NotFound)?;
        let link = self
            .parts
            .metadata
            .link(&keys::lookup(TokenKind::Link, &token))
            .map_err(|error| self.failed(error))?
            .filter(|link| !link.is_over(self.parts.clock.now()))
            .ok_or(Error::NotFound)?;
        if link.owner == session.account {
            Ok(link)
        } else {
            Err(Error::Forbidden)
        }
    }

    /// An own link that recipients may see, too.
    pub(super) fn own_visible(&self, session: &Session, id: &str) -> Result<OwnLink, Error> {
        let link = self.own_row(session, id)?;
        if link.pending_delete.is_some() {
            return Err(Error::NotFound);
        }
        self.unlock_own(session, link)
    }

    fn unlock_own(&self, session: &Session, link: Link) -> Result<OwnLink, Error> {
        let context = row(&link.lookup, &link.blob);
        let keys = OwnerKeys::unwrap(&session.account_key, &context, &link.by_owner);
        let keys = keys.ok_or(Error::Damaged)?;
        Ok(OwnLink { link, keys })
    }

    pub(super) fn view_of(&self, own: OwnLink) -> Result<FileView, Error> {
        let OwnLink { link, keys } = own;
        let label = Label::open(&link.label, &keys.content, &link.lookup, &link.blob);
        let label = label.ok_or(Error::Damaged)?;
        let waiting = self.waiting_downloads(&link.lookup);
        let mut allowance = link.allowance;
        allowance.count = allowance.count.saturating_add(waiting);
        let has_password = link.password.is_some();
        Ok(FileView {
            id: keys.id,
            name: label.name,
            content_type: label.content_type,
            size: link.size,
            created: link.created,
            expiry: link.expiry,
            allowance,
            owner: link.owner,
            has_password,
            sealed: link.format == BlobFormat::Sealed,
            pending_delete: link.pending_delete.is_some(),
            // It opens nothing while the link has a password.
            hotlink: keys.hotlink.filter(|_| !has_password),
        })
    }
}

/// Another change came between each time.
pub(super) fn changes_all_the_time() -> Error {
    Error::TooMany(Duration::from_secs(1))
}

/// The keys of a link with another password, and the change that makes it so.
fn with_password(
    session: &Session,
    link: &Link,
    mut keys: OwnerKeys,
    password: Option<&(PasswordParams, Secret)>,
) -> (OwnerKeys, PasswordEdit) {
    let context = row(&link.lookup, &link.blob);
    keys.password = password.map(|(_, key)| key.clone());
    let edit = PasswordEdit {
        params: password.map(|(params, _)| *params),
        by_link: wrap_by_link(&keys.id, keys.password.as_ref(), &context, &keys.content),
        by_owner: keys.wrap(&session.account_key, &context),
        seen: link.by_owner.clone(),
    };
    (keys, edit)
}

/// The allowance after a change, as [`LinkEdit`] takes it.
fn allowance(count: Count, old: Allowance) -> Allowance {
    match count {
        // The number stays, as in Gokapi.
        Count::Unlimited => Allowance {
            unlimited: true,
            ..old
        },
        Count::Limited(n) => Allowance {
            remaining: n,
            unlimited: false,
            ..old
        },
    }
}
