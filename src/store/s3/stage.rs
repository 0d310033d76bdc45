//! A blob on its way into the bucket: one request if it fits one part, parts and a last request
//! otherwise.
//!
//! The thread of the client fills a spool. When a part is full and another byte comes, it waits for a
//! permit, hands the part to the senders, and goes on with the next: so a server that is slow is
//! felt by the client's socket. Dropping the stage breaks off what is under way, and the senders
//! give the upload up.

use super::bucket::Begun;
use super::error::{Kind, S3Error};
use super::journal::OpenUpload;
use super::multipart::{Multipart, Sending};
use super::parts::Plan;
use super::senders::Turn;
use super::spool::{Part, Spool};
use super::stopping::Bell;
use super::tries::Wish;
use super::uploads::{Context, Uploads, live};
use crate::model::BlobId;
use crate::store::{Stage, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// A blob that is being written.
pub(super) struct S3Stage {
    uploads: Arc<Uploads>,
    id: BlobId,
    plan: Plan,
    /// The part that is being filled, counted from 1.
    number: u64,
    spool: Option<Spool>,
    /// Bytes so far.
    length: u64,
    multipart: Option<Arc<Multipart>>,
    /// Breaks the multipart upload off when the process is to end.
    bell: Option<Bell>,
}

impl S3Stage {
    pub(super) fn new(uploads: Arc<Uploads>, id: &BlobId, plan: Plan) -> Self {
        Self {
            uploads,
            id: *id,
            plan,
            number: 1,
            spool: None,
            length: 0,
            multipart: None,
            bell: None,
        }
    }

    /// The spool of the current part, and how many bytes it still takes: at least one.
    fn room(&mut self) -> Result<(&mut Spool, u64), StoreError> {
        // It has more parts than a bucket takes, because it is far longer than was said.
        let size =
            (self.plan.size(self.number)).ok_or(StoreError::TooLarge { most: self.length })?;
        let full = self.spool.as_ref().is_some_and(|s| s.length() >= size);
        if full {
            self.hand_over()?;
            return self.room();
        }
        let spool = match self.spool.take() {
            Some(spool) => spool,
            None => self.uploads.spool()?,
        };
        let left = size - spool.length();
        Ok((self.spool.insert(spool), left))
    }

    /// Gives the current part to the senders.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        let Some(spool) = self.spool.take() else {
            return Ok(());
        };
        let multipart = match &self.multipart {
            Some(multipart) => Arc::clone(multipart),
            None => self.begin()?,
        };
        multipart.check()?;
        let permit = self.uploads.permit().map_err(refused)?;
        multipart.check()?;
        let sending = Sending::new(multipart, self.number, permit);
        let part = spool.finish();
        self.uploads
            .queue(Turn::Later, Box::new(move || sending.run(part)));
        self.number += 1;
        Ok(())
    }

    fn begin(&mut self) -> Result<Arc<Multipart>, StoreError> {
        begin(&self.uploads, &self.id, |open, key| {
            let context = Arc::clone(self.uploads.context());
            let multipart = Arc::new(Multipart::new(context, key, open));
            // From here on dropping the stage gives it up.
            self.multipart = Some(Arc::clone(&multipart));
            let own = Arc::clone(&multipart);
            let stopping = &multipart.context.stopping;
            self.bell = Some(stopping.bell(move || own.fail(super::stopping::stopping())));
            multipart
        })
    }

    fn commit_whole(&mut self) -> Result<(), StoreError> {
        let part = match self.spool.take() {
            Some(spool) => spool.finish(),
            None => Part::empty(self.uploads.context().bucket.wants_hashes()),
        };
        let (id, since) = (self.id, self.uploads.context().elapsed());
        let stored = self.uploads.ask(move |context| {
            let bucket = &context.bucket;
            bucket.put(&bucket.key(&id), &part, &Awaited { context, since })
        });
        stored.map_err(refused_or_there)
    }

    fn commit_parts(&mut self, multipart: &Arc<Multipart>) -> Result<(), StoreError> {
        multipart.is_awaited();
        self.hand_over()?;
        let tags = multipart.stored()?;
        let (own, length) = (Arc::clone(multipart), self.length);
        let completed = self.uploads.ask(move |context| {
            context
                .bucket
                .complete(&own.key, &own.open.upload, &tags, length, &*own)
        });
        completed.map_err(refused_or_there)?;
        multipart.is_complete();
        Ok(())
    }
}

