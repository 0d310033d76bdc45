//! Whether the server is there. After some failures in a row requests fail at once, without waiting for a server
//! that is away, except for one probe now and then.

use super::error::{Kind, S3Error};
use crate::model::Clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Failures in a row after which the server counts as away.
const FAILURES: u32 = 5;
/// Pause before the first probe, and the longest one.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);

/// What the last requests said about the server.
pub struct Health {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    problem: Option<String>,
    /// When the next probe may go, and how long the pause before it was.
    probe: Option<(Duration, Duration)>,
}

impl Health {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Why the store cannot be used now: the last failure and its remedy. Nothing while requests go well.
    pub fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// Whether a request may go out. Fails while the server is away; lets one probe through when its time has come.
    pub(super) fn admit(&self) -> Result<(), S3Error> {
        let mut state = self.lock();
        let Some((due, pause)) = state.probe else {
            return Ok(());
        };
        let now = self.clock.elapsed();
        if now >= due {
            let pause = (pause * 2).min(LONGEST);
            state.probe = Some((now + pause, pause));
            return Ok(());
        }
        let reason = state.problem.as_deref().unwrap_or("it did not answer");
        Err(S3Error::new(
            Kind::Unreachable,
            format!("the object storage is away: {reason}"),
        )
        .with_retry_after(Some(due.saturating_sub(now))))
    }

    /// Why a request would fail at once now; nothing when one may go out. Takes no probe.
    pub(super) fn refuses(&self) -> Option<String> {
        let state = self.lock();
        let (due, _) = state.probe?;
        (self.clock.elapsed() < due).then(|| state.problem.clone().unwrap_or_default())
    }

    /// Whether requests fail at once.
    pub(super) fn is_away(&self) -> bool {
        self.lock().probe.is_some()
    }

    /// Takes down how a request went. What is denied counts only where files cannot be stored or read without it.
    pub(super) fn note(&self, error: Option<&S3Error>, essential: bool) {
        let mut state = self.lock();
        let Some(error) = error else {
            *state = State::default();
            return;
        };
        match error.kind {
            Kind::Unreachable | Kind::TimedOut | Kind::Server | Kind::Broken | Kind::Tls => {
                state.failures = state.failures.saturating_add(1);
                state.problem = Some(format!("{error}. {}", error.remedy()));
                if state.failures >= FAILURES && state.probe.is_none() {
                    state.probe = Some((self.clock.elapsed() + FIRST, FIRST));
                }
            }
            Kind::Denied if !essential => {
                state.failures = 0;
                state.probe = None;
            }
            // The server is there, but nothing can be stored.
            Kind::NoBucket
            | Kind::Denied
            | Kind::BadKey
            | Kind::BadSignature
            | Kind::WrongRegion { .. }
            | Kind::Skewed { .. } => {
                *state = State::default();
                state.problem = Some(format!("{error}. {}", error.remedy()));
            }
            // Too much at once is no fault, and a fault of this end says nothing.
            Kind::Body => {}
            _ => *state = State::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves at worst an older opinion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
