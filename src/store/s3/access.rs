//! One reader's way to the server: its turns, and how long it goes on trying.

use super::answer::Answer;
use super::client::Client;
use super::error::{Kind, S3Error};
use super::fetchers::{Fetchers, Kept};
use super::request::Request;
use super::stopping::{Stopping, stopping};
use super::turns::Seat;
use super::window::{Conditions, Object, Window};
use crate::model::progress;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Attempts to open an object, and to read on, before a reader gives up.
const ATTEMPTS: u32 = 4;
/// How long reading fails before a reader gives up that has begun: a server that is restarted breaks
/// no download.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Longest pause between two looks whether the server is back, and the reader still there.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses grow up to the one after so many attempts: some seconds.
const LONGEST_PAUSE: u32 = 5;
/// Bytes after which a failure counts as a new one.
const STRIDE: usize = 16 << 10;

/// One reader's way to the server.
pub(super) struct Access {
    pub(super) client: Client,
    pub(super) fetchers: Arc<Fetchers>,
    pub(super) seat: Seat<Kept<Window>>,
    pub(super) stopping: Arc<Stopping>,
    pub(super) patience: Duration,
}

/// How reading fails just now.
#[derive(Default)]
pub(super) struct Failing {
    attempts: u32,
    /// When that began, and how much had been read.
    since: Option<(Duration, usize)>,
}

/// The turn of small requests.
pub(super) struct Turn<'a> {
    pub(super) client: &'a Client,
    pub(super) seat: &'a Seat<Kept<Window>>,
}

impl Turn<'_> {
    /// As [`Client::call`], but others have the turn between two attempts.
    pub(super) fn call(
        &self,
        request: &Request<'_>,
        body: &[u8],
        limit: usize,
    ) -> Result<Answer, S3Error> {
        self.call_until(request, body, limit, None)
    }

    /// The same, with an end `within` this time.
    pub(super) fn call_within(
        &self,
        request: &Request<'_>,
        limit: usize,
        within: Duration,
    ) -> Result<Answer, S3Error> {
        self.call_until(request, &[], limit, Some(within))
    }

    fn call_until(
        &self,
        request: &Request<'_>,
        body: &[u8],
        limit: usize,
        within: Option<Duration>,
    ) -> Result<Answer, S3Error> {
        let rest = |time| {
            self.seat.leave();
            self.client.rest(time);
            self.seat.take().map(drop).map_err(no_turn)
        };
        self.client.call_resting(request, body, limit, within, rest)
    }
}

impl Access {
    pub(super) fn elapsed(&self) -> Duration {
        self.client.clock().elapsed()
    }

    /// Gets the first bytes of an object.
    pub(super) fn open(&self, key: &str, conditions: &Arc<Conditions>) -> Result<Object, S3Error> {
        let mut failed = 0;
        loop {
            self.seat.take().map_err(no_turn)?;
            let (client, key) = (self.client.clone(), key.to_owned());
            let conditions = Arc::clone(conditions);
            let opened = self
                .fetchers
                .run(move || Object::open(&client, key, conditions));
            self.seat.leave();
            match opened.unwrap_or_else(|| Err(panicked())) {
                // Nobody has got anything yet: whoever asks is told at once.
                Err(error) if self.client.health().is_away() => return Err(error),
                Err(error) => {
                    failed += 1;
                    self.again(failed, error)?;
                }
                opened => return opened,
            }
        }
    }

    /// Waits before the attempt after `failed` ones, or fails for good.
    fn again(&self, failed: u32, error: S3Error) -> Result<(), S3Error> {
        if failed >= ATTEMPTS || !error.may_pass() {
            return Err(error);
        }
        if !matches!(error.kind(), Kind::Skewed { .. }) {
            self.client.pause(failed, error.retry_after());
        }
        Ok(())
    }

    /// Waits before the next attempt to read on, for as long as that is worth it.
    ///
    /// # Errors
    /// `error`, when it cannot pass or has lasted for too long. Another one when nobody wants to read
    /// any more.
    pub(super) fn read_again(
        &self,
        failing: &mut Failing,
        read: usize,
        error: S3Error,
    ) -> Result<(), S3Error> {
        if !error.may_pass() {
            return Err(error);
        }
        let begun = self.elapsed();
        let since = match failing.since {
            Some((since, before)) if read - before < STRIDE => since,
            _ => {
                failing.since = Some((begun, read));
                begun
            }
        };
        failing.attempts += 1;
        if failing.attempts >= ATTEMPTS && begun - since >= self.patience {
            return Err(error);
        }
        let heals_at_once = failing.attempts == 1 && matches!(error.kind(), Kind::Skewed { .. });
        let attempts = failing.attempts.min(LONGEST_PAUSE);
        let mut left = match heals_at_once {
            true => Duration::ZERO,
            false => Client::pause_after(attempts, error.retry_after()),
        };
        loop {
            if self.stopping.has_come() {
                return Err(stopping());
            }
            if progress::is_unwanted() {
                return Err(S3Error::new(Kind::Refused, "whoever read it has gone"));
            }
            // While the server is away, one of all who wait finds out whether it is back.
            let is_away = self.client.health().refuses().is_some();
            if is_away && self.elapsed() - since >= self.patience {
                return Err(error);
            }
            let pause = match (left.is_zero(), is_away) {
                (true, false) => return Ok(()),
                (true, true) => LOOK,
                (false, _) => left.min(LOOK),
            };
            self.client.rest(pause);
            left = left.saturating_sub(pause);
        }
    }
}

pub(super) fn panicked() -> S3Error {
    S3Error::new(
        Kind::Refused,
        "reading from the bucket failed inside; the log says more",
    )
}

pub(super) fn no_turn(error: io::Error) -> S3Error {
    S3Error::new(Kind::Busy, error.to_string())
}
