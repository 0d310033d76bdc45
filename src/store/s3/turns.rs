//! Turns at the few connections for reading: [`Windows`], with threads that wait for theirs.
//!
//! Whoever waits is woken alone, when its turn has come or when it is the first and has to look for a
//! request that lies idle. Requests are closed outside of the lock, and before another is opened.

use super::windows::{Reader, Turn, Windows};
use crate::model::Clock;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait for a turn. Turns are short; who waits longer waits for a server that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The turns; `T` is an open request.
pub(super) struct Turns<T> {
    clock: Arc<dyn Clock>,
    patience: Duration,
    state: Mutex<State<T>>,
    readers: AtomicU64,
}

struct State<T> {
    windows: Windows<T>,
    /// How to wake those who wait.
    bells: HashMap<Reader, Arc<Condvar>>,
}

impl<T> State<T> {
    fn wake(&self, reader: Option<Reader>) {
        if let Some(bell) = reader.and_then(|reader| self.bells.get(&reader)) {
            bell.notify_one();
        }
    }
}

impl<T> Turns<T> {
    /// At most `most` requests at once.
    pub(super) fn new(most: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::patient(most, clock, PATIENCE)
    }

    fn patient(most: usize, clock: Arc<dyn Clock>, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock,
            patience,
            state: Mutex::new(State {
                windows: Windows::new(most),
                bells: HashMap::new(),
            }),
            readers: AtomicU64::new(0),
        })
    }

    /// A place for one reader. It takes no turn yet.
    pub(super) fn seat(self: &Arc<Self>) -> Seat<T> {
        Seat {
            turns: Arc::clone(self),
            reader: self.readers.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Each change is one call of `Windows`, which does not panic in the middle.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one reader, who has at most one request; dropping it gives the request up.
pub(super) struct Seat<T> {
    turns: Arc<Turns<T>>,
    reader: Reader,
}

impl<T> Seat<T> {
    /// Waits for the turn. Gives the open request back that was left with [`Seat::rest`], or none
    /// when it is lost or there was none: then one may be opened.
    ///
    /// # Errors
    /// `TimedOut` after two minutes.
    pub(super) fn take(&self) -> io::Result<Option<T>> {
        let clock = &*self.turns.clock;
        let mut state = self.turns.state();
        match state.windows.enter(self.reader, clock.elapsed()) {
            Turn::Continue(window) => return Ok(Some(window)),
            Turn::Open => return Ok(None),
            Turn::Wait => {}
        }
        let bell = Arc::new(Condvar::new());
        state.bells.insert(self.reader, Arc::clone(&bell));
        let until = clock.elapsed() + self.turns.patience;
        loop {
            let now = clock.elapsed();
            let first = state.windows.first() == Some(self.reader);
            let evicted = if first {
                state.windows.evict(now)
            } else {
                None
            };
            let has_turn = state.windows.has_turn(self.reader);
            if has_turn || now >= until {
                state.bells.remove(&self.reader);
                if !has_turn {
                    state.windows.leave(self.reader, now);
                }
                // The next has to look for itself from now on.
                state.wake(state.windows.first());
                drop(state);
                drop(evicted);
                let late = "no connection to the object storage came free for two minutes";
                return has_turn
                    .then_some(None)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, late));
            }
            let evicts_at = state.windows.evicts_at().filter(|_| first);
            let wakes_at = evicts_at.map_or(until, |at| at.min(until));
            state = bell
                .wait_timeout(state, wakes_at.saturating_sub(now))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Leaves the request open until the next [`Seat::take`]; who waits may get it.
    pub(super) fn rest(&self, window: T) {
        let now = self.turns.clock.elapsed();
        let mut state = self.turns.state();
        state.windows.rest(self.reader, window, now);
        state.wake(state.windows.first());
    }

    /// Gives the turn up. The request must be closed, or is closed here.
    pub(super) fn leave(&self) {
        let now = self.turns.clock.elapsed();
        let mut state = self.turns.state();
        let next = state.windows.first();
        let idle = state.windows.close(self.reader);
        if idle.is_some() {
            drop(state);
            drop(idle);
            state = self.turns.state();
        }
        state.windows.leave(self.reader, now);
        state.wake(next);
        state.wake(state.windows.first());
    }

    /// The longest window that is fair now, in bytes.
    pub(super) fn room(&self) -> u64 {
        self.turns.state().windows.room()
    }

    /// Whether others wait, or have waited not long ago.
    pub(super) fn is_scarce(&self) -> bool {
        let now = self.turns.clock.elapsed();
        self.turns.state().windows.is_scarce(now)
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SystemClock;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    fn turns<T>(most: usize, patience: Duration) -> Arc<Turns<T>> {
        Turns::patient(most, Arc::new(SystemClock::new()), patience)
    }

    /// Waits until so many wait.
    fn until_waiting<T>(turns: &Turns<T>, count: usize) {
        while turns.state().bells.len() != count {
            thread::yield_now();
        }
    }

    #[test]
    fn whoever_came_first_has_the_first_turn() {
        let turns = turns::<()>(1, PATIENCE);
        let order = Mutex::new(Vec::new());
        let seat = turns.seat();
        assert!(seat.take().unwrap().is_none());
        thread::scope(|scope| {
            for number in 0..6 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let seat = turns.seat();
                    assert!(seat.take().unwrap().is_none());
                    order.lock().unwrap().push(number);
                });
                until_waiting(turns, number + 1);
            }
            seat.leave();
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
        assert!(turns.state().bells.is_empty());
    }

    #[test]
    fn whoever_waits_for_too_long_gives_up_and_is_not_waited_for() {
        let turns = turns::<()>(1, Duration::ZERO);
        let (first, second, third) = (turns.seat(), turns.seat(), turns.seat());
        assert!(first.take().unwrap().is_none());
        let error = second.take().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        first.leave();
        assert!(third.take().unwrap().is_none());
        assert!(second.take().is_err());
        drop(third);
        assert!(second.take().unwrap().is_none());
    }

    /// A request that counts itself while it is open.
    struct Open(Arc<AtomicUsize>);

    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn however_many_read_rest_and_go_away_no_more_are_open_than_allowed_and_all_get_through() {
        const MOST: usize = 3;
        let turns = turns::<Open>(MOST, PATIENCE);
        let open = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..24 {
                let (turns, open) = (&turns, &open);
                scope.spawn(move || {
                    let seat = turns.seat();
                    for round in 0..40 {
                        let window = seat.take().unwrap().unwrap_or_else(|| {
                            let before = open.fetch_add(1, Ordering::SeqCst);
                            assert!(before < MOST, "{before} were open already");
                            Open(Arc::clone(open))
                        });
                        thread::yield_now();
                        match (number + round) % 8 {
                            0 => seat.rest(window),
                            _ => {
                                drop(window);
                                seat.leave();
                            }
                        }
                    }
                    // Some go away with a request that lies idle.
                    if number % 6 == 0 && seat.take().unwrap().is_none() {
                        open.fetch_add(1, Ordering::SeqCst);
                        seat.rest(Open(Arc::clone(open)));
                    }
                });
            }
        });
        assert_eq!(open.load(Ordering::SeqCst), 0);
    }
}
