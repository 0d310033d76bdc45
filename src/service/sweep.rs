//! What ends by itself: links, leases, leftovers.

use super::{Error, Service};

impl Service {
    /// Once, before the first request: drops staged leftovers, takes the open leases of the last
    /// process over as broken. Takes the same time whatever the number of links.
    ///
    /// # Errors
    /// [`Error::Internal`] when store or database do not answer, or do not belong together.
    pub fn recover(&self) -> Result<(), Error> {
        todo!()
    }

    /// Removes what is over: links by time, leases by silence, bytes without references. Cheap when
    /// there is nothing to do; to be called every few seconds. Returns how many links ended.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn sweep(&self) -> Result<u64, Error> {
        todo!()
    }

    /// One step of looking for files in the store that no row refers to, and removing them.
    /// Returns false when the end was reached.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn sweep_orphans_step(&self) -> Result<bool, Error> {
        todo!()
    }

    /// Writes the batched counts of unlimited links. At most once a minute, and at the end.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn flush_counts(&self) -> Result<(), Error> {
        todo!()
    }
}
