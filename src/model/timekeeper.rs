//! A clock that knows whether it can be believed.
//!
//! What it promises: the time that it shows never goes back behind a time that was trusted, never
//! runs slower than the machine does while it is in doubt, and changes its course only in
//! [`Timekeeper::turn`]. Between two looks at the wall clock, time is what has passed since
//! the boot of the machine: that cannot be set. The rules and their reasons are in
//! `docs/decisions/0008-time.md`.

mod course;

use super::{BootId, Clock, ClockRow, Moment, Rebase, Timestamp};
use course::{Course, STEP, judge, offset, read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// No wall clock was before this when this version was made: 2026-11-01T00:00:00Z. A constant, so
/// that equal sources give equal programs; it is raised with each release.
pub const MADE: Timestamp = Timestamp(1_793_491_200);

/// Why the clock is not trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// It shows a time before this program was made.
    BeforeMade,
    /// It is more than a year ahead of the mark.
    Ahead,
    /// It is more than an hour behind the mark.
    Behind,
}

/// The file by which the operator says that the clock is right, in the data directory.
pub const VOUCHER: &str = "clock-is-right";

/// What else is known about the clock.
pub trait Evidence: Send + Sync {
    /// Which boot this is.
    fn boot(&self) -> Option<BootId>;
    /// Whether somebody who knows says that a clock that shows `wall` now is right.
    fn is_synchronised(&self, wall: Timestamp) -> bool;
    /// Whether the operator has said so since this was asked last.
    fn is_vouched(&self) -> bool;
}

/// A clock that is beyond doubt.
struct Unquestioned;

impl Evidence for Unquestioned {
    fn boot(&self) -> Option<BootId> {
        None
    }
    fn is_synchronised(&self, _: Timestamp) -> bool {
        true
    }
    fn is_vouched(&self) -> bool {
        false
    }
}

/// The clock of the service. See the module.
pub struct Timekeeper {
    clock: Arc<dyn Clock>,
    evidence: Box<dyn Evidence>,
    earliest: Timestamp,
    found: Option<ClockRow>,
    boot: Option<BootId>,
    /// Time since the boot when this process began.
    began: Duration,
    /// The operator vouched for the clock at the start.
    vouched_first: bool,
    /// The operator has vouched for the clock, and no turn was taken since.
    vouched: AtomicBool,
    course: Mutex<Course>,
}

/// A new course, not taken yet.
#[derive(Debug)]
pub struct Turn {
    course: Course,
    /// The doubt before.
    pub was: Option<Doubt>,
    /// The doubt from now on.
    pub is: Option<Doubt>,
    /// How far the clock is ahead of the time that was known, in seconds.
    pub ahead: i64,
    /// The operator has said that the clock is right.
    pub vouched: bool,
    /// How times that were given in doubt become right, if that is known now.
    pub rebase: Option<Rebase>,
}

/// Ends by time that are safe to act upon for good: after `after`, up to `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watched {
    /// Since when the clock has been watched without a step. What ended up to here may have ended by
    /// a step.
    pub after: Timestamp,
    /// The time that the wall clock itself shows, no later than the time in use.
    pub until: Timestamp,
}

impl Timekeeper {
    /// Looks at `clock` for the first time. `row` is what the last process left; no time before
    /// `earliest` is believed.
    pub fn new(
        clock: Arc<dyn Clock>,
        evidence: Box<dyn Evidence>,
        earliest: Timestamp,
        row: Option<ClockRow>,
    ) -> Self {
        let boot = evidence.boot();
        let (wall, began) = read(&*clock);
        let vouched_first = evidence.is_vouched();
        let course = if vouched_first {
            Course::vouched(wall, began)
        } else {
            let sure = || evidence.is_synchronised(wall);
            Course::first(row.as_ref(), boot, wall, began, earliest, sure)
        };
        Self {
            clock,
            evidence,
            earliest,
            found: row,
            boot,
            began,
            vouched_first,
            vouched: AtomicBool::new(false),
            course: Mutex::new(course),
        }
    }

