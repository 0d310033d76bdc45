//! The arithmetic of a clock in doubt. Pure: every moment is told.

use super::{Clock, Doubt};
use crate::model::{BootId, ClockRow, Moment, Timestamp};
use std::time::Duration;

/// A clock that is ahead of the mark by more is in doubt: a year.
const AHEAD: i64 = 365 * 24 * 3600;
/// A clock that is behind the mark by more is in doubt: an hour.
const BEHIND: i64 = 3600;
/// A clock that differs by less from the one before has not been set: reading it takes up to two
/// seconds of that (a whole one is cut off, another one may pass meanwhile), a leap second one.
pub(super) const STEP: i128 = 3_000_000_000;
/// A machine that has run for so long has asked the network for the time if it could. Before that, a
/// clock that nobody answers for may still be the one of the last shutdown.
const SETTLED: Duration = Duration::from_secs(15 * 60);
/// Tries to read both clocks at one moment, on a machine that has no time.
const TRIES: usize = 5;

/// How time runs until the next turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// Wall clock minus time since the boot, in nanoseconds.
    pub(super) offset: i128,
    pub(super) mark: Timestamp,
    /// When the mark was the time, as time since the boot.
    pub(super) mark_at: Duration,
    pub(super) doubt: Option<Doubt>,
    /// The clock is trusted, and more than an hour behind the mark: the mark goes on by itself.
    pub(super) behind: bool,
    /// Somebody has set the clock or answers for it, or nobody is going to.
    pub(super) confirmed: bool,
    /// From here on, what ended has ended before our eyes.
    pub(super) watched_from: Timestamp,
}

impl Course {
    pub(super) fn first(
        row: Option<&ClockRow>,
        this: Option<BootId>,
        wall: Timestamp,
        boot: Duration,
        earliest: Timestamp,
        sure: impl Fn() -> bool,
    ) -> Self {
        let (mark, mark_at) = match row {
            // Nothing to be behind or ahead of.
            None => (wall.max(earliest), boot),
            Some(row) => (row.mark, began_at(&row.at, this, boot)),
        };
        let mut course = Self {
            offset: offset(wall, boot),
            mark,
            mark_at,
            doubt: None,
            behind: false,
            confirmed: boot >= SETTLED || sure(),
            watched_from: mark,
        };
        let known = mark.after(boot.saturating_sub(mark_at));
        let same = row.is_some_and(|row| this.is_some() && row.at.boot == this);
        let steady = same && i128::from(wall.since(known)).abs() * 1_000_000_000 <= STEP;
        course.doubt = judge(wall, known, earliest, false).filter(|_| !sure());
        if course.doubt.is_none() {
            course.mark = known.max(wall);
            course.mark_at = boot;
            course.behind = wall < known.plus(-BEHIND);
            if !steady {
                course.watched_from = course.mark;
            }
        }
        course
    }

    /// From a clock that the operator has vouched for: what was before does not count any more.
    pub(super) fn vouched(wall: Timestamp, boot: Duration) -> Self {
        Self {
            offset: offset(wall, boot),
            mark: wall,
            mark_at: boot,
            doubt: None,
            behind: false,
            confirmed: true,
            watched_from: wall,
        }
    }

    /// Looks whether the clock is as right as it is going to be.
    pub(super) fn confirm(&mut self, boot: Duration, sure: impl FnOnce() -> bool) {
        self.confirmed = self.confirmed || boot >= SETTLED || sure();
    }

    /// After a step, or because the doubt is over.
    pub(super) fn stepped(mut self, wall: Timestamp, boot: Duration, doubt: Option<Doubt>) -> Self {
        let known = self.known(boot);
        if self.doubt.is_none() {
            self.mark_time(boot);
        }
        self.offset = offset(wall, boot);
        self.doubt = doubt;
        if doubt.is_none() {
            self.mark = known.max(wall);
            self.mark_at = boot;
            self.behind = wall < known.plus(-BEHIND);
            // Somebody has set it.
            self.confirmed = true;
            // A step back ends nothing.
            if wall > known {
                self.watched_from = self.mark;
            }
        } else {
            self.behind = false;
        }
        self
    }

    /// Whether nothing that is written down now will have to be put right.
    pub(super) fn is_settled(&self) -> bool {
        self.is_sure() && self.confirmed
    }

    /// Whether the time in use is the one of the wall clock.
    pub(super) fn is_sure(&self) -> bool {
        self.doubt.is_none() && !self.behind
    }

    /// What the wall clock shows, unless it was set since the last look.
    pub(super) fn shown(&self, boot: Duration) -> Timestamp {
        let nanoseconds = self.offset.saturating_add(nanoseconds(boot));
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    /// The mark, and the time since it was right.
    fn floor(&self, boot: Duration) -> Timestamp {
        self.mark.after(boot.saturating_sub(self.mark_at))
    }

    pub(super) fn now(&self, boot: Duration) -> Timestamp {
        let floor = if self.is_sure() {
            self.mark
        } else {
            self.floor(boot)
        };
        self.shown(boot).max(floor)
    }

    /// The time that it must be by all that was trusted.
    pub(super) fn known(&self, boot: Duration) -> Timestamp {
        match self.doubt {
            None => self.now(boot),
            Some(_) => self.floor(boot),
        }
    }

    /// Raises the mark to the present. For a trusted clock.
    pub(super) fn mark_time(&mut self, boot: Duration) {
        let now = self.now(boot);
        if self.is_sure() {
            self.mark_at = boot;
        } else {
            // Whole seconds only, so that none is lost by looking often.
            let seconds = u64::try_from(now.since(self.mark)).unwrap_or_default();
            self.mark_at = self.mark_at.saturating_add(Duration::from_secs(seconds));
        }
        self.mark = now;
    }
}

/// When the mark of an earlier process was right, in the time of this boot. Where it is not known
/// which boot that was, nothing has passed since; if it was another one, then at least this one.
fn began_at(at: &Moment, this: Option<BootId>, boot: Duration) -> Duration {
    match (at.boot, this) {
        (Some(then), Some(now)) if then == now => Duration::from_secs(at.seconds).min(boot),
        (Some(_), Some(_)) => Duration::ZERO,
        _ => boot,
    }
}

pub(super) fn judge(
    wall: Timestamp,
    known: Timestamp,
    earliest: Timestamp,
    sure: bool,
) -> Option<Doubt> {
    if sure {
        None
    } else if wall < earliest {
        Some(Doubt::BeforeMade)
    } else if wall > known.plus(AHEAD) {
        Some(Doubt::Ahead)
    } else if wall < known.plus(-BEHIND) {
        Some(Doubt::Behind)
    } else {
        None
    }
}

/// Both clocks at one moment, as far as the machine lets us: the one at which the second of the wall
/// clock began, so that no part of it is lost.
pub(super) fn read(clock: &dyn Clock) -> (Timestamp, Duration) {
    let mut before = clock.elapsed();
    let mut wall = clock.precisely();
    for _ in 1..TRIES {
        let after = clock.elapsed();
        if after.saturating_sub(before) < Duration::from_secs(1) {
            break;
        }
        before = after;
        wall = clock.precisely();
    }
    let (second, part) = wall;
    (second, before.saturating_sub(part))
}

pub(super) fn offset(wall: Timestamp, boot: Duration) -> i128 {
    i128::from(wall.0) * 1_000_000_000 - nanoseconds(boot)
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}
