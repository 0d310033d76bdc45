//! Links that ended while nobody watched, by a step of the clock or between two runs: how long their
//! bytes wait, and how many may go at once. Pure: the time is told.

use crate::model::{Gap, Timestamp};
use std::time::Duration;

/// How long bytes stay after an end that may be a mistake of the clock, as time with a trusted
/// clock: long enough for somebody to notice.
pub(super) const WAIT: Duration = Duration::from_secs(24 * 3600);
/// How long before more than [`SHARE`] of all files go is it told, as time with a trusted clock.
pub(super) const NOTICE: Duration = Duration::from_secs(3600);
/// One file in so many may go without notice.
pub(super) const SHARE: u64 = 5;
/// The most of a notice that counts between two looks, in seconds: if more has passed, the machine
/// slept, and nobody could read it.
const LOOK: u64 = 60;
/// After so long any number may go.
const ENOUGH: Duration = WAIT.saturating_add(NOTICE);
/// Gaps that are kept apart. Of more, the two latest become one.
const GAPS: usize = 16;

/// What waits, earliest first.
#[derive(Default)]
pub(super) struct Gaps {
    gaps: Vec<Gap>,
    /// Up to when the waiting was counted, in whole seconds since it began.
    counted: Duration,
    /// It was told that everything up to here goes, by this process. How long ago, over all
    /// processes that told it, is what a gap has waited beyond [`WAIT`].
    told: Option<Timestamp>,
    pass: Pass,
}

/// What went within one hour.
#[derive(Default)]
struct Pass {
    began: Duration,
    removed: u64,
}

/// Which links may be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// Those with ends up to here.
    pub(super) go: Option<Timestamp>,
    /// Not the others yet: their notice is to be given, and so long it runs.
    pub(super) tell: Option<Duration>,
}

impl Gaps {
    /// What the last process left, at `now`.
    pub(super) fn restored(mut gaps: Vec<Gap>, now: Duration) -> Self {
        for gap in &mut gaps {
            // By a version that went on counting, whether or not it had told anybody.
            if gap.waited > ENOUGH.as_secs() {
                gap.waited = WAIT.as_secs();
            }
        }
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
        if !trusted {
            return;
        }
        for gap in &mut self.gaps {
            let (passed, most) = if gap.waited < WAIT.as_secs() {
                (passed, WAIT)
            } else if self.told >= Some(gap.until) {
                (passed.min(LOOK), ENOUGH)
            } else {
                continue;
            };
            gap.waited = gap.waited.saturating_add(passed).min(most.as_secs());
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
        self.told = self.told.map(|told| told.min(until));
    }

    /// Ends up to here have waited long enough, for a few of them.
    pub(super) fn ripe(&self) -> Option<Timestamp> {
        self.waited(WAIT)
    }

    /// Ends up to here have waited long enough, for any number of them.
    fn noticed(&self) -> Option<Timestamp> {
        self.waited(ENOUGH)
    }

    fn waited(&self, long: Duration) -> Option<Timestamp> {
        let long_enough = |gap: &&Gap| gap.waited >= long.as_secs();
        self.gaps
            .iter()
            .rev()
            .find(long_enough)
            .map(|gap| gap.until)
    }

    /// Whether a notice is running.
    pub(super) fn is_noticing(&self) -> bool {
        self.told.is_some()
    }

    /// The ends of all gaps that are ripe, earliest first.
    pub(super) fn ripe_ends(&self) -> Vec<Timestamp> {
        let ripe = self.ripe();
        let ends = self.gaps.iter().map(|gap| gap.until);
        ends.filter(|until| Some(*until) <= ripe).collect()
    }

    /// Nothing is left up to `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        self.gaps.retain(|gap| gap.until > until);
        self.told = self.told.filter(|told| *told > until);
    }

