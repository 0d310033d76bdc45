//! Complete downloads of links without a limit: counted in memory, written together. They are for
//! the eye: what a limited link has left is never counted here, but in the database, with each
//! download. So, while the database takes no writes, what finds no room is not counted.

use super::sweep::PAGE;
use super::{Error, Service};
use crate::model::Lookup;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Links whose counts may wait for the next flush; as many again while one runs.
const LINKS: usize = 4096;

/// Downloads on their way to the database.
#[derive(Default)]
pub(super) struct Counts {
    waiting: Mutex<Waiting>,
    /// Held for the length of a flush: one at a time, so that no more is on its way.
    flushing: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    counts: HashMap<Lookup, u64>,
    /// The last flush failed: the next try is the timer's, not one for each download.
    stuck: bool,
    /// Downloads that found no room.
    lost: u64,
}

impl Waiting {
    /// Adds downloads of a link. False when there is no room for it.
    fn add(&mut self, link: &Lookup, downloads: u64) -> bool {
        if let Some(count) = self.counts.get_mut(link) {
            *count = count.saturating_add(downloads);
            return true;
        }
        let room = self.counts.len() < LINKS;
        if room {
            self.counts.insert(*link, downloads);
        }
        room
    }

    fn add_or_lose(&mut self, link: &Lookup, downloads: u64) {
        if !self.add(link, downloads) {
            self.lost = self.lost.saturating_add(downloads);
        }
    }
}

impl Counts {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Counts a complete download of a link without a limit, in memory.
    pub(super) fn count_download(&self, link: &Lookup) {
        {
            let mut waiting = self.counts.waiting();
            if waiting.stuck {
                waiting.add_or_lose(link, 1);
                return;
            }
            if waiting.add(link, 1) {
                return;
            }
        }
        // A failure is logged there, and the counts stay.
        let _ = self.flush(Some(link));
    }

    /// Writes the batched counts of unlimited links, and which credentials were used. At most once a
    /// minute, and at the end.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn flush_counts(&self) -> Result<(), Error> {
        let counts = self.flush(None);
        self.flush_uses()?;
        counts
    }

    /// Writes the counts, to make room for a download of `of`.
    fn flush(&self, of: Option<&Lookup>) -> Result<(), Error> {
        let flushing = self.counts.flushing.lock();
        let _flushing = flushing.unwrap_or_else(PoisonError::into_inner);
        let counts = {
            let mut waiting = self.counts.waiting();
            if of.is_some_and(|link| waiting.add(link, 1)) {
                // Another thread made room meanwhile.
                return Ok(());
            }
            let counts = std::mem::take(&mut waiting.counts);
            of.inspect(|link| waiting.add_or_lose(link, 1));
            counts
        };
        let rows: Vec<_> = counts.into_iter().collect();
        // No more in one change than others make.
        for (n, page) in rows.chunks(PAGE).enumerate() {
            if let Err(error) = self.parts.metadata.add_downloads(page) {
                let mut waiting = self.counts.waiting();
                waiting.stuck = true;
                for (link, count) in &rows[n * PAGE..] {
                    waiting.add_or_lose(link, *count);
                }
                drop(waiting);
                return Err(self.failed(error));
            }
        }
        let lost = {
            let mut waiting = self.counts.waiting();
            waiting.stuck = false;
            std::mem::take(&mut waiting.lost)
        };
        if lost > 0 {
            log::warn!(
                "{lost} downloads of links without a limit are missing in their counts: the database took no writes"
            );
        }
        Ok(())
    }

    /// Downloads of a link that wait for the next flush.
    pub(super) fn waiting_downloads(&self, link: &Lookup) -> u64 {
        let waiting = self.counts.waiting();
        waiting.counts.get(link).copied().unwrap_or_default()
    }
}

#[cfg(test)]
impl Service {
    /// How many links wait, and how many downloads were lost.
    pub(super) fn counts_held(&self) -> (usize, u64) {
        let waiting = self.counts.waiting();
        (waiting.counts.len(), waiting.lost)
    }
}
