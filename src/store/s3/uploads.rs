//! What all uploads of a store share.

use super::bucket::Bucket;
use super::client::Client;
use super::error::S3Error;
use super::journal::{Journal, OpenUpload};
use super::ledger;
use super::parts::{MAX_BLOB, Plan};
use super::permits::{Permit, Permits};
use super::senders::{Job, Senders, Turn};
use super::shares::Shared;
use super::spool::{Spool, SpoolDir};
use super::stage::{S3Stage, not_sent, refused};
use super::stopping::{Stopping, stopping};
use super::tries::Retries;
use crate::model::{BlobId, progress};
use crate::store::{Stage, StoreError};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Most complete parts that may wait for each thread that sends, the one that it sends among them.
const WAITING: usize = 2;

/// Uploads to one bucket.
pub struct Uploads {
    context: Arc<Context>,
    permits: Arc<Permits>,
    senders: Senders,
    /// When what could not be ended is to be tried again, by the clock of the client.
    pub(super) again: Mutex<Option<Duration>>,
    /// The blobs that pieces come of, as far as somebody in this process is at them.
    pub(super) assemblies: Mutex<HashMap<BlobId, Weak<Shared>>>,
}

/// What jobs of the senders need.
pub(super) struct Context {
    pub(super) bucket: Bucket,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) spools: SpoolDir,
    /// The multipart uploads that this process has not ended.
    live: Mutex<HashSet<Live>>,
    /// When the process ends, what is left is for the next one.
    pub(super) stopping: Arc<Stopping>,
}

impl Uploads {
    /// Uploads by `client`. Parts wait in `incoming`, which exists, on a file system of which
    /// `min_free` bytes stay free. Touches no network.
    ///
    /// # Errors
    /// When `incoming` cannot be opened, or no thread can be had.
    pub fn new(
        client: Client,
        journal: Arc<dyn Journal>,
        incoming: &Path,
        min_free: u64,
        retries: Retries,
    ) -> io::Result<Arc<Self>> {
        let spools = SpoolDir::open(incoming, min_free)?;
        let count = client.settings().concurrency.max(1);
        let clock = Arc::clone(client.clock());
        Ok(Arc::new(Self {
            context: Arc::new(Context {
                bucket: Bucket::new(client, retries),
                journal,
                live: Mutex::new(ledger::live(&spools)?),
                spools,
                stopping: Arc::default(),
            }),
            permits: Permits::new(count * WAITING, clock),
            senders: Senders::start(count)?,
            again: Mutex::default(),
            assemblies: Mutex::default(),
        }))
    }

    /// As [`Store::stage`](crate::store::Store::stage).
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when no bucket takes so many bytes, [`StoreError::Refused`] while the
    /// server is away: before anybody sends a byte in vain.
    pub fn stage(
        self: &Arc<Self>,
        id: &BlobId,
        expected: Option<u64>,
    ) -> Result<Box<dyn Stage>, StoreError> {
        self.is_ready()?;
        let plan = Plan::new(expected).ok_or(StoreError::TooLarge { most: MAX_BLOB })?;
        Ok(Box::new(S3Stage::new(Arc::clone(self), id, plan)))
    }

    /// Fails while no upload can begin.
    pub(super) fn is_ready(&self) -> Result<(), StoreError> {
        if self.context.stopping.has_come() {
            return Err(refused(stopping()));
        }
        match self.context.bucket.client().health().refuses() {
            Some(why) => Err(StoreError::Refused(why.into())),
            None => Ok(()),
        }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn spool(&self) -> Result<Spool, StoreError> {
        self.context
            .spools
            .spool(self.context.bucket.wants_hashes())
    }

    /// Begins no request any more and waits for none: whoever waits for one is refused at once. What
    /// is left in the bucket is for the next process.
    pub fn stop(&self) {
        self.permits.stop();
        self.context.stopping.stop();
        self.senders.stop();
    }

    pub(super) fn permit(&self) -> Result<Permit, S3Error> {
        progress::waiting(|| self.permits.take()).ok_or_else(stopping)
    }

    pub(super) fn queue(&self, turn: Turn, job: Job) {
        self.senders.queue(turn, job);
    }

    /// Has a sender do `work`, and waits for what comes of it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let (answer, answers) = sync_channel(1);
        let own = Reply(answer.clone());
        // The first answer counts.
        let _bell = (self.context.stopping).bell(move || _ = answer.try_send(Err(stopping())));
        let context = Arc::clone(&self.context);
        self.queue(Turn::Soon, Box::new(move || own.give(work(&context))));
        progress::waiting(|| answers.recv()).unwrap_or_else(|_| Err(not_sent()))
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the result of a job goes. A job that goes away without one says so.
struct Reply<T>(SyncSender<Result<T, S3Error>>);

impl<T> Reply<T> {
    fn give(&self, result: Result<T, S3Error>) {
        // There is room, unless nobody waits for it any more.
        let _ = self.0.try_send(result);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.give(Err(not_sent()));
    }
}

/// A blob, and the name of one of its uploads.
pub(super) type Live = (BlobId, String);

pub(super) fn live(upload: &OpenUpload) -> Live {
    (upload.id, upload.upload.clone())
}

impl Context {
    pub(super) fn live(&self) -> MutexGuard<'_, HashSet<Live>> {
        // Every change is one call: nothing is ever half done.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time by the clock of the client.
    pub(super) fn elapsed(&self) -> Duration {
        self.bucket.client().clock().elapsed()
    }

    /// Gives an upload up that nobody is at any more.
    pub(super) fn abort(&self, key: &str, upload: &OpenUpload) {
        if self.stopping.has_come() {
            return;
        }
        match self.bucket.abort(key, &upload.upload) {
            Ok(()) => self.ended(upload),
            Err(error) => {
                log::warn!("parts of an upload stay in the bucket until the next sweep: {error}");
                self.live().remove(&live(upload));
            }
        }
    }

    /// Nothing of an upload is left but the object, if that.
    pub(super) fn ended(&self, upload: &OpenUpload) {
        if let Err(error) = self.journal.ended(upload) {
            log::warn!("the end of an upload was not taken down; the next sweep does it: {error}");
        }
        self.live().remove(&live(upload));
    }
}

#[cfg(test)]
mod tests;
