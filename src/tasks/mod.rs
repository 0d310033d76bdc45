//! What happens without a request: sweeping, writing counts, the wish to end, and what the service
//! manager is told.
//!
//! One small thread sleeps on a timer and calls the service. It never holds anything that a request
//! waits for; a failure is logged and tried again later, and never ends the process.

mod ending;
mod interrupts;
pub mod notify;
mod schedule;
pub mod watchdog;

pub use ending::{Ending, Endings, HangUp, Wish, watch_signals};
pub use interrupts::{Interrupts, watch_interrupts};

use crate::model::Clock;
use crate::service::{Error, Service};
use schedule::{Job, Schedule};
use smol::channel::{Receiver, Sender};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// To ask a bucket over TLS takes a deep stack where the program is not optimised.
const STACK: usize = 512 * 1024;

/// How long a job may take to end when the thread is to end: it may wait for a store that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running thread.
pub struct Background {
    stop: Sender<()>,
    thread: JoinHandle<()>,
    /// Closed when the thread is over.
    over: mpsc::Receiver<()>,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(service: Arc<Service>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (stop, stopped) = smol::channel::bounded(1);
        let (runs, over) = mpsc::sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("background".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let _runs: mpsc::SyncSender<()> = runs;
                work(&service, &*clock, &stopped);
            })?;
        Ok(Self { stop, thread, over })
    }

    /// Begins no job any more.
    pub fn begin_no_more(&self) {
        self.stop.close();
    }

    /// Ends it, after the job it is at. One that takes too long is left behind: whatever it is at may
    /// break off at any instant.
    pub fn stop(self) {
        self.stop.close();
        if self.over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            log::warn!("a job in the background does not end, and is left behind");
            return;
        }
        if self.thread.join().is_err() {
            log::error!("the background thread had panicked");
        }
    }
}

fn work(service: &Service, clock: &dyn Clock, stopped: &Receiver<()>) {
    let mut schedule = Schedule::new(clock.elapsed());
    loop {
        let (job, at) = schedule.next();
        if !sleep(at.saturating_sub(clock.elapsed()), stopped) {
            return;
        }
        let more = attempt(job, || run(service, job));
        schedule.done(job, clock.elapsed(), more);
    }
}

/// Does `job` once. Whether there is more to do.
fn run(service: &Service, job: Job) -> Result<bool, Error> {
    match job {
        Job::Sweep => service.sweep().map(|_| false),
        Job::FlushCounts => service.flush_counts().map(|()| false),
        Job::Orphans => service.sweep_orphans_step(),
        Job::Blobs => service.check_blobs_step().map(|(_, more)| more),
    }
}

/// Runs `work`; a failure or a panic is logged and gives `None`, and the next job is done all the
/// same.
fn attempt(job: Job, work: impl FnOnce() -> Result<bool, Error>) -> Option<bool> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.inspect_err(|e| complain(job, e)).ok(),
        Err(_) => {
            complain(job, &Error::Internal("it panicked".to_owned()));
            None
        }
    }
}

/// Waits that long; false when the thread is to end.
fn sleep(time: Duration, stopped: &Receiver<()>) -> bool {
    smol::block_on(smol::future::or(
        async {
            let _closed = stopped.recv().await;
            false
        },
        async {
            smol::Timer::after(time).await;
            true
        },
    ))
}

fn complain(job: Job, error: &Error) {
    let what = match job {
        Job::Sweep => "removing what is over",
        Job::FlushCounts => "writing download counts",
        Job::Orphans => "looking for files that nothing refers to",
        Job::Blobs => "looking for files that are missing",
    };
    match error {
        // The cause was logged where it was met.
        Error::Internal(_) => log::warn!("{what} failed and is tried again"),
        other => log::error!("{what} failed and is tried again: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_is_tried_again_and_takes_nobody_along() {
        assert_eq!(attempt(Job::Sweep, || Ok(true)), Some(true));
        let failing = || Err(Error::Internal("no disk".to_owned()));
        assert_eq!(attempt(Job::Sweep, failing), None);
        assert_eq!(attempt(Job::Orphans, || panic!("on purpose")), None);
    }
}
