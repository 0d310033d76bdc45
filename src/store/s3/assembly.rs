//! A blob that comes in pieces, on its way into the bucket as the parts of one multipart upload.
//!
//! The parts lie on a grid. Bytes wait on the local disk until their part is whole; then it is sent, and its
//! file goes. A part whose bytes came with one piece is mostly gone before the kernel has written it; what
//! has to wait for another piece is made durable. All that has to be known is in a [`ledger`], so the next
//! process goes on where this one was.

use super::journal::OpenUpload;
use super::ledger::{self, Header};
use super::parts::{MAX_BLOB, grid};
use super::pieces::S3Piece;
use super::senders::Turn;
use super::shares::{Sending, Shared, finished, remove_files};
use super::spool::Part;
use super::stage::{Awaited, begin, refused_or_there};
use super::uploads::{Uploads, live};
use crate::model::BlobId;
use crate::store::{Assembly, Piece, Pieces, StoreError};
use ring::digest;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

/// A blob that is being put together.
struct S3Assembly {
    uploads: Arc<Uploads>,
    shared: Arc<Shared>,
}

impl S3Assembly {
    /// Sends what is whole and was not stored, because an earlier attempt has failed.
    fn send_the_rest(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        for number in 1..=shared.count() {
            let length = shared.length(number);
            let (is_stored, is_new) = shared.part(number, |part| {
                let is_new = part.tag.is_none() && !part.sending && part.is_whole(length, 0, 0);
                part.sending |= is_new;
                (part.tag.is_some(), is_new)
            });
            if is_new {
                let sending = Sending::new(shared, number);
                let nothing = (0, 0, finished(digest::Context::new(&digest::SHA256)));
                sending.hand_over(&self.uploads, shared.file(number)?, Err(nothing))?;
            }
            if !is_stored {
                shared.sent(number)?;
            }
        }
        Ok(())
    }
}

impl Assembly for S3Assembly {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        self.shared.is_there()?;
        self.uploads.is_ready()?;
        let piece = S3Piece::new(&self.uploads, &self.shared, offset);
        Ok(Box::new(piece))
    }

    fn commit(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.is_there()?;
        self.uploads.is_ready()?;
        let own = Arc::clone(shared);
        if shared.header.size == 0 {
            self.uploads.ask(move |context| {
                let empty = Part::empty(context.bucket.wants_hashes());
                context.bucket.put(&own.key, &empty, &Awaited::now(context))
            })
        } else {
            self.send_the_rest()?;
            let tags: Vec<_> = (1..=shared.count())
                .filter_map(|number| shared.part(number, |part| part.tag.clone()))
                .collect();
            self.uploads.ask(move |context| {
                let (upload, size) = (&own.header.open.upload, own.header.size);
                let wish = Awaited::now(context);
                context
                    .bucket
                    .complete(&own.key, upload, &tags, size, &wish)
            })
        }
        // Also an upload that is not there any more: an earlier try may still be at work, and the object may come.
        .map_err(refused_or_there)?;
        shared.forget();
        shared.context.ended(&shared.header.open);
        Ok(())
    }
}

impl Uploads {
    fn assemblies_here(&self) -> MutexGuard<'_, HashMap<BlobId, Weak<Shared>>> {
        // Each change is one call.
        (self.assemblies.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Store::assemble`](crate::store::Store::assemble).
    pub(super) fn assemble(
        self: &Arc<Self>,
        id: &BlobId,
        size: u64,
        pieces: Pieces,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        self.is_ready()?;
        let part = grid(size, pieces.each).ok_or(StoreError::TooLarge { most: MAX_BLOB })?;
        let spools = &self.context().spools;
        match spools.named(&ledger::name(id), OFlags::empty()) {
            Ok(_) => return Err(StoreError::Exists),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(spools.full_or(error.into(), 1)),
        }
        let open = match size {
            // An empty blob has no parts.
            0 => OpenUpload {
                id: *id,
                place: self.context().bucket.place(),
                upload: String::new(),
                begun: self.context().bucket.client().clock().now(),
            },
            _ => begin(self, id, |open, _| open)?,
        };
        let header = Header { size, part, open };
        let ledger = ledger::create(spools, &header).map_err(|error| {
            self.give_up(&header);
            match error {
                Errno::EXIST => StoreError::Exists,
                error => spools.full_or(error.into(), 1),
            }
        })?;
        let shared = Arc::new(Shared::new(self.context(), header, ledger, Vec::new()));
        (self.assemblies_here()).insert(*id, Arc::downgrade(&shared));
        Ok(self.assembly(shared))
    }

    /// As [`Store::reassemble`](crate::store::Store::reassemble).
    pub(super) fn reassemble(
        self: &Arc<Self>,
        id: &BlobId,
        size: u64,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        let refuse = |why: &str| StoreError::Refused(io::Error::other(why.to_owned()));
        let mut here = self.assemblies_here();
        here.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = here.get(id).and_then(Weak::upgrade) {
            shared.is_there()?;
            return Ok(self.assembly(shared));
        }
        let mut rows = Vec::new();
        let opened = ledger::open(&self.context().spools, id, |row| rows.push(row));
        let (header, file) = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound,
            _ => StoreError::Unavailable(error),
        })?;
        if header.open.place != self.context().bucket.place() {
            return Err(refuse("the upload was begun in another bucket"));
        }
        if header.size != size {
            return Err(refuse("the upload was begun with another size"));
        }
        let shared = Arc::new(Shared::new(self.context(), header, file, rows));
        here.insert(*id, Arc::downgrade(&shared));
        Ok(self.assembly(shared))
    }

    fn assembly(self: &Arc<Self>, shared: Arc<Shared>) -> Arc<dyn Assembly> {
        Arc::new(S3Assembly {
            uploads: Arc::clone(self),
            shared,
        })
    }

    /// As [`Store::abandon`](crate::store::Store::abandon). Waits for no server: what is in the bucket is ended
    /// later, by the sweep at the latest.
    pub(super) fn abandon(self: &Arc<Self>, id: &BlobId) -> Result<(), StoreError> {
        // Nobody finds it while it goes.
        let mut here = self.assemblies_here();
        let shared = here.remove(id);
        let header = match ledger::open(&self.context().spools, id, |_| {}) {
            Ok((header, _)) => Some(header),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                log::warn!("of an upload that was given up nothing is known but its name: {error}");
                None
            }
        };
        match shared.and_then(|shared| shared.upgrade()) {
            Some(shared) => shared.forget(),
            None => remove_files(self.context(), id),
        }
        drop(here);
        if let Some(header) = header {
            self.give_up(&header);
        }
        Ok(())
    }

    /// Has the multipart upload ended in the bucket, unless it is in another one.
    fn give_up(&self, header: &Header) {
        let (context, open) = (self.context(), header.open.clone());
        if open.upload.is_empty() || open.place != context.bucket.place() {
            context.live().remove(&live(&open));
            return;
        }
        let (key, context) = (context.bucket.key(&open.id), Arc::clone(context));
        self.queue(Turn::Later, Box::new(move || context.abort(&key, &open)));
    }

    /// As [`Store::assemblies`](crate::store::Store::assemblies).
    pub(super) fn assemblies(
        &self,
        after: Option<&BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobId>, StoreError> {
        let ids = ledger::all(&self.context().spools);
        let mut ids = ids.map_err(|e| StoreError::Unavailable(e.into()))?;
        ids.retain(|id| after.is_none_or(|after| id > after));
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }
}
