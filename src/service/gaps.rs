//! Links that ended while nobody watched, by a step of the clock or between two runs: how long their
//! bytes wait, and how many may go at once. Pure: the time is told.

use crate::model::{Gap, Timestamp};
use std::time::Duration;

/// How long bytes stay after an end that may be a mistake of the clock, as time with a trusted
/// clock: long enough for somebody to notice.
pub(super) const WAIT: Duration = Duration::from_secs(24 * 3600);
/// How long before more than [`SHARE`] of all files go is it told.
pub(super) const NOTICE: Duration = Duration::from_secs(3600);
/// One file in so many may go without notice.
pub(super) const SHARE: u64 = 5;
/// Gaps that are kept apart. Of more, the two latest become one.
const GAPS: usize = 16;

/// What waits, earliest first.
#[derive(Default)]
pub(super) struct Gaps {
    gaps: Vec<Gap>,
    /// Up to when the waiting was counted, in whole seconds since it began.
    counted: Duration,
    notice: Option<Notice>,
    pass: Pass,
}

/// It was told that everything up to `until` goes.
#[derive(Clone, Copy)]
struct Notice {
    until: Timestamp,
    at: Duration,
}

/// What went within one hour.
#[derive(Default)]
struct Pass {
    began: Duration,
    removed: u64,
}

/// Whether links may be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Now.
    Go,
    /// Not yet: this is the notice.
    Tell,
    /// Not yet: the notice is running.
    Wait,
}

impl Gaps {
    /// What the last process left, at `now`.
    pub(super) fn restored(gaps: Vec<Gap>, now: Duration) -> Self {
        Self {
            gaps,
            counted: now,
            ..Self::default()
        }
    }

    /// As it is kept.
    pub(super) fn rows(&self) -> Vec<Gap> {
        self.gaps.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Time has passed, with a clock that is trusted or not.
    pub(super) fn pass_to(&mut self, now: Duration, trusted: bool) {
        let passed = now.saturating_sub(self.counted).as_secs();
        self.counted += Duration::from_secs(passed);
        if trusted {
            for gap in &mut self.gaps {
                gap.waited = gap.waited.saturating_add(passed);
            }
        }
    }

    /// Ends up to here lie in a gap.
    pub(super) fn covered(&self) -> Timestamp {
        self.gaps.last().map_or(Timestamp::MIN, |gap| gap.until)
    }

    /// Links with ends up to `until`, which is later than [`Gaps::covered`], were seen.
    pub(super) fn open(&mut self, until: Timestamp) {
        if self.gaps.len() >= GAPS {
            self.gaps.pop();
        }
        self.gaps.push(Gap { until, waited: 0 });
    }

    /// The clock shows no more than `until`: later ends have not come yet, and are to be seen, and to
    /// wait, once they have.
    pub(super) fn cut(&mut self, until: Timestamp) {
        for gap in &mut self.gaps {
            gap.until = gap.until.min(until);
        }
        // Of those that end together now, the first has waited longest.
        self.gaps.dedup_by_key(|gap| gap.until);
    }

    /// Ends up to here have waited long enough.
    pub(super) fn ripe(&self) -> Option<Timestamp> {
        let ripe = |gap: &&Gap| gap.waited >= WAIT.as_secs();
        self.gaps.iter().rev().find(ripe).map(|gap| gap.until)
    }

    /// Nothing is left up to `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        self.gaps.retain(|gap| gap.until > until);
        self.notice = None;
    }

    /// The clock takes another course: what was told before does not count.
    pub(super) fn forget_notice(&mut self) {
        self.notice = None;
    }

    /// How many of `files` may be due before a notice is needed.
    pub(super) fn room(&mut self, files: u64, now: Duration) -> u64 {
        if now.saturating_sub(self.pass.began) >= NOTICE {
            self.pass = Pass {
                began: now,
                removed: 0,
            };
        }
        let all = files.saturating_add(self.pass.removed);
        (all / SHARE).saturating_sub(self.pass.removed)
    }