    /// Takes `clock` at its word, whatever it shows.
    pub fn unquestioned(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, Box::new(Unquestioned), Timestamp::MIN, None)
    }

    /// What the last process left.
    pub fn found(&self) -> Option<&ClockRow> {
        self.found.as_ref()
    }

    /// Whether the operator vouched for the clock at the start: what was found does not count then.
    pub fn is_vouched_first(&self) -> bool {
        self.vouched_first
    }

    /// Looks at the wall clock. Whether time has to take another course, which it does not do before
    /// [`Timekeeper::turn`]; until then, what the operator said is not forgotten. For one thread.
    pub fn look(&self) -> Option<Turn> {
        if self.evidence.is_vouched() {
            self.vouched.store(true, Ordering::Relaxed);
        }
        let vouched = self.vouched.load(Ordering::Relaxed);
        let (wall, boot) = read(&*self.clock);
        let old = *self.course();
        let step = offset(wall, boot) - old.offset;
        let steady = step.abs() <= STEP && !vouched;
        if steady && old.doubt.is_none() {
            let mut course = self.course();
            course.offset = course.offset.max(offset(wall, boot));
            course.mark_time(boot);
            course.confirm(boot, || self.evidence.is_synchronised(wall));
            return None;
        }
        let known = old.known(boot);
        let sure = vouched || self.evidence.is_synchronised(wall);
        if steady && !sure {
            return None;
        }
        let mut course = if vouched {
            Course::vouched(wall, boot)
        } else {
            old.stepped(wall, boot, judge(wall, known, self.earliest, sure))
        };
        // A doubt that stays is told once.
        let is = course.doubt;
        if is.is_none() && old.doubt.is_some() {
            course.watched_from = course.now(boot);
        }
        Some(Turn {
            rebase: course.is_settled().then(|| self.rebase_at(wall, boot)),
            course,
            was: old.doubt,
            is,
            ahead: wall.since(known),
            vouched,
        })
    }

    /// Takes the new course.
    pub fn turn(&self, turn: &Turn) {
        *self.course() = turn.course;
        if turn.vouched {
            self.vouched.store(false, Ordering::Relaxed);
        }
    }

    /// The time, by the course that was taken last.
    pub fn now(&self) -> Timestamp {
        let boot = self.clock.elapsed();
        self.course().now(boot)
    }

    /// As [`Clock::elapsed`].
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Why the clock is not trusted, if it is not.
    pub fn doubt(&self) -> Option<Doubt> {
        self.course().doubt
    }

    /// By how many seconds the time in use is ahead of a wall clock that is trusted, if that is more
    /// than an hour: an earlier clock was ahead, and time does not go back.
    pub fn lead(&self) -> Option<i64> {
        let boot = self.clock.elapsed();
        let course = self.course();
        let lead = course.now(boot).since(course.shown(boot));
        (course.doubt.is_none() && course.behind).then_some(lead)
    }

    /// What may be acted upon for good. `None` while the clock is in doubt.
    pub fn watched(&self) -> Option<Watched> {
        let boot = self.clock.elapsed();
        let course = self.course();
        course.doubt.is_none().then(|| Watched {
            after: course.watched_from,
            until: course.shown(boot).min(course.now(boot)),
        })
    }

    /// The time, and, when it may have to be put right later, the moment.
    pub fn stamp(&self) -> (Timestamp, Option<Moment>) {
        let boot = self.clock.elapsed();
        let course = self.course();
        let moment = (!course.is_settled()).then(|| self.moment(boot));
        (course.now(boot), moment)
    }

    /// How to put times right that were given in doubt; `None` while that is not known.
    pub fn rebase(&self) -> Option<Rebase> {
        let boot = self.clock.elapsed();
        let course = self.course();
        course
            .is_settled()
            .then(|| self.rebase_at(course.now(boot), boot))
    }

    /// The mark to keep, without gaps. `None` while the clock is in doubt.
    pub fn row(&self) -> Option<ClockRow> {
        let boot = self.clock.elapsed();
        let course = self.course();
        course.doubt.is_none().then(|| ClockRow {
            mark: course.now(boot),
            at: self.moment(boot),
            gaps: Vec::new(),
        })
    }

    fn rebase_at(&self, now: Timestamp, boot: Duration) -> Rebase {
        Rebase::new(now, self.moment(boot), self.began.as_secs())
    }

    fn moment(&self, boot: Duration) -> Moment {
        Moment {
            boot: self.boot,
            seconds: boot.as_secs(),
        }
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Timekeeper {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn elapsed(&self) -> Duration {
        Self::elapsed(self)
    }
}

#[cfg(test)]
mod tests;
