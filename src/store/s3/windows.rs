//! Who may have a request open, and how long its next one is: pure state, with time as a parameter.
//!
//! A range request that is open holds a connection, and there are few of them for any number of
//! readers. What [`Windows`] promises: never more than the given number is held; whoever waits gets
//! a turn in the order of coming; only a request that lies idle is taken from its holder, the one
//! that was used least recently, and only for somebody who waits. What [`Pace`] promises: a reader
//! that reads on gets longer and longer windows, and one that stands still while others wait asks for
//! no more than it needs at once, so that it holds nothing while it stands still.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest window, in bytes.
pub const LONGEST: u64 = 4 << 20;
/// The shortest window that is longer than what is needed at once, in bytes.
pub const SHORTEST: u64 = 256 << 10;
/// How long a request lies idle before it can be lost to somebody who waits. A reader that only
/// writes to a client who takes what comes is back before.
pub const IDLE: Duration = Duration::from_millis(50);
/// How long after somebody had to wait the requests still count as scarce.
const SCARCE: Duration = Duration::from_secs(10);

/// Names a reader.
pub type Reader = u64;

/// What a reader that wants to read finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<T> {
    /// Its own open request, which counts as in use from now on.
    Continue(T),
    /// It may open one.
    Open,
    /// It is in the queue.
    Wait,
}

/// The open requests `T`, and the queue for them.
pub struct Windows<T> {
    most: usize,
    held: Vec<Held<T>>,
    queue: VecDeque<Reader>,
    /// When somebody last had to wait.
    waited: Option<Duration>,
}

struct Held<T> {
    reader: Reader,
    /// The request and since when it lies there; `None` while its reader uses it.
    idle: Option<(T, Duration)>,
}

impl<T> Windows<T> {
    /// At most `most` requests, at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            held: Vec::new(),
            queue: VecDeque::new(),
            waited: None,
        }
    }

    /// `reader` wants to read. It must not be in use of a request or in the queue already.
    pub fn enter(&mut self, reader: Reader, now: Duration) -> Turn<T> {
        if let Some(held) = self.held.iter_mut().find(|held| held.reader == reader) {
            return match held.idle.take() {
                Some((window, _)) => Turn::Continue(window),
                None => Turn::Open,
            };
        }
        if self.held.len() < self.most && self.queue.is_empty() {
            self.hold(reader);
            return Turn::Open;
        }
        self.queue.push_back(reader);
        self.waited = Some(now);
        Turn::Wait
    }

    /// `reader` reads no more for now, and keeps its request.
    pub fn rest(&mut self, reader: Reader, window: T, now: Duration) {
        if let Some(held) = self.held.iter_mut().find(|held| held.reader == reader) {
            held.idle = Some((window, now));
        }
    }

    /// Takes the request of `reader` out, if it lies idle, to be closed before [`Windows::leave`].
    pub fn close(&mut self, reader: Reader) -> Option<T> {
        let held = self.held.iter_mut().find(|held| held.reader == reader)?;
        held.idle.take().map(|(window, _)| window)
    }

    /// `reader` gives up its turn, or its place in the queue. Whoever is first in the queue gets the
    /// turn.
    pub fn leave(&mut self, reader: Reader, now: Duration) {
        if let Some(at) = self.held.iter().position(|held| held.reader == reader) {
            self.held.swap_remove(at);
        } else {
            self.queue.retain(|waiting| *waiting != reader);
        }
        if self.held.len() < self.most
            && let Some(first) = self.queue.pop_front()
        {
            self.waited = Some(now);
            self.hold(first);
        }
    }

    /// The first in the queue asks for a request that lies idle. Returns it, to be closed before
    /// another is opened: the turn is the first's then.
    pub fn evict(&mut self, now: Duration) -> Option<T> {
        let first = *self.queue.front()?;
        let at = self.least_recent()?;
        if self.idle_since(at)? + IDLE > now {
            return None;
        }
        let (window, _) = self.held[at].idle.take()?;
        self.held.swap_remove(at);
        self.queue.pop_front();
        self.waited = Some(now);
        self.hold(first);
        Some(window)
    }

    /// When [`Windows::evict`] will answer, if nothing else happens before.
    pub fn evicts_at(&self) -> Option<Duration> {
        let at = self.least_recent()?;
        self.idle_since(at).map(|since| since + IDLE)
    }

    /// Who is first in the queue.
    pub fn first(&self) -> Option<Reader> {
        self.queue.front().copied()
    }

    /// Whether it is the turn of `reader`.
    pub fn has_turn(&self, reader: Reader) -> bool {
        self.held.iter().any(|held| held.reader == reader)
    }

    /// The longest window that is fair to those who wait, in bytes.
    pub fn room(&self) -> u64 {
        let most = self.most as u64;
        LONGEST * most / (most + self.queue.len() as u64)
    }

    /// Whether somebody waits, or has waited not long ago.
    pub fn is_scarce(&self, now: Duration) -> bool {
        let recently = |waited| now < waited + SCARCE;
        !self.queue.is_empty() || self.waited.is_some_and(recently)
    }

    fn hold(&mut self, reader: Reader) {
        self.held.push(Held { reader, idle: None });
    }

    fn idle_since(&self, at: usize) -> Option<Duration> {
        self.held[at].idle.as_ref().map(|(_, since)| *since)
    }

    /// Where the request is that lies idle for longest.
    fn least_recent(&self) -> Option<usize> {
        let idle = (0..self.held.len()).filter(|at| self.held[*at].idle.is_some());
        idle.min_by_key(|at| self.idle_since(*at))
    }
}

/// How fast one reader reads, and so how long its windows are.
#[derive(Default)]
pub struct Pace {
    /// Of the next window, in bytes; 0: what is needed at once.
    length: u64,
    /// Spent with the store since the last window was read through.
    inside: Duration,
    /// Spent elsewhere, which is with the client.
    outside: Duration,
}

impl Pace {
    /// How long a window to open for a reader that needs `needed` bytes at once, when `room` is
    /// fair. Of a reader that reads on it is never shorter than [`SHORTEST`]: with a round trip for
    /// each read, a crowd would get less in all, and so never grow smaller.
    pub fn length(&self, needed: u64, room: u64) -> u64 {
        let length = self.length.min(room.max(SHORTEST));
        if length < SHORTEST {
            needed.min(LONGEST)
        } else {
            length.max(needed).min(LONGEST)
        }
    }

    /// Time was spent with the store.
    pub fn inside(&mut self, time: Duration) {
        self.inside = self.inside.saturating_add(time);
    }

    /// Time was spent elsewhere.
    pub fn outside(&mut self, time: Duration) {
        self.outside = self.outside.saturating_add(time);
    }

    /// A window was read through.
    pub fn read_through(&mut self, scarce: bool) {
        let slow = self.outside > self.inside.saturating_mul(2);
        self.length = if slow && scarce {
            0
        } else {
            (self.length * 2).clamp(SHORTEST, LONGEST)
        };
        self.inside = Duration::ZERO;
        self.outside = Duration::ZERO;
    }

    /// A window was lost or given up in the middle. Where the time went meanwhile still counts: one
    /// that lost it by standing still is not to get a long one again for its next read.
    pub fn interrupted(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests;
