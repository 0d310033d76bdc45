//! A processor to itself, for work that keeps one busy for tens of milliseconds.
//!
//! Kernels let a running thread go on to the end of its time slice, which they notice at the next
//! tick: up to 4 ms later (`CONFIG_HZ=250`). A thread of this process that is woken on the processor of
//! such work waits for that, although another processor may be free by then, and a small request
//! wakes several. So while the work runs, it stays on the processor where it is, and the other threads
//! of the process use those that remain. What other programs do is left to the kernel: they share
//! all processors with the work as before.
//!
//! Best effort: where there is one processor, or the system refuses (sched_setaffinity(2) in a sandbox,
//! no `/proc`), the work runs like any other.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_getcpu, sched_setaffinity};
use std::sync::{Mutex, TryLockError};

/// Held while a processor is taken: a second one at the same time would read, and put back, masks that
/// are not the usual ones.
static TAKEN: Mutex<()> = Mutex::new(());
/// How often threads are put back at most. A thread that is born meanwhile has the mask of the
/// thread that started it, and may appear behind the place in the list that was read last.
const PASSES: usize = 8;

/// Runs `work` in this thread, with a processor to itself if one is to be had.
pub(super) fn apart<T>(work: impl FnOnce() -> T) -> T {
    let turn = match TAKEN.try_lock() {
        Ok(turn) => Some(turn),
        // Nothing is behind the lock that could be broken.
        Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    // Given back before the turn is: it was made later.
    let _processor = turn.as_ref().and_then(|_| Processor::take());
    work()
}

/// A processor that is taken; dropping it gives it back.
struct Processor {
    /// Where the threads of the process may run.
    usual: CpuSet,
    /// Where those may run meanwhile that do not belong to the work.
    rest: CpuSet,
}

impl Processor {
    /// Takes the processor of this thread.
    fn take() -> Option<Self> {
        // Asked for each time, so that what the administrator has changed (taskset(1)) stays.
        let usual = sched_getaffinity(None).ok()?;
        let here = sched_getcpu();
        if here >= CpuSet::MAX_CPU || !usual.is_set(here) || usual.count() < 2 {
            return None;
        }
        let mut own = CpuSet::new();
        own.set(here);
        let mut rest = usual;
        rest.unset(here);
        sched_setaffinity(None, &own).ok()?;
        move_threads(&usual, &rest);
        Some(Self { usual, rest })
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // Refused only when none of these processors is left to the process: the kernel has found
        // other ones then.
        let _ = sched_setaffinity(None, &self.usual);
        for _ in 0..PASSES {
            if move_threads(&self.rest, &self.usual) == 0 {
                break;
            }
        }
    }
}

/// Moves the threads of this process that may run on exactly `from`; tells how many. Those that
/// somebody has given other processors stay with them; only one that was given exactly the rest
/// cannot be told from those that were moved, and is put back with them.
fn move_threads(from: &CpuSet, to: &CpuSet) -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    threads
        .flatten()
        .filter_map(|thread| thread.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|&thread| sched_getaffinity(Some(thread)).is_ok_and(|mask| mask == *from))
        .filter(|&thread| sched_setaffinity(Some(thread), to).is_ok())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::gettid;
    use std::sync::PoisonError;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::Scope;

    /// Two processors are needed, and the right to choose.
    fn there_is_a_choice() -> bool {
        let choice = sched_getaffinity(None)
            .is_ok_and(|m| m.count() > 1 && sched_setaffinity(None, &m).is_ok());
        if !choice {
            eprintln!("LEFT OUT: a processor to itself: there is one, or none may be chosen");
        }
        choice
    }

    /// A thread that does `first`, then waits until the sender is dropped.
    fn waiting<'s>(
        scope: &'s Scope<'s, '_>,
        first: impl FnOnce() + Send + 's,
    ) -> (Pid, Sender<()>) {
        let (tell, told) = channel();
        let (release, hold) = channel::<()>();
        scope.spawn(move || {
            first();
            tell.send(gettid()).unwrap();
            let _ = hold.recv();
        });
        (told.recv().unwrap(), release)
    }

    fn mask(thread: Pid) -> CpuSet {
        sched_getaffinity(Some(thread)).unwrap()
    }

    #[test]
    fn others_leave_the_processor_of_the_work_and_come_back_with_those_they_started() {
        let _turn = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !there_is_a_choice() {
            return;
        }
        let usual = mask(gettid());
        std::thread::scope(|scope| {
            let (other, _release) = waiting(scope, || ());
            let (start, started) = channel::<()>();
            let (tell, told) = channel();
            let (_hold, held) = channel::<()>();
            // Starts another thread while the processor is taken.
            scope.spawn(move || {
                started.recv().unwrap();
                std::thread::spawn(move || {
                    tell.send(gettid()).unwrap();
                    let _ = held.recv();
                });
            });
            let processor = Processor::take().unwrap();
            start.send(()).unwrap();
            let born = told.recv().unwrap();
            let own = mask(gettid());
            assert_eq!(own.count(), 1);
            for thread in [other, born] {
                assert_eq!(mask(thread).count(), usual.count() - 1);
                assert!((0..CpuSet::MAX_CPU).all(|p| !(mask(thread).is_set(p) && own.is_set(p))));
            }
            drop(processor);
            for thread in [gettid(), other, born] {
                assert_eq!(mask(thread), usual);
            }
        });
    }

    #[test]
    fn a_thread_that_was_given_a_processor_keeps_it() {
        let _turn = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !there_is_a_choice() {
            return;
        }
        let usual = mask(gettid());
        for given in (0..CpuSet::MAX_CPU).filter(|&p| usual.is_set(p)) {
            std::thread::scope(|scope| {
                let mut one = CpuSet::new();
                one.set(given);
                let (pinned, _release) =
                    waiting(scope, move || sched_setaffinity(None, &one).unwrap());
                let processor = Processor::take().unwrap();
                assert_eq!(mask(pinned), one);
                let is_the_rest = processor.rest == one;
                drop(processor);
                assert!(is_the_rest || mask(pinned) == one);
            });
        }
    }

    #[test]
    fn who_has_one_processor_and_who_comes_second_works_all_the_same() {
        let turn = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = mask(gettid());
        assert_eq!(apart(|| (7, mask(gettid()))), (7, usual));
        if let Some(only) = (0..CpuSet::MAX_CPU).find(|&p| usual.is_set(p)) {
            let mut one = CpuSet::new();
            one.set(only);
            if sched_setaffinity(None, &one).is_ok() {
                assert!(Processor::take().is_none());
                assert_eq!(mask(gettid()), one);
            }
        }
        drop(turn);
    }
}
