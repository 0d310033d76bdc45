//! Complete downloads of links without a limit: counted in memory, written together.

use super::sweep::PAGE;
use super::{Error, Service};
use crate::model::Lookup;
use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

/// Links whose counts may wait for the next flush.
const COUNTS: usize = 4096;

impl Service {
    /// Counts a complete download of a link without a limit, in memory.
    pub(super) fn count_download(&self, link: &Lookup) {
        let many = {
            let mut counts = self.counts();
            *counts.entry(*link).or_default() += 1;
            counts.len() >= COUNTS
        };
        if many {
            // A failure is logged there, and the counts stay.
            let _ = self.flush_counts();
        }
    }

    /// Writes the batched counts of unlimited links. At most once a minute, and at the end.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn flush_counts(&self) -> Result<(), Error> {
        let counts = std::mem::take(&mut *self.counts());
        let rows: Vec<_> = counts.into_iter().collect();
        // No more in one change than others make.
        for (n, page) in rows.chunks(PAGE).enumerate() {
            self.parts.metadata.add_downloads(page).map_err(|error| {
                let mut counts = self.counts();
                for (link, count) in &rows[n * PAGE..] {
                    *counts.entry(*link).or_default() += count;
                }
                drop(counts);
                self.failed(error)
            })?;
        }
        Ok(())
    }

    /// The counts that wait for the next flush.
    pub(super) fn counts(&self) -> MutexGuard<'_, HashMap<Lookup, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
