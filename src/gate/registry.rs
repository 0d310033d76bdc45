//! The open connections, what each is doing, and until when.
//!
//! One ticker looks at all deadlines a few times a second: a timer for each wait would cost two
//! system calls a request. The thread of the gate is the only user.

use super::wire::Client;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Waiting for a request, or for the rest of its head.
    Idle,
    /// Waiting for an answer, or sending it.
    Busy,
    /// Answered; waiting for the client to read it.
    Lingering,
}

/// One connection.
pub(super) struct Entry {
    pub(super) client: Client,
    pub(super) phase: Cell<Phase>,
    deadline: Cell<Option<Instant>>,
    over: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// All connections.
#[derive(Default)]
pub(super) struct Registry {
    entries: RefCell<HashMap<u64, Rc<Entry>>>,
    next: Cell<u64>,
    stopping: Cell<bool>,
}

/// A connection's place in the registry; dropping it removes the connection.
pub(super) struct Listed {
    registry: Rc<Registry>,
    key: u64,
    pub(super) entry: Rc<Entry>,
}

impl Registry {
    pub(super) fn list(self: &Rc<Self>, client: Client) -> Listed {
        let entry = Rc::new(Entry {
            client,
            phase: Cell::new(Phase::Idle),
            deadline: Cell::new(None),
            over: Cell::new(false),
            waker: Cell::new(None),
        });
        let key = self.next.get();
        self.next.set(key + 1);
        self.entries.borrow_mut().insert(key, Rc::clone(&entry));
        Listed {
            registry: Rc::clone(self),
            key,
            entry,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Ends the waits that are over.
    pub(super) fn tick(&self, now: Instant) {
        for entry in self.entries.borrow().values() {
            if entry.deadline.get().is_some_and(|deadline| deadline <= now) {
                entry.expire();
            }
        }
    }

    /// From now on no connection waits for another request.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        for entry in self.entries.borrow().values() {
            if entry.phase.get() == Phase::Idle {
                entry.expire();
            }
        }
    }

    /// Cuts the connections that are left. Returns how many of them were not answered yet.
    pub(super) fn cut(&self) -> usize {
        let mut count = 0;
        for entry in self.entries.borrow().values() {
            if entry.phase.get() == Phase::Busy {
                count += 1;
            }
            // A worker that reads or writes notices at once.
            let _ = entry.client.get_ref().shutdown(Shutdown::Both);
            entry.expire();
        }
        count
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.registry.entries.borrow_mut().remove(&self.key);
    }
}

impl Entry {
    fn expire(&self) {
        self.deadline.set(None);
        self.over.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Runs `work` for at most `limit`; `None` when that was not enough.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        self.until(Instant::now().checked_add(limit), work).await
    }

    /// Runs `work` until `deadline` at most; `None` when that was not enough.
    pub(super) async fn until<T>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        self.over.set(false);
        self.deadline.set(deadline);
        let expiry = poll_fn(|context| {
            if self.over.get() {
                return Poll::Ready(None);
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        });
        let result = smol::future::or(async { Some(work.await) }, expiry).await;
        self.deadline.set(None);
        result
    }
}

impl Listed {
    /// Whether the server wants no more requests.
    pub(super) fn is_stopping(&self) -> bool {
        self.registry.stopping.get()
    }
}
