//! How often and how long a request of an upload is tried, and the waits between: for one that failed,
//! and for a server that is away.

use super::error::{Kind, S3Error};
use crate::model::Clock;
use crate::pipeline::seal::keys::random;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest pause between two tries, unless the server asks for more; and what it may ask for.
const LONGEST: Duration = Duration::from_secs(10);
const ASKED: Duration = Duration::from_secs(60);
/// How long what the server answers with a failure is tried again, while nothing else goes well either:
/// since the uploader sent its last byte, and before it has.
const AWAITED: Duration = Duration::from_secs(45);
const UNDER_WAY: Duration = Duration::from_secs(90);
/// The same for what it does not answer, since that happened first; but each try takes long by itself.
const SILENT: Duration = Duration::from_secs(180);
const SILENT_TRIES: u32 = 3;

/// How often a request of an upload is tried, and how long the pauses are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retries {
    /// Tries in all, if the time for them does not end before.
    pub tries: u32,
    /// The longest pause before the second; three times that before the third, and so on. The
    /// shortest is half of it.
    pub first: Duration,
    /// Longest wait for a server that is away: other parts of the upload may be stored already.
    pub away: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 12,
            first: Duration::from_secs(1),
            away: Duration::from_secs(90),
        }
    }
}

impl Retries {
    /// The pause after `tries` that failed.
    fn pause(&self, tries: u32, asked: Option<Duration>) -> Duration {
        let most = self.first.saturating_mul(3u32.saturating_pow(tries - 1));
        let most = most.min(LONGEST);
        let pause = most / 2 + share(most / 2);
        pause.max(asked.unwrap_or_default().min(ASKED))
    }
}

/// A random part of a time.
fn share(of: Duration) -> Duration {
    of * (u32::from_le_bytes(random()) % 1024) / 1024
}

/// What a request is to ask now and then while it lasts.
pub(super) trait Wish {
    /// Whether nobody wants the result any more.
    fn is_over(&self) -> bool;
    /// Since when an uploader waits who has sent everything, by the clock of the client.
    fn awaited(&self) -> Option<Duration>;
    /// Waits that long, or until nobody wants the result any more.
    fn pause(&self, time: Duration);
}

/// Whether the same request may go well later, and whether this one may have gone well after all.
pub(super) fn passes(error: &S3Error) -> bool {
    // A conflict with an earlier try of the same request, which the server has not given up yet.
    error.may_pass() || error.status() == Some(409)
}

/// When to come back, if a request was not sent, because the server is away.
pub(super) fn unsent(error: &S3Error) -> Option<Duration> {
    // Of what was sent and not answered no server says when to come back.
    match error.kind() {
        Kind::Unreachable if error.status().is_none() => error.retry_after(),
        _ => None,
    }
}

/// Since when all requests have failed that the server answered, by the clock of the client.
#[derive(Default)]
pub(super) struct Streak(Mutex<Option<Duration>>);

impl Streak {
    fn goes_on(&self, now: Duration) -> Duration {
        // A value that is changed in one step is never half changed.
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(now)
    }

    fn ends(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The tries of one request.
pub(super) struct Course<'a> {
    retries: Retries,
    clock: &'a dyn Clock,
    streak: &'a Streak,
    wish: &'a dyn Wish,
    begun: Duration,
    /// That failed, and since when.
    tries: u32,
    failing: Option<Duration>,
    /// For a server that is away.
    waited: Duration,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        retries: Retries,
        clock: &'a dyn Clock,
        streak: &'a Streak,
        wish: &'a dyn Wish,
    ) -> Self {
        Self {
            retries,
            clock,
            streak,
            wish,
            begun: clock.elapsed(),
            tries: 0,
            failing: None,
            waited: Duration::ZERO,
        }
    }

