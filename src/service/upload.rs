//! The story of one upload: admit, receive, publish. The last two are apart because the fields that
//! say how long a link lives may come after the file.

use super::new_link::Plan;
use super::{Encryption, Error, FileView, Service, Session, events};
use crate::metadata::{BlobSource, MetadataError, Published};
use crate::model::{Blob, BlobFormat, BlobId, Secret, Timestamp};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use crate::pipeline::seal::{Cipher, stored_len};
use crate::pipeline::{self, Intake, IntakeError, Layout};
use crate::store::{Reason, Stage, StoreError};
use std::collections::HashSet;
use std::io::Read;
use std::sync::{MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// A file that has been received and staged, and is not visible yet. Dropping it leaves nothing.
pub struct Received {
    stage: Box<dyn Stage>,
    /// The name of the blob that it may become.
    id: BlobId,
    pub(super) intake: Intake,
    content: Secret,
    pub(super) format: BlobFormat,
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

/// A blob between its rename and its commit. While it lives, the orphan sweep keeps away.
pub(super) struct Publishing<'a> {
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
    /// [`Error::TooLarge`], [`Error::Full`] and [`Error::Quota`], at once when `declared` tells;
    /// [`Error::Input`].
    pub fn receive(
        &self,
        // Who uploads: quotas will ask. Holding one is also what allows it.
        session: &Session,
        input: &mut dyn Read,
        declared: Option<u64>,
    ) -> Result<Received, Error> {
        self.take_in(input, declared)
            .inspect_err(|error| events::upload_refused(session.account, error))
    }

    fn take_in(&self, input: &mut dyn Read, declared: Option<u64>) -> Result<Received, Error> {
        let limit = self.policy.max_file_size;
        if declared.is_some_and(|declared| declared > limit) {
            return Err(Error::TooLarge { limit });
        }
        let room = self.parts.metadata.room_for_more();
        room.map_err(|error| self.failed(error))?;
        let sealed = self.policy.encryption != Encryption::None;
        let expected = declared.map(|size| if sealed { stored_len(size) } else { size });
        let id = BlobId(keys::random());
        let stage = self.parts.store.stage(&id, expected);
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
            id,
            intake,
            content,
            format,
        })
    }

    /// Makes a received file visible under a new link. When it returns, file and link are durable.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Quota`], [`Error::Invalid`] (password over 1,024 bytes, more than a maximum), [`Error::Internal`].
    pub fn publish(
        &self,
        session: &Session,
        received: Received,
        wish: LinkWish,
    ) -> Result<FileView, Error> {
        let plan = self.plan(session, received.intake.size, received.format, &wish)?;
        if plan.is_over() {
            // Over before it began: nobody could ever open it, so nothing is kept.
            return Ok(told(plan.view(), "none"));
        }
        let tag = self.policy.dedup.then(|| {
            keys::dedup_tag(
                &self.parts.server_key,
                session.account.0,
                received.format == BlobFormat::Sealed,
                &received.intake.sha256,
            )
        });
        if let Some(tag) = &tag
            && let Some((blob, content)) = self.duplicate(tag, &received)?
        {
            let link = plan.new_link(session, &blob, &content, BlobSource::Shared(blob));
            let published = self.parts.metadata.publish(link);
            if published.map_err(|error| self.failed(error))? == Published::Done {
                self.note_birth(&plan);
                return Ok(told(plan.view(), "shared"));
            }
            // Its last link went meanwhile. The bytes just received are here.
        }
        self.publish_own(session, &plan, received, tag)?;
        self.note_birth(&plan);
        Ok(told(plan.view(), "own"))
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
            id,
            intake,
            content,
            format,
        } = received;
        let publishing = self.shield(id);
        if let Err(error) = stage.commit() {
            if is_unknown(&error) {
                std::mem::forget(publishing);
            }
            let error = self.not_durable(&error, "a file");
            events::upload_refused(session.account, &error);
            return Err(error);
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
            Ok(Published::OwnerGone) => {
                // In no list: what stays is an orphan.
                self.delete_bytes(&[id]);
                Err(Error::Unauthorized)
            }
            Ok(Published::SharedBlobGone | Published::SessionGone) => Err(Error::Internal(
                "the database misses a blob or chunks that the link does not have".into(),
            )),
            Err(error) => {
                // The row may be there: its bytes stay for the next start to judge. After a
                // failure that changed nothing they are an orphan, which the sweep removes.
                if matches!(error, MetadataError::OutcomeUnknown(_)) {
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
            Err(StoreError::Refused(_)) => {
                log::info!(
                    "stored file {} cannot be looked at now and is not shared with a new upload",
                    blob.id.to_hex()
                );
                Ok(None)
            }
            Ok(_) | Err(_) => {
                log::warn!(
                    "stored file {} is damaged and is not shared with a new upload",
                    blob.id.to_hex()
                );
                Ok(None)
            }
        }
    }

    /// Keeps the orphan sweep away from a blob until this is dropped.
    pub(super) fn shield(&self, id: BlobId) -> Publishing<'_> {
        self.publishing().insert(id);
        Publishing { service: self, id }
    }

    /// What it means that `what` could not be made durable. When nobody knows its state, the process ends.
    pub(super) fn not_durable(&self, error: &StoreError, what: &str) -> Error {
        match is_unknown(error) {
            false => self.refused(error),
            true => self.fatal(&format!(
                "{what} could not be made durable, its state is unknown: {}",
                describe(error)
            )),
        }
    }

    /// The blobs between rename and commit. Insertions and removals are single calls, so a panic
    /// elsewhere leaves the set whole.
    pub(super) fn publishing(&self) -> MutexGuard<'_, HashSet<BlobId>> {
        self.publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What a refusal of the store means for an upload.
    pub(super) fn refused(&self, error: &StoreError) -> Error {
        if let StoreError::Full { available, .. } = error {
            return Error::Full {
                available: *available,
            };
        }
        if let StoreError::TooLarge { most } = error {
            return Error::TooLarge { limit: *most };
        }
        if let StoreError::Quota { .. } = error {
            return Error::Quota;
        }
        let what = describe(error);
        log::error!("an upload failed: {what}");
        if let StoreError::Refused(cause) = error {
            return Error::Away(Reason::public_of(cause));
        }
        match error.is_read_only() {
            true => Error::ReadOnly,
            false => Error::Internal(what),
        }
    }
}

/// Whether nobody knows what the medium holds after this, of a commit or of a piece that was to be durable.
pub(super) fn is_unknown(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Full { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Quota { .. }
            | StoreError::Exists
            | StoreError::NotFound
            | StoreError::Differs
            | StoreError::Refused(_)
    )
}

/// Has the log tell of a new link.
pub(super) fn told(view: FileView, stored: &str) -> FileView {
    let link = keys::lookup(TokenKind::Link, &view.id);
    events::uploaded(&link, view.owner, view.size, stored);
    view
}

/// An error of the store with its cause: for the log.
pub(super) fn describe(error: &StoreError) -> String {
    match error {
        StoreError::Refused(cause) | StoreError::Unavailable(cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}
