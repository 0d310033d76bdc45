//! Limits on failures: token buckets for each address, link and account, and one for everybody.
//!
//! A bucket is one moment in time: when it will be full again (the generic cell rate algorithm).
//! The table holds [`TABLE`] of them, whatever the number of sources; when it is full, those that
//! are full again soonest are forgotten, because they know least.

use crate::model::Lookup;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buckets that are remembered.
const TABLE: usize = 4096;

/// What is limited. Each kind has its own buckets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    /// API keys that are none, by address.
    BadKey,
    /// Link and hotlink ids that are none, by address.
    UnknownId,
    /// Passwords of accounts, by address.
    Login,
    /// Passwords of accounts, by account.
    LoginAccount,
    /// Passwords of links, by link.
    LinkPassword,
    /// Passwords of links, by address.
    LinkPasswordFrom,
}

impl Kind {
    /// How many at once, and the time after which one more is allowed.
    const fn rate(self) -> Rate {
        match self {
            Self::BadKey | Self::UnknownId => Rate::new(20, 1_000),
            Self::Login => Rate::new(5, 10_000),
            Self::LoginAccount => Rate::new(10, 10_000),
            Self::LinkPassword => Rate::new(10, 5_000),
            Self::LinkPasswordFrom => Rate::new(20, 5_000),
        }
    }

    /// The bucket that all sources share: what a swarm of addresses can do altogether.
    const fn global(self) -> Global {
        match self {
            Self::BadKey | Self::UnknownId => Global::Guess,
            _ => Global::Password,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Global {
    Guess,
    Password,
}

impl Global {
    const fn rate(self) -> Rate {
        match self {
            Self::Guess => Rate::new(2_000, 5),
            Self::Password => Rate::new(100, 200),
        }
    }
}

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    interval: Duration,
}

impl Rate {
    const fn new(burst: u32, interval_ms: u64) -> Self {
        Self {
            burst,
            interval: Duration::from_millis(interval_ms),
        }
    }

    /// When the bucket would be full after one more, or how long to wait for that.
    fn next(self, full_at: Duration, now: Duration) -> Result<Duration, Duration> {
        let next = full_at.max(now) + self.interval;
        let limit = now + self.interval * self.burst;
        if next <= limit {
            Ok(next)
        } else {
            Err(next - limit)
        }
    }
}

/// Whose bucket: an address, a link or an account.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source([u8; 16]);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(address_block(address))
    }
}

impl From<&Lookup> for Source {
    fn from(lookup: &Lookup) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&lookup.0[..16]);
        Self(bytes)
    }
}

impl From<[u8; 16]> for Source {
    fn from(tag: [u8; 16]) -> Self {
        Self(tag)
    }
}

/// What stands for one client: an IPv4 address, or the /64 that one IPv6 client can choose from.
pub(super) fn address_block(address: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            bytes[0] = 4;
            bytes[1..5].copy_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            bytes[0] = 6;
            bytes[1..9].copy_from_slice(&v6.octets()[..8]);
        }
    }
    bytes
}

/// The buckets.
#[derive(Default)]
pub(super) struct Limiter {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buckets: HashMap<(Kind, Source), Duration>,
    guesses: Duration,
    passwords: Duration,
}

impl State {
    fn global(&mut self, which: Global) -> &mut Duration {
        match which {
            Global::Guess => &mut self.guesses,
            Global::Password => &mut self.passwords,
        }
    }
}

impl Limiter {
    /// Takes one from each of these buckets and from the global one, or from none of them.
    ///
    /// # Errors
    /// The time to wait, when one of them is empty.
    pub(super) fn charge(&self, what: &[(Kind, Source)], now: Duration) -> Result<(), Duration> {
        let mut state = self.lock();
        let Some(global) = what.first().map(|(kind, _)| kind.global()) else {
            return Ok(());
        };
        let mut wait = Duration::ZERO;
        let all = global.rate().next(*state.global(global), now);
        wait = wait.max(all.err().unwrap_or_default());
        let next: Vec<_> = what
            .iter()
            .map(|key| {
                let full_at = state.buckets.get(key).copied().unwrap_or_default();
                (*key, key.0.rate().next(full_at, now))
            })
            .collect();
        for (_, result) in &next {
            wait = wait.max(result.err().unwrap_or_default());
        }
        if wait > Duration::ZERO {
            return Err(wait);
        }
        if let Ok(full_at) = all {
            *state.global(global) = full_at;
        }
        for (key, result) in next {
            if let Ok(full_at) = result {
                make_room(&mut state.buckets, now);
                state.buckets.insert(key, full_at);
            }
        }
        Ok(())
    }

    /// Gives back what [`Limiter::charge`] took: it was no failure.
    pub(super) fn refund(&self, what: &[(Kind, Source)]) {
        let mut state = self.lock();
        for key in what {
            if let Some(full_at) = state.buckets.get_mut(key) {
                *full_at = full_at.saturating_sub(key.0.rate().interval);
            }
        }
        if let Some((kind, _)) = what.first() {
            let interval = kind.global().rate().interval;
            let full_at = state.global(kind.global());
            *full_at = full_at.saturating_sub(interval);
        }
    }

    /// Forgets what one bucket knows: it is full again.
    pub(super) fn forget(&self, key: &(Kind, Source)) {
        self.lock().buckets.remove(key);
    }

    /// A panic elsewhere leaves numbers that are still numbers.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.lock().buckets.len()
    }
}

/// Forgets a quarter of a full table in one pass, so that a flood of sources pays for it a
/// quarter of a table at a time and not with every entry.
fn make_room(buckets: &mut HashMap<(Kind, Source), Duration>, now: Duration) {
    if buckets.len() < TABLE {
        return;
    }
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() <= TABLE * 3 / 4 {
        return;
    }
    let mut times: Vec<Duration> = buckets.values().copied().collect();
    let (_, cut, _) = times.select_nth_unstable(TABLE / 4);
    let cut = *cut;
    let mut surplus = TABLE / 4;
    buckets.retain(|_, full_at| {
        let forget = surplus > 0 && *full_at <= cut;
        surplus -= usize::from(forget);
        !forget
    });
}
