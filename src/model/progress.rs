//! Signs of life of a set of workers: what tells one that is busy from one that is stuck.
//!
//! Whoever runs a job lends a [`Progress`] to its thread. The code that talks to clients and to object
//! storage counts there: a step whenever bytes moved, and who waits for the other side. Such a wait
//! is never counted as being stuck, because a deadline ends it: otherwise clients that stand still
//! together, or a server that is away, could make a whole set look dead.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the jobs of one set have done.
#[derive(Default)]
pub(crate) struct Progress {
    steps: AtomicUsize,
    waiting: AtomicUsize,
}

thread_local! {
    static LENT: RefCell<Option<Arc<Progress>>> = const { RefCell::new(None) };
    static GONE: RefCell<Option<Box<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

impl Progress {
    /// From now on the jobs of this thread count here.
    pub(crate) fn lend(self: &Arc<Self>) {
        LENT.set(Some(Arc::clone(self)));
    }

    /// Counts a step.
    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// How many steps there were. Only a difference means something: the number may wrap.
    pub(crate) fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether a job waits for its client, or for object storage.
    pub(crate) fn waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Counts a step of the job that this thread is at.
pub(crate) fn step() {
    LENT.with_borrow(|lent| {
        if let Some(progress) = lent {
            progress.step();
        }
    });
}

/// Runs a wait of the job that this thread is at for somebody outside; a deadline ends it.
pub(crate) fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let Some(progress) = LENT.with_borrow(Clone::clone) else {
        return wait();
    };
    let _waits = Waits::begin(progress);
    wait()
}

/// Runs the job of this thread for somebody of whom `is_gone` tells whether nobody is there any more.
pub(crate) fn wanted_by<T>(is_gone: impl Fn() -> bool + 'static, job: impl FnOnce() -> T) -> T {
    let _wanted = Wanted(GONE.replace(Some(Box::new(is_gone))));
    job()
}

/// Whether whoever this thread works for has gone: what takes long is not worth it any more.
pub(crate) fn is_unwanted() -> bool {
    GONE.with_borrow(|gone| gone.as_ref().is_some_and(|is_gone| is_gone()))
}

/// Keeps whom the thread worked for before.
struct Wanted(Option<Box<dyn Fn() -> bool>>);

impl Drop for Wanted {
    fn drop(&mut self) {
        drop(GONE.replace(self.0.take()));
    }
}

/// Somebody waits, until this is dropped: also when the wait ends by a panic.
struct Waits(Arc<Progress>);

impl Waits {
    fn begin(progress: Arc<Progress>) -> Self {
        progress.waiting.fetch_add(1, Ordering::Relaxed);
        Self(progress)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_counts_where_it_was_told_to_and_nowhere_else() {
        let progress = Arc::new(Progress::default());
        step();
        waiting(|| assert!(!progress.waits()));
        let own = Arc::clone(&progress);
        std::thread::spawn(move || {
            own.lend();
            step();
            waiting(|| assert!(own.waits()));
            assert!(!own.waits());
        })
        .join()
        .unwrap();
        assert_eq!(progress.steps(), 1);
    }

    #[test]
    fn a_job_is_wanted_until_the_one_who_wants_it_has_gone_and_the_next_one_is_anothers() {
        assert!(!is_unwanted());
        wanted_by(
            || true,
            || {
                assert!(is_unwanted());
                wanted_by(|| false, || assert!(!is_unwanted()));
                assert!(is_unwanted());
            },
        );
        assert!(!is_unwanted());
    }

    #[test]
    fn whoever_panics_waits_no_more() {
        let progress = Arc::new(Progress::default());
        let own = Arc::clone(&progress);
        let thread = std::thread::spawn(move || {
            own.lend();
            waiting(|| panic!("on purpose"));
        });
        assert!(thread.join().is_err());
        assert!(!progress.waits());
    }
}
