//! The story of one upload: admit, receive, publish. The last two are apart because the fields that
//! say how long a link lives may come after the file.

use super::label::{Label, row};
use super::link_keys::{OwnerKeys, wrap_by_link};
use super::{Encryption, Error, FileView, Service, Session};
use crate::metadata::{BlobSource, NewLink, Published};
use crate::model::{
    AccountId, Allowance, Blob, BlobFormat, BlobId, Expiry, Link, PasswordParams, Secret,
    Timestamp, Token,
};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use crate::pipeline::seal::{Cipher, HEADER, SEGMENT, TAG};
use crate::pipeline::{self, Intake, IntakeError, Layout};
use crate::store::{Stage, StoreError};
use std::collections::HashSet;
use std::io::Read;
use std::sync::{MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// A file that has been received and staged, and is not visible yet. Dropping it leaves nothing.
pub struct Received {
    stage: Box<dyn Stage>,
    intake: Intake,
    content: Secret,
    format: BlobFormat,
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

/// What a link is made of, apart from its bytes.
struct Plan {
    id: Token,
    hotlink: Option<Token>,
    label: Label,
    password: Option<(PasswordParams, Secret)>,
    expiry: Expiry,
    allowance: Allowance,
    created: Timestamp,
    owner: AccountId,
    size: u64,
    sealed: bool,
}

/// A blob between its rename and its commit. While it lives, the orphan sweep keeps away.
struct Publishing<'a> {
    service: &'a Service,
    id: BlobId,
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.service.publishing().remove(&self.id);
    }
}

impl Service {
    /// Takes a whole file in. `declared` is the most it can be, if the client said so.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Full`], at once when `declared` tells; [`Error::Input`].
    pub fn receive(
        &self,
        // Who uploads: quotas will ask. Holding one is also what allows it.
        _session: &Session,
        input: &mut dyn Read,
        declared: Option<u64>,
    ) -> Result<Received, Error> {
        let limit = self.policy.max_file_size;
        if declared.is_some_and(|declared| declared > limit) {
            return Err(Error::TooLarge { limit });
        }
        let sealed = self.policy.encryption != Encryption::None;
        let expected = declared.map(|size| if sealed { sealed_size(size) } else { size });
        if let Some(expected) = expected {
            let available = self.parts.store.available();
            let available = available.map_err(|error| self.refused(&error))?;
            if expected > available {
                return Err(Error::Full { available });
            }
        }
        let stage = self.parts.store.stage(expected);
        let mut stage = stage.map_err(|error| self.refused(&error))?;
        let content = keys::random_secret();
        let (format, layout) = if sealed {
            let cipher = Cipher::for_this_cpu();
            let key = &content;
            (BlobFormat::Sealed, Layout::Sealed { cipher, key })
        } else {
            (BlobFormat::Plain, Layout::Plain)
        };
        let intake =
            pipeline::receive(input, &mut *stage, &layout, limit).map_err(|error| match error {
                IntakeError::Input(error) => Error::Input(error),
                IntakeError::TooLarge { limit } => Error::TooLarge { limit },
                IntakeError::Store(error) => self.refused(&error),
            })?;
        Ok(Received {
            stage,
            intake,
            content,
            format,
        })
    }

    /// Makes a received file visible under a new link. When it returns, file and link are durable.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Invalid`] (password over 1,024 bytes), [`Error::Internal`].
    pub fn publish(
        &self,
        session: &Session,
        received: Received,
        wish: LinkWish,
    ) -> Result<FileView, Error> {
        let plan = self.plan(session, &received, &wish)?;
        if plan.is_over() {
            // Over before it began: nobody could ever open it, so nothing is kept.
            return Ok(plan.view());
        }
        let tag = self.policy.dedup.then(|| {
            keys::dedup_tag(
                &self.parts.server_key,
                session.account.0,
                plan.sealed,
                &received.intake.sha256,
            )
        });
        if let Some(tag) = &tag
            && let Some((blob, content)) = self.duplicate(tag, &received)?
        {
            let link = plan.new_link(session, &blob, &content, BlobSource::Shared(blob));
            let published = self.parts.metadata.publish(link);
            if published.map_err(|error| self.failed(error))? == Published::Done {
                return Ok(plan.view());
            }
            // Its last link went meanwhile. The bytes just received are here.
        }
        self.publish_own(session, &plan, received, tag)?;
        Ok(plan.view())
    }

