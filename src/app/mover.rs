//! Moves all files from the disk into the bucket, or back, while the server runs: one file at a time, on
//! one small thread. There is nothing to remember: what is still in the old place is what is left to do, so
//! that a move that ended early is simply started again.

use super::storage::Bucket;
use crate::admin::{Destination, MoveState, Moves};
use crate::metadata::Metadata;
use crate::model::{Blob, BlobId};
use crate::store::{BothStores, Moved, Place, StoreError, Wishes};
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// To ask a bucket over TLS takes a deep stack where the program is not optimised.
const STACK: usize = 512 * 1024;
/// Rows that are looked at in one go.
const PAGE: usize = 128;
/// Walks over all files: a second and a third time for those that were being read, or failed.
const WALKS: u32 = 3;
/// See [`Work::pause`].
const PAUSE: Duration = Duration::from_secs(5);
/// Tries in a row after which a store counts as away for good: ten minutes.
const TRIES: u32 = 120;
/// Tries of one file that had begun to read it: each may cost as much as the whole file.
const COPIES: u32 = 3;

/// Moves files when it is asked to.
pub(super) struct Mover {
    work: Option<Arc<Work>>,
}

struct Work {
    both: Arc<BothStores>,
    metadata: Arc<dyn Metadata>,
    progress: Mutex<Progress>,
    changed: Condvar,
    /// Before the next try of what a store refuses for now.
    pause: Duration,
}

#[derive(Default)]
struct Progress {
    state: MoveState,
    to: Option<Destination>,
    stop: bool,
    /// Bytes were read since the last try began.
    read: bool,
}

/// Why a move ends before its time.
enum End {
    Stopped,
    Failed(String),
}

impl Mover {
    pub(super) fn new(bucket: Option<&Bucket>, metadata: &Arc<dyn Metadata>) -> Self {
        let work = bucket.map(|bucket| {
            Arc::new(Work {
                both: Arc::clone(&bucket.both),
                metadata: Arc::clone(metadata),
                progress: Mutex::default(),
                changed: Condvar::new(),
                pause: PAUSE,
            })
        });
        Self { work }
    }
}

impl Moves for Mover {
    fn start(&self, to: Destination) -> Result<(), String> {
        let Some(work) = &self.work else {
            return Err(
                "the settings name no bucket: write the table [s3], and restart the server"
                    .to_owned(),
            );
        };
        let mut progress = work.progress();
        if progress.state.runs {
            return match progress.to == Some(to) && !progress.stop {
                true => Ok(()),
                false => {
                    Err("another move runs, or ends just now: mayfly store stop ends it".to_owned())
                }
            };
        }
        let place = place(to);
        *progress = Progress {
            state: MoveState {
                runs: true,
                new_files_follow: work.both.new_blobs() == place,
                ..MoveState::default()
            },
            to: Some(to),
            ..Progress::default()
        };
        let runs = Arc::clone(work);
        let thread = std::thread::Builder::new()
            .name("mover".to_owned())
            .stack_size(STACK)
            .spawn(move || runs.run(place));
        if let Err(e) = thread {
            progress.state.runs = false;
            return Err(format!("no thread is to be had: {e}; try again"));
        }
        Ok(())
    }

    fn state(&self) -> MoveState {
        let state = self.work.as_ref().map(|work| work.progress().state.clone());
        state.unwrap_or_default()
    }

    fn stop(&self) {
        if let Some(work) = &self.work {
            work.progress().stop = true;
            work.changed.notify_all();
        }
    }
}

fn place(to: Destination) -> Place {
    match to {
        Destination::Disk => Place::Near,
        Destination::S3 => Place::Far,
    }
}

