//! How many lines of one kind a minute may bring, so that nobody fills the SD card by failing.
//! Pure: the time is told.

use std::time::Duration;

/// Lines of one kind in one minute. What comes after is counted.
pub(super) const LINES: u32 = 60;
/// The minute, from the first line on.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Kinds that are told apart. All of them stand in the program, so there are fewer.
const KINDS: usize = 64;

/// The lines of this minute, by kind.
#[derive(Default)]
pub(super) struct Throttle(Vec<Window>);

struct Window {
    kind: String,
    since: Duration,
    lines: u32,
    suppressed: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is written.
    Write,
    /// It is the first of its kind that is counted instead.
    SuppressFirst,
    /// It is counted.
    Suppress,
}

impl Throttle {
    /// Decides about one line of that kind.
    pub(super) fn judge(&mut self, kind: &str, now: Duration) -> Verdict {
        let window = self.window(kind, now);
        if now >= window.since + WINDOW && window.suppressed == 0 {
            window.since = now;
            window.lines = 0;
        }
        if window.lines < LINES {
            window.lines += 1;
            return Verdict::Write;
        }
        window.suppressed += 1;
        if window.suppressed == 1 {
            Verdict::SuppressFirst
        } else {
            Verdict::Suppress
        }
    }

    fn window(&mut self, kind: &str, now: Duration) -> &mut Window {
        let found = self.0.iter().position(|w| w.kind == kind);
        let at = found.unwrap_or_else(|| {
            if self.0.len() == KINDS {
                self.0
                    .retain(|w| w.suppressed > 0 || now < w.since + WINDOW);
            }
            if self.0.len() < KINDS {
                self.0.push(Window {
                    kind: kind.to_owned(),
                    since: now,
                    lines: 0,
                    suppressed: 0,
                });
            }
            // With a full table, the last of them stands for all others.
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// The kinds whose minute is over, and how many of their lines were suppressed; with `all`, the
    /// others as well. They begin anew.
    pub(super) fn over(&mut self, now: Duration, all: bool) -> Vec<(String, u64)> {
        let mut over = Vec::new();
        for window in &mut self.0 {
            if window.suppressed > 0 && (all || now >= window.since + WINDOW) {
                over.push((window.kind.clone(), window.suppressed));
                window.since = now;
                window.lines = 0;
                window.suppressed = 0;
            }
        }
        over
    }

    /// When the next of them is over.
    pub(super) fn next(&self) -> Option<Duration> {
        let suppressing = self.0.iter().filter(|w| w.suppressed > 0);
        suppressing.map(|w| w.since + WINDOW).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_flood_brings_so_many_lines_a_minute_and_then_its_number() {
        let mut throttle = Throttle::default();
        let mut written = 0;
        for n in 0..100_000 {
            written += u32::from(throttle.judge("limit", at(n / 1000)) == Verdict::Write);
            let over = throttle.over(at(n / 1000), false);
            for (kind, suppressed) in over {
                assert_eq!(kind, "limit");
                assert_eq!(suppressed, 60_001 - u64::from(LINES));
            }
        }
        assert_eq!(written, 2 * LINES);
        assert_eq!(throttle.next(), Some(at(120)));
        assert_eq!(throttle.over(at(119), false), []);
        let left = 40_000 - u64::from(LINES) - 1;
        assert_eq!(throttle.over(at(120), false), [("limit".to_owned(), left)]);
        assert_eq!(
            (throttle.next(), throttle.over(at(999), true)),
            (None, vec![])
        );
    }

    #[test]
    fn one_kind_does_not_hide_another_and_a_quiet_one_is_never_held_back() {
        let mut throttle = Throttle::default();
        for _ in 0..500 {
            throttle.judge("loud", at(1));
        }
        assert_eq!(throttle.judge("quiet", at(2)), Verdict::Write);
        for minute in 1..100 {
            for _ in 0..LINES {
                assert_eq!(throttle.judge("busy", at(minute * 60)), Verdict::Write);
            }
        }
        assert_eq!(throttle.over(at(0), true), [("loud".to_owned(), 440)]);
    }

    #[test]
    fn the_first_that_is_held_back_is_pointed_out() {
        let mut throttle = Throttle::default();
        let verdicts: Vec<_> = (0..LINES + 3).map(|_| throttle.judge("x", at(0))).collect();
        let last = &verdicts[LINES as usize - 1..];
        let expected = [
            Verdict::Write,
            Verdict::SuppressFirst,
            Verdict::Suppress,
            Verdict::Suppress,
        ];
        assert_eq!(last, expected);
    }

    #[test]
    fn the_table_stays_small() {
        let mut throttle = Throttle::default();
        for n in 0..10_000 {
            throttle.judge(&format!("kind {n}"), at(0));
        }
        assert_eq!(throttle.0.len(), KINDS);
        throttle.judge("after a minute", at(60));
        assert!(throttle.0.len() <= 2);
    }
}