    fn publish_own(
        &self,
        session: &Session,
        plan: &Plan,
        received: Received,
        tag: Option<[u8; 32]>,
    ) -> Result<(), Error> {
        let Received {
            stage,
            intake,
            content,
            format,
        } = received;
        let id = BlobId(keys::random());
        self.publishing().insert(id);
        let publishing = Publishing { service: self, id };
        match stage.commit(&id) {
            Ok(()) => {}
            Err(error @ (StoreError::Full { .. } | StoreError::Exists)) => {
                return Err(self.refused(&error));
            }
            Err(error) => {
                std::mem::forget(publishing);
                return Err(self.fatal(&format!(
                    "a file could not be made durable, its state is unknown: {}",
                    describe(&error)
                )));
            }
        }
        let by_plaintext = tag.map(|_| {
            keys::wrap(
                Purpose::ContentByPlaintext,
                &[&intake.sha256],
                &id.0,
                content.reveal(),
            )
        });
        let blob = Blob {
            id,
            format,
            size: intake.size,
            stored: intake.stored,
            tag,
            references: 1,
        };
        let source = BlobSource::New { blob, by_plaintext };
        let link = plan.new_link(session, &id, &content, source);
        match self.parts.metadata.publish(link) {
            Ok(Published::Done) => Ok(()),
            Ok(Published::SharedBlobGone) => Err(Error::Internal(
                "the database misses a blob that was not to be shared".into(),
            )),
            Err(error) => {
                // The row may be there: its bytes stay for the next start to judge. After a
                // failure that changed nothing they are an orphan, which the sweep removes.
                if matches!(error, crate::metadata::MetadataError::OutcomeUnknown(_)) {
                    std::mem::forget(publishing);
                }
                Err(self.failed(error))
            }
        }
    }

    /// A blob of the same owner with the same bytes, and its content key. Whatever does not fit
    /// exactly is passed over: the upload has its own bytes.
    fn duplicate(
        &self,
        tag: &[u8; 32],
        received: &Received,
    ) -> Result<Option<(BlobId, Secret)>, Error> {
        let found = self.parts.metadata.duplicate(tag);
        let Some(found) = found.map_err(|error| self.failed(error))? else {
            return Ok(None);
        };
        let blob = &found.blob;
        if blob.size != received.intake.size || blob.format != received.format {
            return Ok(None);
        }
        let content = keys::unwrap(
            Purpose::ContentByPlaintext,
            &[&received.intake.sha256],
            &blob.id.0,
            &found.by_plaintext,
        );
        let Some(content) = content.and_then(|key| Secret::from_slice(&key)) else {
            return Ok(None);
        };
        // Sharing bytes that are damaged would lose what was just received.
        match self.parts.store.open(&blob.id) {
            Ok(stored) if stored.size() == blob.stored => Ok(Some((blob.id, content))),
            Ok(_) | Err(_) => {
                log::warn!("a stored file is damaged and is not shared with a new upload");
                Ok(None)
            }
        }
    }

    fn plan(&self, session: &Session, received: &Received, wish: &LinkWish) -> Result<Plan, Error> {
        let created = self.parts.clock.now();
        let label = Label::clean(&wish.name, &wish.content_type);
        let password = self.new_password(wish.password.as_ref().map(|p| p.as_str()))?;
        let hotlink = (label.is_inline_image() && password.is_none())
            .then(|| keys::random_token(Token::HOTLINK));
        Ok(Plan {
            id: keys::random_token(Token::LINK),
            hotlink,
            label,
            password,
            expiry: wish.lifetime.expiry(created),
            allowance: Allowance {
                remaining: match wish.count {
                    Count::Unlimited => 0,
                    Count::Limited(n) => n,
                },
                leased: 0,
                unlimited: wish.count == Count::Unlimited,
                count: 0,
            },
            created,
            owner: session.account,
            size: received.intake.size,
            sealed: received.format == BlobFormat::Sealed,
        })
    }

