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
/// Looks between two questions while all goes well, and the most while something is wrong that somebody has to
/// mend: five minutes.
const CALM: u32 = 100;
/// How long the end waits until the bucket says that this process has ended.
const SIGN_OFF: Duration = Duration::from_secs(2);

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
                let (mut told, mut shared) = (None, false);
                let (mut looks, mut pause) = (0, 1);
                while let Some(store) = store.upgrade() {
                    // Something has changed, or it is time.
                    if told.is_some() != store.problem().is_some() || looks == 0 {
                        let knew = told.is_some();
                        look(&store, takes_new, &mut told);
                        pause = match (&told, store.is_lasting()) {
                            (None, _) => CALM,
                            (Some(_), true) if knew => (pause * 2).min(CALM),
                            (Some(_), _) => 1,
                        };
                        looks = pause;
                        tell_of_others(&store, &mut shared);
                        // A value that is changed in one step is never half changed.
                        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = told.clone();
                        if pause == CALM {
                            // To trust a server takes much code that most requests do without.
                            mayfly_sys::give_back_code();
                        }
                    }
                    looks -= 1;
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

/// Tells the next process that this one has ended, if the bucket answers soon.
pub(super) fn sign_off(store: &Arc<S3Store>) {
    let (answer, answers) = sync_channel(1);
    let store = Arc::clone(store);
    let signing = std::thread::Builder::new()
        .name("bucket".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            store.sign_off();
            // Nobody waits for it any more, perhaps.
            let _late = answer.send(());
        });
    if signing.is_ok() {
        // Otherwise the next process finds out by itself.
        let _late = answers.recv_timeout(SIGN_OFF);
    }
}

/// Tells in the log when another process comes to use the bucket, and when it has gone.
fn tell_of_others(store: &S3Store, shared: &mut bool) {
    match (store.remark(), *shared) {
        (Some(remark), false) => log::error!("{remark}"),
        (None, true) => log::info!("no other process uses the bucket any more"),
        _ => {}
    }
    *shared = store.remark().is_some();
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