    /// How long it has lasted.
    pub(super) fn lasts(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.begun)
    }

    /// The request has gone well.
    pub(super) fn succeeds(&self) {
        self.streak.ends();
    }

    /// Whether to try again after this failure; the pause before it is over then.
    pub(super) fn goes_on(&mut self, error: &S3Error) -> bool {
        if self.wish.is_over() {
            return false;
        }
        if let Some(due) = unsent(error) {
            // No try that failed. Other requests may find the server back; those who wait do not come all at once.
            if self.waited >= self.retries.away {
                return false;
            }
            let look = self.retries.first;
            let pause = due.min(look) + share(look);
            self.waited += pause;
            self.wish.pause(pause);
            return true;
        }
        self.tries += 1;
        if self.tries >= self.retries.tries || !passes(error) {
            return false;
        }
        // The next request counts the difference of the clocks in.
        if matches!(error.kind(), Kind::Skewed { .. }) {
            return true;
        }
        let pause = self.retries.pause(self.tries, error.retry_after());
        let now = self.clock.elapsed();
        let end = if error.status().is_none() {
            *self.failing.get_or_insert(now) + SILENT
        } else {
            // Who has sent a part for minutes must not have done so in vain because of one answer.
            let streak = self.streak.goes_on(now);
            match self.wish.awaited() {
                Some(since) => since.max(streak) + AWAITED,
                None => self.begun.max(streak) + UNDER_WAY,
            }
        };
        let first = error.status().is_none() && self.tries < SILENT_TRIES;
        if now + pause > end && !first {
            return false;
        }
        self.wish.pause(pause);
        true
    }

    /// Runs `attempt` until it goes well, fails for good, or has failed for long enough.
    pub(super) fn run<T>(
        mut self,
        mut attempt: impl FnMut() -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        loop {
            match attempt() {
                Ok(done) => {
                    self.succeeds();
                    return Ok(done);
                }
                Err(error) if self.goes_on(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::s3::tests::stage::Hand;
    use std::cell::Cell;
    use std::sync::atomic::Ordering;

    /// Somebody who waits since then; every pause turns the clock.
    struct Waits<'a> {
        clock: &'a Hand,
        since: Option<Duration>,
        pauses: Cell<u32>,
    }

    impl Wish for Waits<'_> {
        fn is_over(&self) -> bool {
            false
        }

        fn awaited(&self) -> Option<Duration> {
            self.since
        }

        fn pause(&self, time: Duration) {
            // By whole seconds, or it would stand still.
            let seconds = time.as_secs() + 1;
            self.clock.passed.fetch_add(seconds, Ordering::SeqCst);
            self.pauses.set(self.pauses.get() + 1);
        }
    }

    /// How long a request that fails so for ever lasts, and how often it is tried.
    fn lasts(since: Option<Duration>, error: impl Fn() -> S3Error) -> (u64, u32) {
        let clock = Hand::default();
        let wish = Waits {
            clock: &clock,
            since,
            pauses: Cell::new(0),
        };
        let streak = Streak::default();
        let course = Course::new(Retries::default(), &clock, &streak, &wish);
        course.run(|| Err::<(), _>(error())).unwrap_err();
        (clock.elapsed().as_secs(), wish.pauses.get() + 1)
    }

    #[test]
    fn a_server_that_never_recovers_is_asked_for_a_time_that_is_bounded_by_who_waits() {
        let busy = |after| {
            move || {
                S3Error::new(Kind::Busy, "busy")
                    .answered(503, "SlowDown")
                    .with_retry_after(after)
            }
        };
        let second = Duration::from_secs(1);
        for after in [None, Some(second), Some(20 * second)] {
            let (lasted, tries) = lasts(Some(Duration::ZERO), busy(after));
            assert!(
                (20..=47).contains(&lasted) && tries >= 3,
                "{after:?}: {lasted} s, {tries} tries"
            );
            let (lasted, tries) = lasts(None, busy(after));
            assert!(
                (60..=92).contains(&lasted) && tries >= 4,
                "{after:?}: {lasted} s, {tries} tries"
            );
        }
        // Whoever would have to wait for longer is told so at once.
        let hour = Some(3600 * second);
        assert_eq!(lasts(Some(Duration::ZERO), busy(hour)), (0, 1));
    }

    #[test]
    fn a_server_that_is_away_is_waited_for_and_that_counts_as_no_try() {
        let away = || {
            let due = Some(Duration::from_secs(30));
            S3Error::new(Kind::Unreachable, "away").with_retry_after(due)
        };
        let (lasted, tries) = lasts(Some(Duration::ZERO), away);
        assert!(
            (90..=240).contains(&lasted) && tries > 40,
            "{lasted} s, {tries}"
        );
        let lost = || S3Error::new(Kind::Unreachable, "nothing listens");
        let (lasted, tries) = lasts(Some(Duration::ZERO), lost);
        assert!(lasted <= 180 && tries == 12, "{lasted} s, {tries}");
    }

    #[test]
    fn one_failure_after_minutes_of_sending_is_not_the_end_while_others_go_well() {
        let clock = Hand::default();
        let since = Some(Duration::ZERO);
        let wish = Waits {
            clock: &clock,
            since,
            pauses: Cell::new(0),
        };
        let streak = Streak::default();
        for fault in [
            S3Error::new(Kind::Server, "once").answered(500, "InternalError"),
            S3Error::new(Kind::Broken, "cut off"),
        ] {
            let mut faults = vec![fault];
            let course = Course::new(Retries::default(), &clock, &streak, &wish);
            let sent = course.run(|| {
                clock.passed.fetch_add(600, Ordering::SeqCst);
                faults.pop().map_or(Ok(()), Err)
            });
            sent.unwrap();
        }
    }

    #[test]
    fn pauses_grow_with_jitter_and_the_server_may_ask_for_more_but_not_for_ever() {
        let retries = Retries::default();
        let second = Duration::from_secs(1);
        for _ in 0..100 {
            for (tries, most) in [(1, second), (2, second * 3), (3, second * 9), (9, LONGEST)] {
                let pause = retries.pause(tries, None);
                assert!((most / 2..=most).contains(&pause), "{tries}: {pause:?}");
            }
        }
        assert_eq!(retries.pause(1, Some(second * 20)), second * 20);
        assert_eq!(retries.pause(1, Some(second * 86_400)), ASKED);
    }
}
