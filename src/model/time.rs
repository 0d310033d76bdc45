//! Time as a parameter: nothing but [`SystemClock`] reads a clock.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// Seconds since 1970-01-01T00:00:00Z. Signed, so that arithmetic with clients' numbers is plain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);

    /// This time plus `seconds`, pinned to the ends of the range.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time plus the whole seconds of `time`, pinned to the end of the range.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        self.plus(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }

    /// Seconds from `earlier` to this time, pinned to the ends of the range.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where time comes from. Injected, so that tests turn it by hand.
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;
    /// Wall-clock time, and what has passed of its second.
    fn precisely(&self) -> (Timestamp, Duration) {
        (self.now(), Duration::ZERO)
    }
    /// Time that never jumps, from an arbitrary start that no process outlives: for leases, limits
    /// and sessions. Goes on while the machine sleeps.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine, taken at its word. [`super::Timekeeper`] is what doubts it.
#[derive(Debug, Default)]
pub struct SystemClock(());

impl SystemClock {
    /// The clock.
    pub fn new() -> Self {
        Self(())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.precisely().0
    }

    fn precisely(&self) -> (Timestamp, Duration) {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => {
                let part = Duration::from_nanos(since.subsec_nanos().into());
                (Timestamp(0).after(since), part)
            }
            // Nobody needs the parts of a second before 1970.
            Err(before) => {
                let seconds = i64::try_from(before.duration().as_secs());
                let whole = Timestamp(0).plus(-seconds.unwrap_or(i64::MAX));
                (whole, Duration::ZERO)
            }
        }
    }

    /// Time since the machine was started (`CLOCK_BOOTTIME`, clock_gettime(2)).
    fn elapsed(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        // The kernel gives neither a negative time nor more than a second of nanoseconds.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_time_is_not_passed() {
        assert_eq!(Timestamp(i64::MAX).plus(1), Timestamp(i64::MAX));
        assert_eq!(Timestamp(0).after(Duration::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MAX).since(Timestamp(-1)), i64::MAX);
        assert_eq!(Timestamp(5).since(Timestamp(7)), -2);
    }

    #[test]
    fn elapsed_is_the_time_since_the_boot_of_the_machine() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let elapsed = SystemClock::new().elapsed().as_secs_f64();
        assert!((elapsed - uptime).abs() < 60.0, "{elapsed} {uptime}");
    }
}