    /// Whether `due` links with ends up to `until` may go, with `room` for them.
    pub(super) fn judge(
        &mut self,
        due: u64,
        room: u64,
        until: Timestamp,
        now: Duration,
    ) -> Verdict {
        if due <= room {
            return Verdict::Go;
        }
        match self.notice {
            Some(notice) if until <= notice.until => {
                if now.saturating_sub(notice.at) >= NOTICE {
                    Verdict::Go
                } else {
                    Verdict::Wait
                }
            }
            _ => {
                self.notice = Some(Notice { until, at: now });
                Verdict::Tell
            }
        }
    }

    /// So many went.
    pub(super) fn removed(&mut self, count: u64) {
        self.pass.removed = self.pass.removed.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_time_with_a_trusted_clock_counts_and_no_second_is_lost() {
        let mut gaps = Gaps::restored(Vec::new(), at(100));
        gaps.open(Timestamp(5));
        for half in 1..=10 {
            gaps.pass_to(at(100) + Duration::from_millis(half * 500), true);
        }
        assert_eq!(gaps.rows()[0].waited, 5);
        gaps.pass_to(at(100 + DAY), false);
        assert_eq!((gaps.rows()[0].waited, gaps.ripe()), (5, None));
        gaps.pass_to(at(100 + 2 * DAY - 6), true);
        assert_eq!(gaps.ripe(), None);
        gaps.pass_to(at(100 + 2 * DAY - 5), true);
        assert_eq!(gaps.ripe(), Some(Timestamp(5)));
    }

    #[test]
    fn gaps_ripen_apart_and_any_number_of_them_takes_little_room() {
        let mut gaps = Gaps::default();
        for n in 0..100 {
            gaps.open(Timestamp(n));
            gaps.pass_to(at(60 * (n as u64 + 1)), true);
        }
        assert_eq!(gaps.rows().len(), GAPS);
        assert_eq!(gaps.covered(), Timestamp(99));
        // The first ones ripen although new ones keep coming.
        gaps.pass_to(at(DAY), true);
        assert_eq!(gaps.ripe(), Some(Timestamp(0)));
        gaps.close(Timestamp(0));
        assert_eq!(gaps.rows().len(), GAPS - 1);
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_gap_over_what_is_to_come() {
        let mut gaps = Gaps::default();
        for (n, until) in [5, 700, 800].into_iter().enumerate() {
            gaps.open(Timestamp(until));
            gaps.pass_to(at(n as u64 + 1), true);
        }
        gaps.cut(Timestamp(10));
        assert_eq!(gaps.covered(), Timestamp(10));
        let rows: Vec<_> = gaps.rows().iter().map(|g| (g.until.0, g.waited)).collect();
        assert_eq!(rows, [(5, 3), (10, 2)]);
        gaps.cut(Timestamp(20));
        assert_eq!(gaps.covered(), Timestamp(10), "and none grows");
    }

    #[test]
    fn more_than_a_fifth_goes_after_an_hour_of_notice() {
        let mut gaps = Gaps::default();
        let until = Timestamp(7);
        let room = gaps.room(100, at(0));
        assert_eq!(room, 20);
        assert_eq!(gaps.judge(20, room, until, at(0)), Verdict::Go);
        gaps.removed(20);
        // All within an hour is one pass.
        let room = gaps.room(80, at(3599));
        assert_eq!(room, 0);
        assert_eq!(gaps.judge(1, room, until, at(3599)), Verdict::Tell);
        assert_eq!(gaps.judge(1, room, until, at(3600)), Verdict::Wait);
        // Another end was not in the notice.
        assert_eq!(gaps.judge(90, 0, Timestamp(8), at(3700)), Verdict::Tell);
        assert_eq!(gaps.judge(90, 0, until, at(7299)), Verdict::Wait);
        assert_eq!(gaps.judge(90, 0, until, at(7300)), Verdict::Go);
        assert_eq!(gaps.room(80, at(7300)), 16, "another hour");
        gaps.forget_notice();
        assert_eq!(gaps.judge(90, 16, until, at(7301)), Verdict::Tell);
    }

    #[test]
    fn a_single_file_is_more_than_a_fifth_of_one() {
        let mut gaps = Gaps::default();
        let room = gaps.room(1, at(0));
        assert_eq!(gaps.judge(1, room, Timestamp(1), at(0)), Verdict::Tell);
    }
}