    /// The blobs between rename and commit. Insertions and removals are single calls, so a panic
    /// elsewhere leaves the set whole.
    pub(super) fn publishing(&self) -> MutexGuard<'_, HashSet<BlobId>> {
        self.publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What a refusal of the store means for an upload.
    fn refused(&self, error: &StoreError) -> Error {
        if let StoreError::Full { available, .. } = error {
            return Error::Full {
                available: *available,
            };
        }
        let what = describe(error);
        log::error!("an upload failed: {what}");
        Error::Internal(what)
    }
}

impl Lifetime {
    /// As a row has it. A link without an end keeps the time of the wish as a number.
    pub(super) fn expiry(self, now: Timestamp) -> Expiry {
        match self {
            Self::Unlimited => Expiry {
                at: now,
                unlimited: true,
            },
            Self::Until(at) => Expiry {
                at,
                unlimited: false,
            },
        }
    }
}

impl Plan {
    fn is_over(&self) -> bool {
        let by_time = !self.expiry.unlimited && self.expiry.at <= self.created;
        let by_count = !self.allowance.unlimited && self.allowance.remaining == 0;
        by_time || by_count
    }

    fn new_link(
        &self,
        session: &Session,
        blob: &BlobId,
        content: &Secret,
        source: BlobSource,
    ) -> NewLink {
        let lookup = keys::lookup(TokenKind::Link, &self.id);
        let password_key = self.password.as_ref().map(|(_, key)| key);
        let hotlink = self
            .hotlink
            .as_ref()
            .map(|token| (token, keys::lookup(TokenKind::Hotlink, token)));
        let by_hotlink = hotlink.as_ref().map(|(token, hotlink)| {
            keys::wrap(
                Purpose::ContentByHotlink,
                &[token.reveal().as_bytes()],
                &row(hotlink, blob),
                content.reveal(),
            )
        });
        let owned = OwnerKeys {
            id: self.id.clone(),
            content: content.clone(),
            hotlink: self.hotlink.clone(),
        };
        let link = Link {
            lookup,
            owner: self.owner,
            blob: *blob,
            size: self.size,
            created: self.created,
            expiry: self.expiry,
            allowance: self.allowance,
            pending_delete: None,
            password: self.password.as_ref().map(|(params, _)| *params),
            by_link: wrap_by_link(&self.id, password_key, &row(&lookup, blob), content),
            by_owner: owned.wrap(&session.account_key, &row(&lookup, blob)),
            label: self.label.seal(content, &lookup, blob),
            hotlink: hotlink.map(|(_, lookup)| lookup),
        };
        NewLink {
            link,
            source,
            by_hotlink,
        }
    }

    fn view(self) -> FileView {
        FileView {
            id: self.id,
            name: self.label.name,
            content_type: self.label.content_type,
            size: self.size,
            created: self.created,
            expiry: self.expiry,
            allowance: self.allowance,
            owner: self.owner,
            has_password: self.password.is_some(),
            sealed: self.sealed,
            pending_delete: false,
            hotlink: self.hotlink,
        }
    }
}

/// Bytes that a sealed file of `size` bytes takes in the store. An empty file has one segment.
fn sealed_size(size: u64) -> u64 {
    let segments = size.div_ceil(SEGMENT as u64).max(1);
    size.saturating_add(segments.saturating_mul(TAG as u64))
        .saturating_add(HEADER as u64)
}

/// An error of the store with its cause: for the log.
pub(super) fn describe(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}
