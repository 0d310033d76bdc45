//! The workers for what takes long: threads on demand, and one thread for passwords.
//!
//! All are bounded, and a full set refuses at once instead of letting requests wait.

use crate::model::progress::Progress;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The stack of a thread, in bytes. Only what it touches costs memory, and that is far less; the
/// rest is room for builds without optimisation.
const STACK: usize = 512 * 1024;
/// Threads that make a crowd. When it has gone, the allocator gives back what it keeps for the
/// next one: memory that was touched once would otherwise stay with the process.
const CROWD: usize = 16;
/// Each time that so many more threads run than did before, the program's code leaves the resident memory: of all
/// that ran until then a crowd needs little, and for that there is less to come back than it takes itself.
const STEP: usize = 32;
/// How long the checks that wait may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Password checks that may wait.
const QUEUE: usize = 8;

/// Work for a thread.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What a job is about, until the job or its refusal takes it.
struct Handed<T>(Mutex<Option<T>>);

impl<T> Handed<T> {
    fn new(subject: T) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(subject))))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells whether a set of workers has given a sign of life since this last told so. Never blocks.
pub(super) type Sign = Box<dyn FnMut() -> bool + Send>;

/// One set of threads, each started for one piece of work.
#[derive(Clone)]
pub(super) struct Threads {
    name: &'static str,
    most: usize,
    running: Arc<Running>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Running {
    crowd: Mutex<Crowd>,
    changed: Condvar,
}

#[derive(Default)]
struct Crowd {
    count: usize,
    /// The most that ran at once since none did.
    peak: usize,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread that runs; dropping it counts it out.
struct Run(Arc<Running>);

impl Drop for Run {
    fn drop(&mut self) {
        let a_crowd_has_gone = {
            let mut crowd = self.0.lock();
            crowd.count -= 1;
            crowd.count == 0 && std::mem::take(&mut crowd.peak) >= CROWD
        };
        if a_crowd_has_gone {
            mayfly_sys::trim_allocator();
        }
        self.0.changed.notify_all();
    }
}

impl Threads {
    /// A set of up to `most` threads of that name.
    pub(super) fn new(name: &'static str, most: usize) -> Self {
        Self {
            name,
            most,
            running: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// Runs what `job` makes of `subject` in a thread of its own. Gives `subject` back when there
    /// are as many as may be, or no thread can be had.
    pub(super) fn start<T: Send + 'static>(
        &self,
        subject: T,
        job: impl FnOnce(T) + Send + 'static,
    ) -> Result<(), T> {
        let (run, is_growing) = {
            let mut crowd = self.running.lock();
            if crowd.count >= self.most {
                return Err(subject);
            }
            crowd.count += 1;
            let is_growing = crowd.count > crowd.peak && crowd.count.is_multiple_of(STEP);
            crowd.peak = crowd.peak.max(crowd.count);
            (Run(Arc::clone(&self.running)), is_growing)
        };
        if is_growing {
            mayfly_sys::give_back_code();
        }
        // The subject must come back when the thread cannot start, so it is handed over apart.
        let hand = Handed::new(subject);
        let take = Arc::clone(&hand);
        let spawned = self.spawn(move || {
            let _run = run;
            if let Some(subject) = take.take() {
                drop(take);
                barrier(|| job(subject));
            }
        });
        match spawned {
            Ok(()) => Ok(()),
            Err(error) => {
                log::error!("cannot start a thread ({}): {error}", self.name);
                hand.take().map_or(Ok(()), Err)
            }
        }
    }

    fn spawn(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let progress = Arc::clone(&self.progress);
        std::thread::Builder::new()
            .name(self.name.to_owned())
            .stack_size(STACK)
            .spawn(move || {
                progress.lend();
                work();
                progress.step();
            })
            .map(drop)
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.running.lock().count
    }

    /// Signs of life: a thread of the set that was started for nothing else has run. Where none can
    /// be started, because there are as many as may be or the system has no more: there is no job, or
    /// one has ended, has moved bytes, or waits for its client, which has a deadline.
    pub(super) fn sign(&self) -> Sign {
        let threads = self.clone();
        let mut question: Option<(Arc<AtomicBool>, bool, usize)> = None;
        Box::new(move || {
            let (answered, asked, before) = question.get_or_insert_with(|| {
                let answered = Arc::new(AtomicBool::new(false));
                (answered, false, threads.progress.steps())
            });
            if !*asked && threads.count() < threads.most {
                let answer = Arc::clone(answered);
                // It has no place in the set, so that no request is refused for its sake.
                *asked = threads
                    .spawn(move || answer.store(true, Ordering::Relaxed))
                    .is_ok();
            }
            let alive = match asked {
                true => answered.load(Ordering::Relaxed),
                false => {
                    threads.count() == 0
                        || threads.progress.waits()
                        || threads.progress.steps() != *before
                }
            };
            if alive {
                question = None;
            }
            alive
        })
    }

    /// Waits until none runs, for at most `patience`. Whether that came true.
    pub(super) fn ended(&self, patience: Duration) -> bool {
        let (crowd, _) = self
            .running
            .changed
            .wait_timeout_while(self.running.lock(), patience, |crowd| crowd.count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        crowd.count == 0
    }
}

/// The thread that checks passwords, and its queue.
pub(super) struct Passwords {
    queue: Mutex<Option<SyncSender<Job>>>,
    progress: Arc<Progress>,
    /// With what is closed when the thread is over.
    thread: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

impl Passwords {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system reports.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, jobs): (_, Receiver<Job>) = sync_channel(QUEUE);
        let progress = Arc::new(Progress::default());
        let own = Arc::clone(&progress);
        let (runs, over) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("password".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let _runs = runs;
                own.lend();
                for job in jobs {
                    barrier(job);
                    own.step();
                }
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            progress,
            thread: Mutex::new(Some((thread, over))),
        })
    }

