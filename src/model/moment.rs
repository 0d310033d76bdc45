//! What is written down about time: moments of the machine's own time, and the mark that outlives the
//! process.

use super::Timestamp;

/// Which boot of the machine: times since the boot can be compared within one only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootId(pub [u8; 16]);

/// A moment of the machine's own time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// In which boot, where that can be told.
    pub boot: Option<BootId>,
    /// Whole seconds since that boot.
    pub seconds: u64,
}

/// Links that ended while nobody watched: all with an end up to `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The last end that may lie in it.
    pub until: Timestamp,
    /// Seconds with a trusted clock since that was seen; after a day, those since a notice was given.
    pub waited: u64,
}

/// What outlives the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClockRow {
    /// The high-water mark: the latest time that was trusted.
    pub mark: Timestamp,
    /// When it was written.
    pub at: Moment,
    /// What waits to be removed, earliest first.
    pub gaps: Vec<Gap>,
}

/// How to put a time right that was given by a clock in doubt.
#[derive(Clone, Copy, Debug)]
pub struct Rebase {
    now: Timestamp,
    at: Moment,
    began: u64,
}

impl Rebase {
    /// It is `now` at the moment `at`, in a process that began so many seconds after the boot.
    pub fn new(now: Timestamp, at: Moment, began: u64) -> Self {
        Self { now, at, began }
    }

    /// What time it was at `moment`. Of an earlier boot nothing is known but that it was before this
    /// one (or, where boots cannot be told apart, before this process): the latest time that it can
    /// have been, so that nothing ends before its time.
    pub fn time_of(&self, moment: &Moment) -> Timestamp {
        let since = if self.at.boot.is_none() || moment.boot.is_none() {
            self.at.seconds.saturating_sub(self.began)
        } else if self.at.boot == moment.boot {
            self.at.seconds.saturating_sub(moment.seconds)
        } else {
            self.at.seconds
        };
        self.now.plus(-i64::try_from(since).unwrap_or(i64::MAX))
    }
}
