//! The one thread that writes: it commits what waits in one transaction, so that callers who come
//! together share the syncs.
//!
//! A caller gets its answer after the commit. When a commit fails, nobody knows what is on the
//! disk: every member of the batch gets [`MetadataError::OutcomeUnknown`], `on_fatal` is called
//! once, and nothing is written from then on. What cannot be made for want of room is refused before
//! it begins.

use super::clock::Ride;
use super::room::{AGAIN, Room};
use super::schema::Change;
use super::{MetadataError, OnFatal};
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

/// The most changes of one transaction: bounds its memory, and how long the first one waits.
const BATCH: usize = 256;

/// Stack of the thread. The engine descends a few pages deep, no more.
const STACK: usize = 512 * 1024;

/// Tells one caller how it ended: `None` when its change is durable (or there was none to make).
pub(super) type Answer = Box<dyn FnOnce(Option<&str>) + Send>;

/// What one change did within the transaction.
pub(super) enum Ran {
    /// It is done, or refused without a trace.
    Whole(Answer),
    /// The transaction must not be committed.
    Broken(Answer, String),
}

/// One change that waits. Instead of the transaction it may get the reason why there is none.
pub(super) type Job = Box<dyn FnOnce(Result<&Change<'_>, MetadataError>) -> Ran + Send>;

/// The sending end. Dropping it ends the thread.
pub(super) struct Writer {
    /// `None` for a database that is no file.
    room: Option<Arc<Room>>,
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        database: Arc<Database>,
        room: Option<Arc<Room>>,
        ride: Ride,
        on_fatal: OnFatal,
    ) -> Result<Self, MetadataError> {
        let (queue, jobs) = channel();
        let looks = room.clone();
        let thread = Builder::new()
            .name("metadata".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                serve(&database, &jobs, looks.as_deref(), &ride, &on_fatal);
                // The last one that has it: closing commits, and may fail like a commit.
                drop(database);
            })
            .map_err(|e| MetadataError::Unavailable(format!("no thread to write with: {e}")))?;
        Ok(Self {
            room,
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Whether more may be stored.
    pub(super) fn room_for_more(&self) -> Result<(), MetadataError> {
        let room = self.room.as_ref();
        room.map_or(Ok(()), |room| room.check_for_more())
    }

    /// Makes a change, and waits until it is durable.
    ///
    /// The callers are bounded threads that wait here, and with them the queue.
    pub(super) fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Change<'_>) -> Result<T, MetadataError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        let (job, answer) = job(change);
        let stopped = || {
            MetadataError::Unavailable(
                "nothing is written any more after a failed commit".to_owned(),
            )
        };
        self.queue
            .as_ref()
            .ok_or_else(stopped)?
            .send(job)
            .map_err(|_| stopped())?;
        answer.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

/// A change for the queue, and where its answer comes out.
pub(super) fn job<T: Send + 'static>(
    change: impl FnOnce(&Change<'_>) -> Result<T, MetadataError> + Send + 'static,
) -> (Job, Receiver<Result<T, MetadataError>>) {
    let (sender, receiver) = sync_channel(1);
    let job: Job = Box::new(move |to| {
        let mut wrote = false;
        let result = to.and_then(|to| {
            let before = to.writes();
            let result = change(to);
            wrote = to.writes() != before;
            result
        });
        let broken = match &result {
            Err(MetadataError::OutcomeUnknown(what)) => Some(what.clone()),
            Err(other) if wrote => Some(other.to_string()),
            _ => None,
        };
        let answer: Answer = Box::new(move |failure| {
            // A caller that no longer waits has no use for the answer.
            let _ = sender.send(match failure {
                None => result,
                Some(what) => Err(MetadataError::OutcomeUnknown(what.to_owned())),
            });
        });
        match broken {
            None => Ran::Whole(answer),
            Some(what) => Ran::Broken(answer, what),
        }
    });
    (job, receiver)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the database was not closed in an orderly way");
        }
    }
}

/// Commits batches until every sender is gone; after a commit that failed, refuses them. `room`
/// looks before each.
pub(super) fn serve(
    database: &Database,
    jobs: &Receiver<Job>,
    room: Option<&Room>,
    ride: &Ride,
    on_fatal: &OnFatal,
) {
    while let Some(first) = next(jobs, room) {
        let mut answers = Vec::new();
        let batch = std::iter::once(first).chain(jobs.try_iter()).take(BATCH);
        if let Some(room) = room
            && let Err(why) = room.check()
        {
            for job in batch {
                if let Ran::Whole(answer) = job(Err(why.clone())) {
                    answer(None);
                }
            }
            continue;
        }
        // The engine panics rather than answer wrongly; that is a failed commit as well.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            commit(database, batch, ride, &mut answers)
        }))
        .unwrap_or_else(|_| Err("the database engine panicked".to_owned()));
        if let (Some(room), Ok(durable)) = (room, &outcome) {
            // Before anybody hears of it, and makes use of the space.
            room.hold_again(*durable);
        }
        let failure = outcome.err();
        if let Some(what) = &failure {
            on_fatal(what);
        }
        for answer in answers {
            answer(failure.as_deref());
        }
        if failure.is_some() {
            // Dropped unheard: their callers learn that nothing was done.
            jobs.iter().for_each(drop);
        }
    }
}

/// The next job. While there is little room, more is looked for.
fn next(jobs: &Receiver<Job>, room: Option<&Room>) -> Option<Job> {
    while let Some(room) = room.filter(|room| room.is_short()) {
        match jobs.recv_timeout(AGAIN) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Timeout) => room.hold_again(false),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    jobs.recv().ok()
}

/// Runs `batch` in one transaction and makes it durable. Callers that were heard are in `answers`,
/// whatever happens. False when there was nothing to write.
fn commit(
    database: &Database,
    batch: impl Iterator<Item = Job>,
    ride: &Ride,
    answers: &mut Vec<Answer>,
) -> Result<bool, String> {
    let transaction = begin(database)?;
    let change = Change::new(&transaction);
    let mut broken = None;
    for job in batch {
        match job(Ok(&change)) {
            Ran::Whole(answer) => answers.push(answer),
            Ran::Broken(answer, what) => {
                answers.push(answer);
                broken = Some(what);
                break;
            }
        }
    }
    if let Some(what) = broken {
        // The error that counts is the one that broke it.
        let _ = transaction.abort();
        return Err(what);
    }
    if change.writes() == 0 {
        let aborted = transaction.abort().map_err(|e| e.to_string());
        return aborted.map(|()| false);
    }
    if let Err(e) = ride.board(&change) {
        let _ = transaction.abort();
        return Err(e.to_string());
    }
    let committed = transaction.commit().map_err(|e| e.to_string());
    committed.map(|()| true)
}

/// A write transaction whose commit is durable and leaves nothing to repair.
///
/// Two-phase, because a one-phase commit relies on a checksum that whoever chooses the data can
/// forge; with quick repair, so that a start after a power cut does not walk a million rows.
pub(super) fn begin(database: &Database) -> Result<redb::WriteTransaction, String> {
    let mut transaction = database.begin_write().map_err(|e| e.to_string())?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}