impl Work {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Counts are changed one by one: they are never half changed.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, to: Place) {
        log::info!("moving files to the {}", name(to));
        let _moves = self.both.begin_moves();
        let ended = catch_unwind(AssertUnwindSafe(|| self.walks(to)))
            .unwrap_or_else(|_| Err(End::Failed("it panicked, see the log".to_owned())));
        let mut progress = self.progress();
        progress.state.problem = match ended {
            Ok(()) => None,
            Err(End::Stopped) => Some("it was stopped".to_owned()),
            Err(End::Failed(why)) => Some(why),
        };
        progress.state.runs = false;
        let MoveState { files, left, .. } = progress.state;
        match &progress.state.problem {
            None => log::info!("moved {files} files to the {}; left {left}", name(to)),
            Some(why) => log::warn!(
                "moving files to the {} ended after {files}: {why}",
                name(to)
            ),
        }
    }

    fn walks(&self, to: Place) -> Result<(), End> {
        for walk in 1..=WALKS {
            self.progress().state.left = 0;
            self.walk(to)?;
            if self.progress().state.left == 0 {
                break;
            }
            if walk < WALKS {
                self.pause()?;
            }
        }
        Ok(())
    }

    /// Goes over all files once.
    fn walk(&self, to: Place) -> Result<(), End> {
        let mut after = None;
        loop {
            let page = self.metadata.blobs(after.as_ref(), PAGE);
            let page = page.map_err(|e| End::Failed(e.to_string()))?;
            let ids: Vec<BlobId> = page.iter().map(|blob| blob.id).collect();
            let sizes = self.patiently(|| self.both.sizes_to_move(&ids, to))?;
            let sizes = sizes.map_err(|e| End::Failed(words(&e)))?;
            for (blob, size) in page.iter().zip(sizes) {
                match size {
                    Err(StoreError::NotFound) => {}
                    Ok(size) if size != blob.stored => {
                        log::error!(
                            "stored file {}: it has {size} bytes, and should have {}; it is not moved",
                            blob.id.to_hex(),
                            blob.stored
                        );
                        self.progress().state.left += 1;
                    }
                    Ok(_) => self.one(blob, to)?,
                    Err(e) => self.leave(blob, &e),
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    fn one(&self, blob: &Blob, to: Place) -> Result<(), End> {
        let moved = self.patiently(|| match self.both.move_blob(&blob.id, to, self) {
            // What is in the way concerns this one only.
            Err(e @ (StoreError::Unavailable(_) | StoreError::NotFound | StoreError::Exists)) => {
                Ok(Err(e))
            }
            other => other.map(Ok),
        })?;
        match moved.flatten() {
            Ok(Moved::Done(_)) => self.progress().state.files += 1,
            Ok(Moved::NotThere | Moved::Unwanted) => {}
            Ok(Moved::Read) => self.progress().state.left += 1,
            Ok(Moved::Stopped) => return Err(End::Stopped),
            Err(e) => self.leave(blob, &e),
        }
        Ok(())
    }

    fn leave(&self, blob: &Blob, error: &StoreError) {
        log::warn!(
            "stored file {} stays where it is for now: {}",
            blob.id.to_hex(),
            words(error)
        );
        self.progress().state.left += 1;
    }

    /// Tries what a store refuses for now again and again; but a few times only when bytes were read
    /// before it refused. Returns the refusal then: something else may go on.
    fn patiently<T>(
        &self,
        attempt: impl Fn() -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, End> {
        let (mut tries, mut copies) = (1, 0);
        loop {
            self.progress().read = false;
            match attempt() {
                Ok(done) => {
                    self.progress().state.problem = None;
                    return Ok(Ok(done));
                }
                Err(e @ (StoreError::Refused(_) | StoreError::InUse)) if tries < TRIES => {
                    copies += u32::from(self.progress().read);
                    if copies >= COPIES {
                        self.progress().state.problem = None;
                        return Ok(Err(e));
                    }
                    self.progress().state.problem = Some(format!("waiting: {}", words(&e)));
                    self.pause()?;
                    tries += 1;
                }
                Err(e) => return Err(End::Failed(words(&e))),
            }
        }
    }

    /// Waits, unless it is to end.
    fn pause(&self) -> Result<(), End> {
        let stops = |progress: &mut Progress| !progress.stop;
        let waited = self
            .changed
            .wait_timeout_while(self.progress(), self.pause, stops);
        let (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if progress.stop {
            return Err(End::Stopped);
        }
        Ok(())
    }
}

impl Wishes for Work {
    fn is_wanted(&self, id: &BlobId) -> io::Result<bool> {
        let unknown = self.metadata.unknown_blobs(std::slice::from_ref(id));
        unknown.map(|ids| ids.is_empty()).map_err(io::Error::other)
    }

    fn goes_on(&self, bytes: u64) -> bool {
        let mut progress = self.progress();
        progress.state.bytes += bytes;
        progress.read = true;
        !progress.stop
    }
}

fn name(to: Place) -> &'static str {
    match to {
        Place::Near => "disk",
        Place::Far => "bucket",
    }
}

/// An error with its cause.
fn words(error: &StoreError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::RedbMetadata;
    use crate::store::MemoryStore;
    use std::cell::Cell;

    #[test]
    fn a_file_that_is_refused_after_it_was_read_is_read_three_times_and_others_wait_for_long() {
        let store = || Arc::new(MemoryStore::new(None));
        let work = Work {
            both: Arc::new(BothStores::new(store(), store(), Place::Near)),
            metadata: Arc::new(RedbMetadata::in_memory().unwrap()),
            progress: Mutex::default(),
            changed: Condvar::new(),
            pause: Duration::ZERO,
        };
        // Sent, compared with the copy that an earlier try has left, and not even opened.
        for (read, most) in [(Some(10), COPIES), (Some(0), COPIES), (None, TRIES)] {
            let tries = Cell::new(0);
            let result = work.patiently(|| {
                tries.set(tries.get() + 1);
                assert!(read.is_none_or(|bytes| work.goes_on(bytes)));
                Err::<(), _>(StoreError::Refused(io::Error::other("no")))
            });
            assert_eq!(tries.get(), most);
            match result {
                Ok(refused) => assert!(refused.is_err() && read.is_some()),
                Err(_) => assert_eq!(read, None),
            }
        }
    }
}