impl Stage for S3Stage {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(multipart) = &self.multipart {
            multipart.check()?;
        }
        while !bytes.is_empty() {
            let uploads = Arc::clone(&self.uploads);
            let (spool, left) = self.room()?;
            let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, later) = bytes.split_at(count);
            spool.append(now, &uploads.context().spools)?;
            self.length += count as u64;
            bytes = later;
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.multipart.clone() {
            None => self.commit_whole(),
            Some(multipart) => self.commit_parts(&multipart),
        }
    }
}

impl Drop for S3Stage {
    fn drop(&mut self) {
        if let Some(multipart) = self.multipart.take()
            && multipart.give_up()
        {
            self.uploads
                .queue(Turn::Later, Box::new(move || multipart.abort()));
        }
    }
}

/// Begins a multipart upload and takes it down. `begun` makes what answers for it.
pub(super) fn begin<T>(
    uploads: &Arc<Uploads>,
    id: &BlobId,
    begun: impl FnOnce(OpenUpload, String) -> T,
) -> Result<T, StoreError> {
    let context = uploads.context();
    let key = context.bucket.key(id);
    // Before the request: should its answer be lost, a sweep knows where to look.
    let unnamed = OpenUpload {
        id: *id,
        place: context.bucket.place(),
        upload: String::new(),
        begun: context.bucket.client().clock().now(),
    };
    let own = key.clone();
    let beginning = Beginning::new(context, &unnamed)?;
    let Begun { name, unclear } = uploads
        .ask(move |context| Ok(context.bucket.begin(&own, &Awaited::now(context))))
        .map_err(refused)?;
    let upload = match name {
        Ok(upload) => upload,
        Err(error) => {
            if !unclear {
                context.ended(&unnamed);
            }
            return Err(refused(error));
        }
    };
    let open = OpenUpload {
        upload,
        ..unnamed.clone()
    };
    let keeper = begun(open.clone(), key);
    context.live().insert(live(&open));
    drop(beginning);
    let taken_down = match unclear {
        true => context.journal.begun(&open),
        false => context.journal.named(&unnamed, &open),
    };
    taken_down.map_err(StoreError::Refused)?;
    Ok(keeper)
}

/// An upload that is about to begin: no sweep ends it meanwhile.
struct Beginning<'a> {
    context: &'a Context,
    unnamed: &'a OpenUpload,
}

impl<'a> Beginning<'a> {
    fn new(context: &'a Context, unnamed: &'a OpenUpload) -> Result<Self, StoreError> {
        context.live().insert(live(unnamed));
        let beginning = Self { context, unnamed };
        let taken_down = context.journal.begun(unnamed);
        taken_down.map_err(StoreError::Refused)?;
        Ok(beginning)
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.context.live().remove(&live(self.unnamed));
    }
}

/// What somebody waits for to its end.
pub(super) struct Awaited<'a> {
    context: &'a Context,
    since: Duration,
}

impl<'a> Awaited<'a> {
    pub(super) fn now(context: &'a Context) -> Self {
        let since = context.elapsed();
        Self { context, since }
    }
}

impl Wish for Awaited<'_> {
    fn is_over(&self) -> bool {
        self.context.stopping.has_come()
    }

    fn awaited(&self) -> Option<Duration> {
        Some(self.since)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

pub(super) fn not_sent() -> S3Error {
    S3Error::new(Kind::Broken, "a part of the upload was not sent")
}

/// What a failed request means: nothing that anybody can see is in the bucket.
pub(super) fn refused(error: S3Error) -> StoreError {
    StoreError::Refused(error.reason().into())
}

/// The same, for a request that must not replace an object.
pub(super) fn refused_or_there(error: S3Error) -> StoreError {
    match error.kind() {
        Kind::Precondition => StoreError::Exists,
        _ => refused(error),
    }
}
