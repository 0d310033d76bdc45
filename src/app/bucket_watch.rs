//! Asks the bucket now and then whether it can be used: at the start, so that it is said at once when it
//! cannot; after a failure, until it can again, because uploads may stay away meanwhile; and else rarely.

use super::storage::Bucket;
use crate::store::s3::S3Store;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// To sign, send and decrypt takes a deep stack where the program is not optimised.
const STACK: usize = 512 * 1024;
/// Between two looks at what the store thinks of its server. A look costs nothing; while something is
/// wrong it goes with a question, of which the client itself asks few.
const PAUSE: Duration = Duration::from_secs(3);
/// Looks between two questions while all goes well: five minutes.
const CALM: u32 = 100;

/// The thread that asks. It ends with this, or after the question that it is at.
pub(super) struct BucketWatch {
    _ends_when_dropped: SyncSender<()>,
}

impl BucketWatch {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(bucket: &Bucket) -> io::Result<Self> {
        let (ends, ended) = sync_channel(0);
        // A server that hangs must not hold anything open by who asks it.
        let store = Arc::downgrade(&bucket.store);
        let (takes_new, trouble) = (bucket.takes_new, Arc::clone(&bucket.trouble));
        std::thread::Builder::new()
            .name("bucket".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let (mut told, mut looks) = (None, 0u32);
                while let Some(store) = store.upgrade() {
                    if looks % CALM == 0 || told.is_some() || store.problem().is_some() {
                        look(&store, takes_new, &mut told);
                        // A value that is changed in one step is never half changed.
                        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = told.clone();
                    }
                    if looks == 0 {
                        // To trust a server takes much code that most requests do without.
                        mayfly_sys::give_back_code();
                    }
                    looks = looks.wrapping_add(1);
                    drop(store);
                    if ended.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })?;
        Ok(Self {
            _ends_when_dropped: ends,
        })
    }
}

/// Asks once, and tells in the log what has changed.
fn look(store: &S3Store, takes_new: bool, told: &mut Option<String>) {
    // What is wrong is known to the store then.
    let asked = store.look_for_mark();
    let problem = match (asked, store.problem()) {
        (Ok(()), _) => None,
        (Err(_), Some(problem)) => Some(problem),
        (Err(e), None) => Some(e.to_string()),
    };
    match (&problem, &told) {
        (None, Some(_)) => log::info!("the bucket can be used again"),
        // The words for one trouble may change from try to try.
        (Some(problem), None) => {
            let harm = match takes_new {
                true => "uploads are refused, and files in it cannot be downloaded",
                false => "files in it cannot be downloaded",
            };
            log::error!("the bucket cannot be used, {harm}: {problem}");
        }
        _ => {}
    }
    *told = problem;
}
