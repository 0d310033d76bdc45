//! The threads that talk to the server for all uploads.
//!
//! A thread is never bound to an upload: only what is complete is handed over, so a client that is
//! slow holds nobody up. Short requests go before parts that wait, but only every other time, so that
//! neither keeps the other from being done.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The stack of a thread, in bytes. Only what it touches costs memory; the rest is room for TLS in
/// builds without optimisation.
const STACK: usize = 512 * 1024;

/// Something to send.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// How urgent a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// A client waits for its answer, which is the last that it waits for.
    Soon,
    /// When its turn comes.
    Later,
}

/// The threads. They end when this is dropped, after what they are at.
pub(super) struct Senders(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    soon: VecDeque<Job>,
    later: VecDeque<Job>,
    /// The last one taken was from `soon`.
    later_is_next: bool,
    ended: bool,
}

impl Queue {
    fn next(&mut self) -> Option<Job> {
        let later_first = std::mem::take(&mut self.later_is_next);
        let first = match later_first {
            true => self.later.pop_front(),
            false => None,
        };
        if first.is_some() {
            return first;
        }
        let soon = self.soon.pop_front();
        self.later_is_next = soon.is_some();
        soon.or_else(|| self.later.pop_front())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Jobs do not run under the lock, so nothing panics under it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if queue.ended {
                return;
            }
            let Some(job) = queue.next() else {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("a request to the object storage panicked");
            }
            queue = self.lock();
        }
    }
}

impl Senders {
    /// Starts `count` threads.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let senders = Self(Arc::default());
        for _ in 0..count {
            let shared = Arc::clone(&senders.0);
            // Nobody joins it: what it is at may take minutes, and at the end nobody waits for that.
            std::thread::Builder::new()
                .name("s3-sender".to_owned())
                .stack_size(STACK)
                .spawn(move || shared.work())?;
        }
        Ok(senders)
    }

    /// Queues a job.
    pub(super) fn queue(&self, turn: Turn, job: Job) {
        let mut queue = self.0.lock();
        if queue.ended {
            drop(queue);
            // Outside of the lock: what it holds may do anything when it is dropped.
            drop(job);
            return;
        }
        match turn {
            Turn::Soon => queue.soon.push_back(job),
            Turn::Later => queue.later.push_back(job),
        }
        drop(queue);
        self.0.changed.notify_one();
    }

    /// Ends the threads after what they are at. What waits is dropped, and so is what comes later.
    pub(super) fn stop(&self) {
        let mut queue = self.0.lock();
        queue.ended = true;
        let left = (
            std::mem::take(&mut queue.soon),
            std::mem::take(&mut queue.later),
        );
        drop(queue);
        // Outside of the lock: what jobs hold may do anything when it is dropped.
        drop(left);
        self.0.changed.notify_all();
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// One thread, which is kept busy until the returned sender is dropped.
    fn busy() -> (Senders, std::sync::mpsc::Sender<()>) {
        let senders = Senders::start(1).unwrap();
        let (release, hold) = channel::<()>();
        let (began, begun) = channel();
        let job = move || {
            began.send(()).unwrap();
            let _ = hold.recv();
        };
        senders.queue(Turn::Soon, Box::new(job));
        begun.recv().unwrap();
        (senders, release)
    }

    #[test]
    fn short_requests_pass_parts_that_wait_but_only_every_other_time() {
        let (senders, release) = busy();
        let (done, order) = channel();
        let queue = |turn, name: &'static str| {
            let done = done.clone();
            senders.queue(turn, Box::new(move || done.send(name).unwrap()));
        };
        for part in ["part 1", "part 2", "part 3"] {
            queue(Turn::Later, part);
        }
        for short in ["short 1", "short 2"] {
            queue(Turn::Soon, short);
        }
        drop(release);
        let order: Vec<_> = (0..5).map(|_| order.recv().unwrap()).collect();
        // The job that kept the thread busy was a short one.
        let expected = ["part 1", "short 1", "part 2", "short 2", "part 3"];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_job_that_panics_takes_nobody_with_it() {
        let senders = Senders::start(1).unwrap();
        senders.queue(Turn::Soon, Box::new(|| panic!("on purpose")));
        let (done, is_done) = channel();
        senders.queue(Turn::Soon, Box::new(move || done.send(()).unwrap()));
        is_done.recv().unwrap();
    }

    #[test]
    fn what_waits_at_the_end_is_dropped_and_not_run() {
        let (senders, release) = busy();
        let (done, is_done) = channel::<()>();
        senders.queue(Turn::Later, Box::new(move || done.send(()).unwrap()));
        drop(senders);
        assert!(is_done.recv().is_err());
        drop(release);
    }
}