    /// The clock takes another course: what was told before does not count. Says whether there was
    /// anything.
    pub(super) fn forget_notice(&mut self) -> bool {
        let mut any = self.told.take().is_some();
        for gap in &mut self.gaps {
            any |= gap.waited > WAIT.as_secs();
            gap.waited = gap.waited.min(WAIT.as_secs());
        }
        any
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

    /// Which of the `due` links with ends up to `ripe` may go, with `room` for so many.
    pub(super) fn judge(&mut self, due: u64, room: u64, ripe: Timestamp) -> Verdict {
        let mut verdict = Verdict {
            go: Some(ripe),
            tell: None,
        };
        if due <= room {
            return verdict;
        }
        verdict.go = self.noticed();
        if verdict.go < Some(ripe) && self.told < Some(ripe) {
            self.told = Some(ripe);
            let last = self.gaps.iter().rfind(|gap| gap.until <= ripe);
            let waited = Duration::from_secs(last.map_or(0, |gap| gap.waited));
            verdict.tell = Some(ENOUGH.saturating_sub(waited));
        }
        verdict
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

    /// A gap up to 7 that is ripe, and another up to 8 that is not.
    fn ripe() -> Gaps {
        let mut gaps = Gaps::default();
        gaps.open(Timestamp(7));
        // However long that is: nobody was told anything yet.
        gaps.pass_to(at(9 * DAY), true);
        gaps.open(Timestamp(8));
        gaps
    }

    /// Time passes for this process, in looks.
    fn run(gaps: &mut Gaps, seconds: u64) {
        let end = gaps.counted + at(seconds);
        while gaps.counted < end {
            gaps.pass_to(end.min(gaps.counted + at(LOOK)), true);
        }
    }

    fn told(go: Option<i64>, tell: u64) -> Verdict {
        Verdict {
            go: go.map(Timestamp),
            tell: (tell > 0).then_some(at(tell)),
        }
    }

    #[test]
    fn more_than_a_fifth_goes_after_an_hour_of_notice() {
        let mut gaps = ripe();
        let room = gaps.room(100, at(0));
        assert_eq!(room, 20);
        assert_eq!(gaps.judge(20, room, Timestamp(7)), told(Some(7), 0));
        gaps.removed(20);
        // All within an hour is one pass.
        let room = gaps.room(80, at(3599));
        assert_eq!(room, 0);
        assert!(!gaps.is_noticing());
        assert_eq!(gaps.judge(1, room, Timestamp(7)), told(None, 3600));
        assert!(gaps.is_noticing());
        assert_eq!(gaps.judge(1, room, Timestamp(7)), told(None, 0));
        run(&mut gaps, 3599);
        assert_eq!(gaps.judge(90, 0, Timestamp(7)), told(None, 0));
        run(&mut gaps, 1);
        assert_eq!(gaps.judge(90, 0, Timestamp(7)), told(Some(7), 0));
        assert_eq!(gaps.room(80, at(3600)), 16, "another hour");
        assert!(gaps.forget_notice());
        assert_eq!(gaps.judge(90, 16, Timestamp(7)), told(None, 3600));
        gaps.close(Timestamp(7));
        assert!(!gaps.is_noticing() && !gaps.forget_notice());
    }

    #[test]
    fn a_notice_adds_up_over_processes_from_when_each_has_told_it() {
        let mut gaps = ripe();
        for (tell, seconds) in [(3600, 1800), (1800, 1740), (60, 60)] {
            assert_eq!(gaps.judge(9, 0, Timestamp(7)), told(None, tell));
            run(&mut gaps, seconds);
            gaps = Gaps::restored(gaps.rows(), at(5));
            run(&mut gaps, 7000);
        }
        assert_eq!(gaps.judge(9, 0, Timestamp(7)), told(Some(7), 0));
    }

    #[test]
    fn a_notice_counts_neither_while_the_machine_sleeps_nor_in_doubt() {
        let mut gaps = ripe();
        gaps.judge(9, 0, Timestamp(7));
        gaps.pass_to(gaps.counted + at(9 * 3600), true);
        assert_eq!(gaps.rows()[0].waited, DAY + LOOK);
        gaps.pass_to(gaps.counted + at(9), false);
        assert_eq!(gaps.rows()[0].waited, DAY + LOOK);
    }

    #[test]
    fn a_gap_that_ripens_meanwhile_has_a_notice_of_its_own_and_holds_up_no_other() {
        let mut gaps = ripe();
        run(&mut gaps, DAY - 1800);
        gaps.judge(9, 0, Timestamp(7));
        run(&mut gaps, 1800);
        assert_eq!(gaps.ripe_ends(), [Timestamp(7), Timestamp(8)]);
        assert_eq!(gaps.judge(9, 0, Timestamp(8)), told(None, 3600));
        run(&mut gaps, 1800);
        assert_eq!(gaps.judge(9, 0, Timestamp(8)), told(Some(7), 0));
        gaps.close(Timestamp(7));
        assert!(gaps.is_noticing());
        run(&mut gaps, 1800);
        assert_eq!(gaps.judge(9, 0, Timestamp(8)), told(Some(8), 0));
    }

    #[test]
    fn what_an_earlier_version_counted_is_no_notice() {
        let old = Gap {
            until: Timestamp(7),
            waited: 40 * 3600,
        };
        let mut gaps = Gaps::restored(vec![old], at(0));
        assert_eq!(gaps.judge(9, 0, Timestamp(7)), told(None, 3600));
    }

    #[test]
    fn a_single_file_is_more_than_a_fifth_of_one() {
        let mut gaps = ripe();
        let room = gaps.room(1, at(0));
        assert_eq!(gaps.judge(1, room, Timestamp(7)), told(None, 3600));
    }
}
