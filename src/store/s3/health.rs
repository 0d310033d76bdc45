//! Whether the server is there. After some failures in a row requests fail at once, without waiting for a server
//! that is away, except for one probe now and then.

use super::error::{AWAY, Kind, S3Error};
use crate::model::Clock;
use crate::store::Reason;
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
    /// Requests in a row that no answer came to, and that went wrong for any reason that may pass.
    silent: u32,
    failures: u32,
    problem: Option<Problem>,
    /// Why nothing can be stored, though the server answers. Reading shows nothing about that.
    unwritable: Option<String>,
    /// When the next probe may go, and how long the pause before it was.
    probe: Option<(Duration, Duration)>,
}

struct Problem {
    reason: Reason,
    /// Whether any answer shows that it is over.
    passes: bool,
}

impl State {
    /// The server has answered, whatever it said.
    fn answered(&mut self) {
        self.silent = 0;
        self.probe = None;
    }

    /// Something went wrong that a retry may heal. That is a problem from the `worth`th time in a row on.
    fn failed(&mut self, error: &S3Error, worth: u32) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= worth {
            let reason = error.reason();
            self.problem = Some(Problem {
                reason,
                passes: true,
            });
        }
    }
}

impl Health {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Why the store cannot be used now: the last failure and its remedy. Nothing while requests go well, and
    /// nothing for a single failure, which the next attempt may heal.
    pub fn problem(&self) -> Option<String> {
        let state = self.lock();
        let problem = state
            .problem
            .as_ref()
            .map(|problem| problem.reason.to_string());
        problem.or_else(|| state.unwritable.clone())
    }

    /// Whether the problem is one that somebody has to mend.
    pub(super) fn is_lasting(&self) -> bool {
        let state = self.lock();
        let lasts = state.problem.as_ref().map(|problem| !problem.passes);
        lasts.unwrap_or(state.unwritable.is_some())
    }

    /// Whether the last request that would have stored something was refused for a reason that holds for all.
    pub(super) fn is_unwritable(&self) -> bool {
        self.lock().unwritable.is_some()
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
        let reason = state.problem.as_ref().map(|problem| problem.reason.clone());
        let reason = reason.unwrap_or_else(|| "it did not answer".to_owned().into());
        let away = |why: &str| {
            let why = why.trim_end_matches('.');
            format!("the object storage is away: {why}")
        };
        Err(S3Error::new(Kind::Unreachable, away(&reason.to_string()))
            .with_public(away(reason.public()))
            .coded(AWAY)
            .with_retry_after(Some(due.saturating_sub(now))))
    }

    /// Why a request would fail at once now; nothing when one may go out. Takes no probe.
    pub(super) fn refuses(&self) -> Option<Reason> {
        let state = self.lock();
        let (due, _) = state.probe?;
        let reason = state.problem.as_ref().map(|problem| problem.reason.clone());
        (self.clock.elapsed() < due)
            .then(|| reason.unwrap_or_else(|| "it did not answer".to_owned().into()))
    }

    /// Whether requests fail at once.
    pub(super) fn is_away(&self) -> bool {
        self.lock().probe.is_some()
    }

    /// Takes down how a request went, and whether it was one that `writes`. Only requests without an answer say that
    /// the server is away: one that has a fault with one object has none with the others.
    pub(super) fn note(&self, error: Option<&S3Error>, writes: bool) {
        let mut state = self.lock();
        let Some(error) = error else {
            let unwritable = state.unwritable.take().filter(|_| !writes);
            *state = State {
                unwritable,
                ..State::default()
            };
            return;
        };
        match error.kind {
            Kind::Unreachable | Kind::TimedOut | Kind::Broken | Kind::Tls => {
                state.failed(error, if error.kind == Kind::Tls { 1 } else { 2 });
                state.silent = state.silent.saturating_add(1);
                if state.silent >= FAILURES && state.probe.is_none() {
                    state.probe = Some((self.clock.elapsed() + FIRST, FIRST));
                }
            }
            Kind::Server => {
                state.answered();
                state.failed(error, 2);
            }
            // Too much at once is no fault, unless nothing else comes any more.
            Kind::Busy => {
                state.answered();
                state.failed(error, FAILURES);
            }
            // The server is there, but nothing can be stored.
            Kind::Denied | Kind::Full if writes => {
                *state = State {
                    unwritable: Some(error.reason().to_string()),
                    ..State::default()
                };
            }
            // The server is there, but nothing can be done.
            Kind::NoBucket
            | Kind::BadKey
            | Kind::BadSignature
            | Kind::WrongRegion { .. }
            | Kind::Skewed { .. } => {
                let reason = error.reason();
                let problem = Some(Problem {
                    reason,
                    passes: false,
                });
                *state = State {
                    problem,
                    ..State::default()
                };
            }
            // A fault of this end says nothing.
            Kind::Body => {}
            _ => {
                state.answered();
                state.failures = 0;
                let says_nothing = error.kind == Kind::Denied;
                let stays = |problem: &Problem| says_nothing && !problem.passes;
                state.problem = state.problem.take().filter(stays);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves at worst an older opinion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
