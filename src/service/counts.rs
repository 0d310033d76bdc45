//! Complete downloads of links without a limit: counted in memory, written together.

use super::Service;
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

    /// The counts that wait for the next flush.
    pub(super) fn counts(&self) -> MutexGuard<'_, HashMap<Lookup, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