    /// Queues what `job` makes of `subject`. Gives `subject` back when the queue is full.
    pub(super) fn queue<T: Send + 'static>(
        &self,
        subject: T,
        job: impl FnOnce(T) + Send + 'static,
    ) -> Result<(), T> {
        let slot = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = slot.as_ref() else {
            return Err(subject);
        };
        let hand = Handed::new(subject);
        let take = Arc::clone(&hand);
        let queued = queue.try_send(Box::new(move || {
            if let Some(subject) = take.take() {
                job(subject);
            }
        }));
        match queued {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                hand.take().map_or(Ok(()), Err)
            }
        }
    }

    /// Signs of life: a check has ended, or waits for object storage. When there is nothing to check, an
    /// empty job takes its turn. Its thread never waits for a client.
    pub(super) fn sign(self: &Arc<Self>) -> Sign {
        let passwords = Arc::clone(self);
        let mut question: Option<(bool, usize)> = None;
        Box::new(move || {
            let (asked, before) =
                question.get_or_insert_with(|| (false, passwords.progress.steps()));
            // A queue that is full needs no job more: each of those in it answers as well.
            *asked = *asked || passwords.queue((), |()| ()).is_ok();
            let alive = passwords.progress.waits() || passwords.progress.steps() != *before;
            if alive {
                question = None;
            }
            alive
        })
    }

    /// Ends the thread after the checks that wait. One that takes too long is left behind.
    pub(super) fn stop(&self) {
        self.stop_within(PATIENCE);
    }

    fn stop_within(&self, patience: Duration) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((thread, over)) = thread else {
            return;
        };
        if over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            log::warn!("a check of a password does not end, and is left behind");
        } else if thread.join().is_err() {
            log::error!("the password worker had panicked");
        }
    }
}

/// What the control workers are doing.
#[derive(Default)]
pub(super) struct Control {
    busy: AtomicUsize,
    progress: Progress,
}

impl Control {
    /// Runs `job` in one of them.
    pub(super) fn run(&self, job: impl FnOnce()) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        barrier(job);
        self.busy.fetch_sub(1, Ordering::Relaxed);
        self.progress.step();
    }

    /// Signs of life of `count` workers: one has nothing to do, or has done something.
    pub(super) fn sign(self: &Arc<Self>, count: usize) -> Sign {
        let control = Arc::clone(self);
        let mut before = None;
        Box::new(move || {
            let steps = control.progress.steps();
            let alive = control.busy.load(Ordering::Relaxed) < count
                || *before.get_or_insert(steps) != steps;
            if alive {
                before = None;
            }
            alive
        })
    }
}

/// Runs `job`; a panic ends it and nothing else.
pub(super) fn barrier(job: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        log::error!("a worker panicked and goes on");
    }
}

#[cfg(test)]
mod tests;
