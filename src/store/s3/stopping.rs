//! What wakes those who wait for the bucket when the process is to end.

use super::error::{Kind, S3Error};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Ring = Box<dyn Fn() + Send>;

/// Whether the process is to end, and whom to tell.
#[derive(Default)]
pub(super) struct Stopping(Mutex<State>);

#[derive(Default)]
struct State {
    stopped: bool,
    next: u64,
    bells: BTreeMap<u64, Ring>,
}

/// Rings no more once it is dropped.
pub(super) struct Bell {
    of: Arc<Stopping>,
    number: u64,
}

impl Stopping {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process is to end.
    pub(super) fn has_come(&self) -> bool {
        self.lock().stopped
    }

    /// Calls `ring` when the process is to end: at once, if it is already. It must not block.
    pub(super) fn bell(self: &Arc<Self>, ring: impl Fn() + Send + 'static) -> Bell {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        if state.stopped {
            drop(state);
            ring();
        } else {
            state.bells.insert(number, Box::new(ring));
        }
        Bell {
            of: Arc::clone(self),
            number,
        }
    }

    /// From now on the process ends.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let bells = std::mem::take(&mut state.bells);
        drop(state);
        bells.values().for_each(|ring| ring());
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // What it holds is dropped outside of the lock.
        let ring = self.of.lock().bells.remove(&self.number);
        drop(ring);
    }
}

/// Why a request is not waited for any more.
pub(super) fn stopping() -> S3Error {
    S3Error::new(Kind::Broken, "the server is stopping")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn who_waits_is_told_once_also_when_it_comes_late_and_nobody_who_has_gone() {
        let stopping = Arc::new(Stopping::default());
        let rung = Arc::new(AtomicU32::new(0));
        let bell = |worth| {
            let rung = Arc::clone(&rung);
            stopping.bell(move || _ = rung.fetch_add(worth, Ordering::SeqCst))
        };
        let _early = bell(1);
        drop(bell(10));
        assert!(!stopping.has_come());
        stopping.stop();
        assert!(stopping.has_come());
        stopping.stop();
        let _late = bell(100);
        assert_eq!(rung.load(Ordering::SeqCst), 101);
    }
}
