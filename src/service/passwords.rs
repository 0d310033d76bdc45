//! Stretching passwords: one at a time, because each takes megabytes, and in the order of arrival.

use super::{Error, Service, processor};
use crate::model::{PasswordParams, Secret};
use crate::pipeline::seal::keys;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest password, in bytes.
pub(super) const PASSWORD_MAX: usize = 1024;
/// Password checks of people that may wait; the next one is sent away.
const WAITERS: u32 = 8;

/// Who asks for a password to be stretched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Somebody who can try again: refused when [`WAITERS`] wait already.
    Bounded,
    /// An upload, whose bytes are here already: waits as long as it takes.
    Unbounded,
}

/// The permit to stretch: tickets are served in order.
#[derive(Default)]
pub(super) struct PasswordRoom {
    queue: Mutex<Queue>,
    turn: Condvar,
}

#[derive(Default)]
struct Queue {
    next: u64,
    serving: u64,
    bounded_waiters: u32,
}

/// The permit; dropping it lets the next one in.
struct Turn<'a>(&'a PasswordRoom);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().serving += 1;
        self.0.turn.notify_all();
    }
}

impl PasswordRoom {
    fn enter(&self, wait: Wait) -> Option<Turn<'_>> {
        let mut queue = self.lock();
        let must_wait = queue.next != queue.serving;
        let bounded = u32::from(wait == Wait::Bounded && must_wait);
        if bounded == 1 && queue.bounded_waiters >= WAITERS {
            return None;
        }
        let ticket = queue.next;
        queue.next += 1;
        queue.bounded_waiters += bounded;
        let mut queue = self
            .turn
            .wait_while(queue, |queue| queue.serving != ticket)
            .unwrap_or_else(PoisonError::into_inner);
        queue.bounded_waiters -= bounded;
        Some(Turn(self))
    }

    /// The numbers stay right through a panic: whoever holds a turn gives it back.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` alone. `None` when too many wait.
    pub(super) fn alone<T>(&self, wait: Wait, work: impl FnOnce() -> T) -> Option<T> {
        let _turn = self.enter(wait)?;
        Some(work())
    }

    /// How much work was done here so far.
    #[cfg(test)]
    pub(super) fn served(&self) -> u64 {
        self.lock().serving
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> u32 {
        self.lock().bounded_waiters
    }
}

impl Service {
    /// Parameters for a new password: a fresh salt, the cost of the policy.
    pub(super) fn new_password_params(&self) -> PasswordParams {
        let (memory_kib, passes) = self.policy.password_cost;
        PasswordParams {
            salt: keys::random(),
            memory_kib,
            passes,
        }
    }

    /// Stretches `password`, alone and apart from what other threads do.
    ///
    /// # Errors
    /// [`Error::TooMany`] when too many wait.
    pub(super) fn stretch(
        &self,
        password: &str,
        params: &PasswordParams,
        wait: Wait,
    ) -> Result<Secret, Error> {
        self.passwords
            .alone(wait, || {
                processor::apart(|| keys::password_key(password, params))
            })
            .ok_or(Error::TooMany(Duration::from_secs(2)))
    }

    /// A new password of a link: `None` when it is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is too long.
    pub(super) fn new_password(
        &self,
        password: Option<&str>,
    ) -> Result<Option<(PasswordParams, Secret)>, Error> {
        let Some(password) = password.filter(|p| !p.is_empty()) else {
            return Ok(None);
        };
        if password.len() > PASSWORD_MAX {
            return Err(Error::Invalid(format!(
                "the password is longer than {PASSWORD_MAX} bytes: choose a shorter one"
            )));
        }
        let params = self.new_password_params();
        let key = self.stretch(password, &params, Wait::Unbounded)?;
        Ok(Some((params, key)))
    }
}
