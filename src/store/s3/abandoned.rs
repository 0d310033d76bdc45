//! Multipart uploads that nobody will end: of earlier processes, and those whose end has failed. What is
//! left of them costs money, and no listing of objects shows it.

use super::error::S3Error;
use super::journal::OpenUpload;
use super::leftovers;
use super::senders::Turn;
use super::stage::refused;
use super::uploads::{Context, Uploads, live};
use crate::store::StoreError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Rows of the journal that are looked at in one go.
const PAGE: usize = 128;
/// What no journal knows is left alone until it is as old: it may still be under way.
const AGE: Duration = Duration::from_secs(24 * 3600);
/// When what could not be ended is tried again.
const AGAIN: Duration = Duration::from_secs(30 * 60);
/// Days after which an upload that the server never would end is forgotten.
const GIVEN_UP: i64 = 14;

impl Uploads {
    /// Ends all that can be ended, and tells the log of it. What cannot is tried again in half an hour, if
    /// [`Uploads::look_again`] is called then.
    pub(super) fn end_abandoned(&self) {
        self.end_telling(log::Level::Warn);
    }

    /// Tells of failures at this `level`.
    fn end_telling(&self, level: log::Level) {
        let mut failed = false;
        // Neither keeps the other from being done.
        for ended in [self.sweep(), self.sweep_old(AGE)] {
            match ended {
                Ok(0) => {}
                Ok(ended) => {
                    log::info!("ended {ended} uploads that an earlier run had not finished");
                }
                Err(error) => {
                    failed = true;
                    let why = match &error {
                        StoreError::Refused(cause) => cause.to_string(),
                        other => other.to_string(),
                    };
                    log::log!(
                        level,
                        "uploads that an earlier run had not finished are still in the bucket; they are \
                         looked for again in half an hour: {why}"
                    );
                }
            }
        }
        let due = failed.then(|| self.context().elapsed() + AGAIN);
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Has what could not be ended tried again, if it is time for that.
    pub(super) fn look_again(self: &Arc<Self>) {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if again.is_some_and(|due| self.context().elapsed() >= due) {
            *again = None;
            drop(again);
            let own = Arc::downgrade(self);
            let look = move || {
                own.upgrade()
                    .into_iter()
                    .for_each(|own| own.end_telling(log::Level::Debug))
            };
            self.queue(Turn::Later, Box::new(look));
        }
    }

    /// Ends the multipart uploads that the journal knows and that nobody in this process is at:
    /// those of earlier processes, and those whose end has failed. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the journal does not answer, or the server would not end some of
    /// them; the others are ended.
    pub fn sweep(&self) -> Result<u64, StoreError> {
        let context = self.context();
        let place = context.bucket.place();
        let mut after = None;
        let mut ended = 0;
        let mut failure = None;
        loop {
            let page = context.journal.open(after.as_ref(), PAGE);
            let page = page.map_err(StoreError::Refused)?;
            for upload in &page {
                // One in another bucket is not known here: that would look as if it had ended.
                if upload.place != place || context.live().contains(&live(upload)) {
                    continue;
                }
                match context.end(upload) {
                    Ok(()) => ended += 1,
                    Err(error) if context.is_given_up(upload, &error) => log::warn!(
                        "parts of an upload stay in the bucket for good, because the server would not \
                         end it for {GIVEN_UP} days; a rule for the age of unfinished uploads removes \
                         them (AbortIncompleteMultipartUpload): {error}"
                    ),
                    // One that cannot be ended must not keep the others from it.
                    Err(error) => {
                        failure = Some(error);
                        if context.bucket.client().health().refuses().is_some() {
                            return failure.map_or(Ok(ended), |error| Err(refused(error)));
                        }
                        continue;
                    }
                }
                context.journal.ended(upload).map_err(StoreError::Refused)?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.clone()),
                _ => return failure.map_or(Ok(ended), |error| Err(refused(error))),
            }
        }
    }

    /// Ends the multipart uploads under our prefix that are older than `age`, that nobody in this
    /// process is at and that no journal knows, where the server lists them. Returns how many. Only
    /// for a bucket that no other server uses with the same prefix.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the server does not answer, or would not end some of them; the others
    /// are ended.
    pub fn sweep_old(&self, age: Duration) -> Result<u64, StoreError> {
        let bucket = &self.context().bucket;
        let (mut ended, mut failure) = (0, None);
        leftovers::each(bucket.client(), age, |key, id, upload| {
            if self.context().live().contains(&(*id, upload.to_owned())) {
                return Ok(());
            }
            match bucket.abort(key, upload) {
                Ok(()) => ended += 1,
                Err(error) if bucket.client().health().refuses().is_some() => return Err(error),
                // One that cannot be ended must not keep the others from it.
                Err(error) => failure = Some(error),
            }
            Ok(())
        })
        .map_err(refused)?;
        failure.map_or(Ok(ended), |error| Err(refused(error)))
    }
}

impl Context {
    /// Ends an upload; one whose name is not known, if it is found.
    fn end(&self, upload: &OpenUpload) -> Result<(), S3Error> {
        let key = self.bucket.key(&upload.id);
        if !upload.upload.is_empty() {
            return self.bucket.abort(&key, &upload.upload);
        }
        for name in leftovers::of_key(self.bucket.client(), &key)? {
            // One that had its answer may be under way.
            if !self.live().contains(&(upload.id, name.clone())) {
                self.bucket.abort(&key, &name)?;
            }
        }
        Ok(())
    }

    /// Whether an upload that the server answered that for is to be forgotten.
    fn is_given_up(&self, upload: &OpenUpload, error: &S3Error) -> bool {
        let now = self.bucket.client().clock().now();
        let days = now.0.saturating_sub(upload.begun.0) / (24 * 3600);
        error.status().is_some() && days >= GIVEN_UP
    }
}
