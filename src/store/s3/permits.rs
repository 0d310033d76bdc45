//! Permits that keep the parts that wait for the server few: so few that what waits on the disk is sent
//! before the kernel writes it there.
//!
//! There is a most of them. Where parts take long, because the way to the server is narrower than the way
//! from the clients, fewer are given: what waits then is the client's socket, and not half a minute of
//! bytes on the disk (`docs/decisions/0009-parts-wait-in-files-without-a-name.md`).

use crate::model::Clock;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Permits at the start.
const FIRST: usize = 2;
/// A part that took longer has one permit less given from then on, down to one. The kernel writes what is
/// half a minute old, and a part may have waited for its permit for as long as another took.
const SLOW: Duration = Duration::from_secs(10);
/// One that took less has one more given, if all were in use.
const QUICK: Duration = Duration::from_secs(5);

/// So many parts may be complete and not yet stored. First come, first served.
pub(super) struct Permits {
    clock: Arc<dyn Clock>,
    most: usize,
    tickets: Mutex<Tickets>,
    changed: Condvar,
}

struct Tickets {
    /// Permits that may be out, and that are.
    limit: usize,
    out: usize,
    /// The number of who comes next, and of whose turn it is.
    next: u64,
    turn: u64,
    stopped: bool,
}

/// The right to have one such part.
pub(super) struct Permit {
    of: Arc<Permits>,
    since: Duration,
}

impl Permits {
    /// At most `most` of them; `clock` tells how long parts take.
    pub(super) fn new(most: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            most,
            tickets: Mutex::new(Tickets {
                limit: FIRST.min(most),
                out: 0,
                next: 0,
                turn: 0,
                stopped: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// Waits for a permit; `None` when there are no more. Whoever has one gives it back after a bounded
    /// time.
    pub(super) fn take(self: &Arc<Self>) -> Option<Permit> {
        let mut tickets = self.lock();
        let mine = tickets.next;
        tickets.next += 1;
        while tickets.turn != mine || tickets.out >= tickets.limit {
            if tickets.stopped {
                return None;
            }
            tickets = self
                .changed
                .wait(tickets)
                .unwrap_or_else(PoisonError::into_inner);
        }
        tickets.turn += 1;
        tickets.out += 1;
        drop(tickets);
        self.changed.notify_all();
        Some(Permit {
            of: Arc::clone(self),
            since: self.clock.elapsed(),
        })
    }

    /// Whoever waits, and whoever would have to, gets none any more.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let of = &self.of;
        let held = of.clock.elapsed().saturating_sub(self.since);
        let mut tickets = of.lock();
        if held > SLOW {
            tickets.limit = (tickets.limit - 1).max(1);
        } else if held < QUICK && tickets.out >= tickets.limit {
            tickets.limit = (tickets.limit + 1).min(of.most);
        }
        tickets.out -= 1;
        drop(tickets);
        of.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::s3::tests::stage::Hand;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc::channel;

    #[test]
    fn permits_are_given_in_the_order_in_which_they_were_asked_for() {
        let permits = Permits::new(2, Arc::<Hand>::default());
        let held = [(); 2].map(|()| permits.take().unwrap());
        let (got, order) = channel();
        let waiting = || {
            let tickets = permits.lock();
            tickets.next - tickets.turn
        };
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let (own, got) = (Arc::clone(&permits), got.clone());
                let thread = std::thread::spawn(move || {
                    let permit = own.take().unwrap();
                    got.send((n, permit)).unwrap();
                });
                while waiting() != n + 1 {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(order.try_recv().is_err());
        drop(held);
        // Two at once, so both orders of these; then whoever comes next.
        let (first, second) = (order.recv().unwrap(), order.recv().unwrap());
        assert_eq!(first.0.min(second.0), 0);
        assert_eq!(first.0.max(second.0), 1);
        drop(first);
        let third = order.recv().unwrap();
        assert_eq!(third.0, 2);
        drop((second, third));
        assert_eq!(order.recv().unwrap().0, 3);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(permits.lock().out, 0);
    }

    #[test]
    fn the_slower_parts_are_the_fewer_may_wait_and_quick_ones_bring_all_back() {
        let clock = Arc::<Hand>::default();
        let permits = Permits::new(8, Arc::clone(&clock) as _);
        // Takes all that are given, and has them for so long.
        let round = |seconds| {
            let count = permits.lock().limit;
            let held: Vec<_> = (0..count).map(|_| permits.take().unwrap()).collect();
            clock.passed.fetch_add(seconds, Ordering::SeqCst);
            drop(held);
            count
        };
        assert_eq!([1, 1, 1, 1].map(round), [2, 3, 4, 5]);
        (0..10).for_each(|_| _ = round(1));
        assert_eq!(round(7), 8, "neither slow nor quick");
        assert_eq!(round(50), 8);
        // One at a time, and no fewer.
        assert_eq!([50, 50, 7, 7].map(round), [1, 1, 1, 1]);
        assert_eq!([1, 1, 1].map(round), [1, 2, 3]);
        // Who uses one of many shows nothing about more of them.
        drop(permits.take());
        assert_eq!(permits.lock().limit, 4);
    }
}
