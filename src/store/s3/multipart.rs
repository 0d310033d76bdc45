//! A multipart upload that is under way, and its parts: whoever ends last cleans up.

use super::error::{Kind, S3Error};
use super::journal::OpenUpload;
use super::permits::Permit;
use super::spool::Part;
use super::stage::{not_sent, refused};
use super::tries::Wish;
use super::uploads::Context;
use crate::model::progress;
use crate::store::StoreError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A multipart upload that is under way.
pub(super) struct Multipart {
    pub(super) context: Arc<Context>,
    pub(super) key: String,
    pub(super) open: OpenUpload,
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
    /// Since when the uploader waits, who has sent everything.
    awaited: Option<Duration>,
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
    pub(super) fn new(context: Arc<Context>, key: String, open: OpenUpload) -> Self {
        Self {
            context,
            key,
            open,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// From now on the uploader waits, who has sent everything.
    pub(super) fn is_awaited(&self) {
        let now = self.context.elapsed();
        self.lock().awaited = Some(now);
    }

    /// The object is there.
    pub(super) fn is_complete(&self) {
        self.lock().phase = Phase::Complete;
        self.context.ended(&self.open);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when a part has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        match state.phase {
            Phase::Failed => Err(refused(state.failure.take().unwrap_or_else(|| {
                S3Error::new(Kind::Broken, "a part of the upload has failed before")
            }))),
            _ => Ok(()),
        }
    }

    /// Waits until every part that was handed over is stored; returns their tags.
    pub(super) fn stored(&self) -> Result<Vec<Box<str>>, StoreError> {
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
    pub(super) fn fail(&self, why: S3Error) {
        self.lock().fail(why);
        self.changed.notify_all();
    }

    /// Breaks off what is under way. True when nothing is, and the caller is the one to abort it.
    pub(super) fn give_up(&self) -> bool {
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

    pub(super) fn abort(&self) {
        self.context.abort(&self.key, &self.open);
    }
}

impl Wish for Multipart {
    fn is_over(&self) -> bool {
        self.lock().phase != Phase::Sending
    }

    fn awaited(&self) -> Option<Duration> {
        self.lock().awaited
    }

    fn pause(&self, time: Duration) {
        let waits = |state: &mut State| state.phase == Phase::Sending;
        // Woken early or not: the next try asks whether it is over.
        let _ = self.changed.wait_timeout_while(self.lock(), time, waits);
    }
}

/// A part that was handed over. However it goes away, its upload hears of it.
pub(super) struct Sending {
    multipart: Arc<Multipart>,
    number: u64,
    result: Option<Result<Box<str>, S3Error>>,
    permit: Option<Permit>,
}

impl Sending {
    pub(super) fn new(multipart: Arc<Multipart>, number: u64, permit: Permit) -> Self {
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

    pub(super) fn run(mut self, part: Part) {
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
