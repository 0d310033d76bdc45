//! How often and how long a request is tried, and the waits between: for one that failed, and for a
//! server that is away.

use super::error::{Kind, S3Error};
use crate::pipeline::seal::keys::random;
use std::time::Duration;

/// Longest time that a server may ask for before the next try.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for a server that is away, where parts of an upload are stored already.
const AWAY: Duration = Duration::from_secs(120);

/// How often a request with a body is tried, and how long the pauses are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retries {
    /// Tries in all.
    pub tries: u32,
    /// The longest pause before the second; three times that before the third, and so on. The
    /// shortest is half of it.
    pub first: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 4,
            first: Duration::from_secs(1),
        }
    }
}

impl Retries {
    /// The pause after `tries` that failed.
    pub(super) fn pause(&self, tries: u32, asked: Option<Duration>) -> Duration {
        let most = self.first * 3u32.saturating_pow(tries - 1);
        let share = u32::from_le_bytes(random()) % 1024;
        let pause = most / 2 + most / 2 * share / 1024;
        pause.max(asked.unwrap_or_default()).min(PATIENCE)
    }
}

/// What a request is to ask now and then while it lasts.
pub(super) trait Wish {
    /// Whether nobody wants the result any more.
    fn is_over(&self) -> bool;
    /// Waits that long, or until nobody wants the result any more.
    fn pause(&self, time: Duration);
}

/// The waits of one request for a server that is away.
pub(super) struct Away {
    /// Longest pause between two looks: another request may have found the server back.
    look: Duration,
    waited: Duration,
}

impl Away {
    pub(super) fn new(look: Duration) -> Self {
        let waited = Duration::ZERO;
        Self { look, waited }
    }

    /// Waits, if a request was not sent because the server is away, and nobody has waited for too long
    /// yet: such a request is no try that has failed. Whether it waited.
    pub(super) fn waits(&mut self, error: &S3Error, wish: &dyn Wish) -> bool {
        // Of what was sent and not answered no server says when to come back.
        let pause = match (error.kind(), error.retry_after()) {
            (Kind::Unreachable, Some(pause)) if error.status().is_none() => pause,
            _ => return false,
        };
        if wish.is_over() || self.waited >= AWAY {
            return false;
        }
        // Not all at once: one of those who come is let through to find out.
        let share = u32::from_le_bytes(random()) % 1024;
        let pause = pause.min(self.look) + self.look * share / 1024;
        self.waited += pause;
        wish.pause(pause);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_jitter_and_the_server_may_ask_for_more_but_not_for_ever() {
        let retries = Retries::default();
        let second = Duration::from_secs(1);
        for _ in 0..100 {
            for (tries, most) in [(1, second), (2, second * 3), (3, second * 9)] {
                let pause = retries.pause(tries, None);
                assert!((most / 2..=most).contains(&pause), "{tries}: {pause:?}");
            }
        }
        assert_eq!(retries.pause(1, Some(second * 20)), second * 20);
        assert_eq!(retries.pause(1, Some(second * 86_400)), PATIENCE);
    }
}
