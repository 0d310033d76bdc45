//! Threads that talk to the server for all readers. To sign, send and decrypt takes a deep stack,
//! and whoever reads by itself keeps those pages for as long as it lives: hundreds of readers would.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SendError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The client keeps its buffers on the heap.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
pub(super) struct Fetchers {
    jobs: Sender<Job>,
}

impl Fetchers {
    /// Starts up to `count` threads: as many as are to be had. Without any, whoever asks does the work.
    pub(super) fn start(count: usize) -> Self {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count {
            if let Err(error) = fetcher(&queue) {
                log::warn!("there is no thread to be had for reading from the bucket: {error}");
                break;
            }
        }
        Self { jobs }
    }

    /// Has one of them do `work`, and waits. `None` when it panicked.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answers) = sync_channel(1);
        let job: Job = Box::new(move || {
            // Whoever asked waits.
            let _ = answer.send(work());
        });
        if let Err(SendError(job)) = self.jobs.send(job) {
            job();
        }
        answers.recv().ok()
    }
}

/// What a fetcher has made, held by a reader; it goes away on a fetcher's thread. A thread keeps some of what it
/// frees for itself, and with hundreds of readers that is megabytes.
pub(super) struct Kept<T: Send + 'static> {
    inner: Option<T>,
    home: Arc<Fetchers>,
}

impl<T: Send + 'static> Kept<T> {
    pub(super) fn new(inner: T, home: &Arc<Fetchers>) -> Self {
        Self {
            inner: Some(inner),
            home: Arc::clone(home),
        }
    }

    /// To be given to a fetcher.
    pub(super) fn take(mut self) -> Option<T> {
        self.inner.take()
    }

    pub(super) fn is(&self, wanted: impl FnOnce(&T) -> bool) -> bool {
        self.inner.as_ref().is_some_and(wanted)
    }
}

impl<T: Send + 'static> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // Waits: whoever gets the turn next finds it closed.
            let _ = self.home.run(move || drop(inner));
        }
    }
}

fn fetcher(queue: &Arc<Mutex<Receiver<Job>>>) -> io::Result<()> {
    let queue = Arc::clone(queue);
    std::thread::Builder::new()
        .name("s3-read".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            loop {
                // Held while waiting: the others wait for the lock instead of the queue.
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else {
                    return;
                };
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    log::error!("reading from the bucket panicked");
                }
            }
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn work_is_done_elsewhere_and_a_panic_costs_no_thread() {
        let fetchers = Fetchers::start(1);
        for round in 0..3 {
            let (number, name) = fetchers
                .run(move || (round, thread::current().name().map(str::to_owned)))
                .unwrap();
            assert_eq!((number, name.as_deref()), (round, Some("s3-read")));
            assert_eq!(fetchers.run(|| -> u8 { panic!("on purpose") }), None);
        }
    }

    #[test]
    fn without_threads_whoever_asks_does_the_work() {
        let here = thread::current().id();
        let fetchers = Fetchers::start(0);
        assert_eq!(
            fetchers.run(move || thread::current().id() == here),
            Some(true)
        );
    }
}
