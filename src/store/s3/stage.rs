//! A blob on its way into the bucket: one request if it fits one part, parts and a last request
//! otherwise.
//!
//! The thread of the client fills a spool. When a part is full and another byte comes, it waits for a
//! permit, hands the part to the senders, and goes on with the next: so a server that is slow is
//! felt by the client's socket. Dropping the stage breaks off what is under way, and the senders
//! give the upload up.

use super::error::{Kind, S3Error};
use super::journal::OpenUpload;
use super::parts::Plan;
use super::senders::{Permit, Turn};
use super::spool::{Part, Spool};
use super::stopping::{Bell, stopping};
use super::tries::Wish;
use super::uploads::{Context, Uploads};
use crate::model::{BlobId, progress};
use crate::store::{Stage, StoreError};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
        let size = self.plan.size(self.number).ok_or_else(|| {
            StoreError::Refused(io::Error::other(
                "the file has more parts than a bucket takes: its uploader should say its length",
            ))
        })?;
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
        let key = self.uploads.context().bucket.key(&self.id);
        let own = key.clone();
        let upload = self
            .uploads
            .ask(move |context| context.bucket.begin(&own, &Awaited(context)))
            .map_err(refused)?;
        let multipart = Arc::new(Multipart {
            context: Arc::clone(self.uploads.context()),
            key,
            open: OpenUpload {
                id: self.id,
                place: self.uploads.context().bucket.place(),
                upload,
            },
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        // From here on dropping the stage gives it up.
        self.multipart = Some(Arc::clone(&multipart));
        let context = &multipart.context;
        let own = Arc::clone(&multipart);
        self.bell = Some(context.stopping.bell(move || own.fail(stopping())));
        context.live().insert(multipart.open.clone());
        context
            .journal
            .begun(&multipart.open)
            .map_err(StoreError::Refused)?;
        Ok(multipart)
    }

    fn commit_whole(&mut self) -> Result<(), StoreError> {
        let part = match self.spool.take() {
            Some(spool) => spool.finish(),
            None => Part::empty(self.uploads.context().bucket.wants_hashes()),
        };
        let id = self.id;
        let stored = self.uploads.ask(move |context| {
            let bucket = &context.bucket;
            bucket.put(&bucket.key(&id), &part, &Awaited(context))
        });
        stored.map_err(refused_or_there)
    }

    fn commit_parts(&mut self, multipart: &Arc<Multipart>) -> Result<(), StoreError> {
        self.hand_over()?;
        let tags = multipart.stored()?;
        let (own, length) = (Arc::clone(multipart), self.length);
        let completed = self.uploads.ask(move |context| {
            context
                .bucket
                .complete(&own.key, &own.open.upload, &tags, length, &*own)
        });
        completed.map_err(refused_or_there)?;
        multipart.lock().phase = Phase::Complete;
        multipart.context.ended(&multipart.open);
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

/// A multipart upload that is under way.
struct Multipart {
    context: Arc<Context>,
    key: String,
    open: OpenUpload,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Of the parts that were handed over, in their order.
    tags: Vec<Option<Box<str>>>,
    /// Parts that were handed over and have not ended.
    open: usize,
    failure: Option<S3Error>,
}

impl State {
    fn fail(&mut self, why: S3Error) {
        if self.phase == Phase::Sending {
            self.phase = Phase::Failed;
            self.failure = Some(why);
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Sending,
    /// A part failed for good.
    Failed,
    Complete,
    /// Nobody wants it any more: whoever ends last removes it.
    GivenUp,
}

impl Multipart {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when a part has failed.
    fn check(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        match state.phase {
            Phase::Failed => Err(refused(state.failure.take().unwrap_or_else(|| {
                S3Error::new(Kind::Broken, "a part of the upload has failed before")
            }))),
            _ => Ok(()),
        }
    }

    /// Waits until every part that was handed over is stored; returns their tags.
    fn stored(&self) -> Result<Vec<Box<str>>, StoreError> {
        let waits = |state: &mut State| state.open > 0 && state.phase == Phase::Sending;
        let mut state = progress::waiting(|| {
            self.changed
                .wait_while(self.lock(), waits)
                .unwrap_or_else(PoisonError::into_inner)
        });
        let tags: Option<Vec<_>> = std::mem::take(&mut state.tags).into_iter().collect();
        drop(state);
        self.check()?;
        tags.ok_or_else(|| refused(not_sent()))
    }

    /// A part has ended.
    fn note(&self, number: u64, result: Result<Box<str>, S3Error>) {
        let mut state = self.lock();
        state.open -= 1;
        match result {
            Ok(tag) => {
                let place = usize::try_from(number - 1)
                    .ok()
                    .and_then(|at| state.tags.get_mut(at));
                if let Some(place) = place {
                    *place = Some(tag);
                }
            }
            Err(error) => state.fail(error),
        }
        let last = state.open == 0 && state.phase == Phase::GivenUp;
        drop(state);
        self.changed.notify_all();
        if last {
            self.abort();
        }
    }

    /// Breaks off what is under way, for this reason, unless there is an earlier one.
    fn fail(&self, why: S3Error) {
        self.lock().fail(why);
        self.changed.notify_all();
    }

    /// Breaks off what is under way. True when nothing is, and the caller is the one to abort it.
    fn give_up(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Complete {
            return false;
        }
        state.phase = Phase::GivenUp;
        let nothing = state.open == 0;
        drop(state);
        self.changed.notify_all();
        nothing
    }

    fn abort(&self) {
        self.context.abort(&self.key, &self.open);
    }
}

impl Wish for Multipart {
    fn is_over(&self) -> bool {
        self.lock().phase != Phase::Sending
    }

    fn pause(&self, time: Duration) {
        let waits = |state: &mut State| state.phase == Phase::Sending;
        // Woken early or not: the next try asks whether it is over.
        let _ = self.changed.wait_timeout_while(self.lock(), time, waits);
    }
}

/// What somebody waits for to its end.
struct Awaited<'a>(&'a Context);

impl Wish for Awaited<'_> {
    fn is_over(&self) -> bool {
        self.0.stopping.has_come()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A part that was handed over. However it goes away, its upload hears of it.
struct Sending {
    multipart: Arc<Multipart>,
    number: u64,
    result: Option<Result<Box<str>, S3Error>>,
    permit: Option<Permit>,
}

impl Sending {
    fn new(multipart: Arc<Multipart>, number: u64, permit: Permit) -> Self {
        {
            let mut state = multipart.lock();
            state.open += 1;
            state.tags.push(None);
        }
        Self {
            multipart,
            number,
            result: None,
            permit: Some(permit),
        }
    }

    fn run(mut self, part: Part) {
        let upload = &*self.multipart;
        if upload.is_over() {
            return;
        }
        let bucket = &upload.context.bucket;
        let sent = bucket.part(&upload.key, &upload.open.upload, self.number, &part, upload);
        self.result = Some(sent);
        // The room on the disk is free before another part may take it.
        drop(part);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.permit = None;
        let result = self.result.take().unwrap_or_else(|| Err(not_sent()));
        self.multipart.note(self.number, result);
    }
}

pub(super) fn not_sent() -> S3Error {
    S3Error::new(Kind::Broken, "a part of the upload was not sent")
}

/// What a failed request means: nothing that anybody can see is in the bucket.
pub(super) fn refused(error: S3Error) -> StoreError {
    let (mut why, remedy) = (error.to_string(), error.remedy());
    // While the server is away, the error tells of an earlier one, with its remedy.
    if !why.contains(&remedy) {
        why = format!("{why}. {remedy}");
    }
    StoreError::Refused(io::Error::other(why))
}

/// The same, for a request that must not replace an object.
fn refused_or_there(error: S3Error) -> StoreError {
    match error.kind() {
        Kind::Precondition => StoreError::Exists,
        _ => refused(error),
    }
}
