//! When credentials were last used: kept in memory, and written with an hour between two writes for each,
//! because every write wears an SD card. So the listings are right to the hour after a crash.

use super::sweep::PAGE;
use super::{Error, Service};
use crate::metadata::{Use, is_news};
use crate::model::{Account, AccountId, ApiKey, Lookup, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Credentials whose use may wait to be written: what finds no room is noted with its next use.
const WAITING: usize = 4096;

/// What was used, and is not written yet.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<(AccountId, Option<Lookup>), Timestamp>>);

impl Uses {
    fn waiting(&self) -> MutexGuard<'_, HashMap<(AccountId, Option<Lookup>), Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An account was opened, with this key or with its password.
    pub(super) fn note(&self, account: &Account, key: Option<&ApiKey>, at: Timestamp) {
        let of_key = key.is_some_and(|key| is_news(key.last_used, at));
        if !of_key && !is_news(account.last_online, at) {
            return;
        }
        let id = (account.id, key.map(|key| key.lookup));
        let mut waiting = self.waiting();
        if waiting.len() < WAITING || waiting.contains_key(&id) {
            waiting.insert(id, at);
        }
    }

    /// A use that is not written yet: of that key, or of any credential of the account.
    pub(super) fn last(&self, account: AccountId, key: Option<&Lookup>) -> Option<Timestamp> {
        let waiting = self.waiting();
        if key.is_some() {
            return waiting.get(&(account, key.copied())).copied();
        }
        let of = waiting.iter().filter(|((id, _), _)| *id == account);
        of.map(|(_, at)| *at).max()
    }
}

impl Service {
    /// Writes which credentials were used.
    pub(super) fn flush_uses(&self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut *self.uses.waiting());
        let uses: Vec<_> = waiting
            .into_iter()
            .map(|((account, key), at)| Use { account, key, at })
            .collect();
        for (n, page) in uses.chunks(PAGE).enumerate() {
            if let Err(error) = self.parts.metadata.touch(page) {
                let mut waiting = self.uses.waiting();
                for left in &uses[n * PAGE..] {
                    waiting.entry((left.account, left.key)).or_insert(left.at);
                }
                drop(waiting);
                return Err(self.failed(error));
            }
        }
        Ok(())
    }
}
