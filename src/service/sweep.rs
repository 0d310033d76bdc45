//! What ends by itself: links, leases, leftovers.

use super::clock::after;
use super::lease_book::Claim;
use super::upload::describe;
use super::{Error, Service, events};
use crate::metadata::{Due, Freed, MetadataError};
use crate::model::{Blob, BlobId, Timestamp};
use crate::store::StoreError;
use std::io::ErrorKind;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Rows and files that are looked at in one step.
pub(super) const PAGE: usize = 128;
/// Steps of one sweep; what is left waits for the next.
pub(super) const STEPS: usize = 64;
/// A crash leaves an orphan for each upload that was between its rename and its commit. More of
/// them in one page, and most of the page: then the database does not belong to these files.
const ORPHANS_OF_A_CRASH: usize = 16;

/// How long the store may take to say whether it holds anything, before the first start goes on without.
const FIRST_LOOK: Duration = Duration::from_secs(10);

impl Service {
    /// Once, before the first request: drops staged leftovers, takes the open leases of the last
    /// process over as broken. Takes the same time whatever the number of links.
    ///
    /// # Errors
    /// [`Error::Internal`] when store or database do not answer, or do not belong together;
    /// [`Error::ReadOnly`].
    pub fn recover(&self) -> Result<(), Error> {
        let metadata = &self.parts.metadata;
        let fresh = !self.has_accounts()?;
        if fresh && self.has_files()? {
            let what = "the database is new, but there are stored files: put the database that \
                        belongs to them back, or move the files away";
            log::error!("{what}");
            return Err(Error::Internal(what.into()));
        }
        let staged = self.parts.store.sweep_staged();
        let staged = staged.map_err(|error| broken(&error))?;
        if staged > 0 {
            log::info!("removed {staged} uploads that an earlier run had not finished");
        }
        // In one commit: there may be as many as there were downloads, and nobody is served yet.
        match metadata.settle_closing() {
            Ok(settled) => settled.iter().for_each(|freed| self.dispose(freed)),
            // What is there can be read: that is worth more than to count these downloads now.
            Err(error @ (MetadataError::Full | MetadataError::Quota | MetadataError::ReadOnly)) => {
                log::error!(
                    "downloads that had ended are not counted before the next start: {error}"
                )
            }
            Err(error) => return Err(self.failed(error)),
        }
        self.recover_clock()?;
        let now = self.parts.clock.elapsed();
        let leases = metadata.leases().map_err(|error| self.failed(error))?;
        // One that is closing is here only because it could not be settled: nothing more is handed out on it.
        for lease in leases.iter().filter(|lease| !lease.closing) {
            let claim = Claim {
                link: lease.link,
                client: lease.client,
                id: lease.id,
            };
            self.book().adopt(claim, now);
        }
        Ok(())
    }

    /// Asks the store, which may be on a machine that hangs.
    fn is_store_empty(&self) -> Result<bool, StoreError> {
        let store = Arc::clone(&self.parts.store);
        let (answer, answers) = sync_channel(1);
        let asking = std::thread::Builder::new()
            .name("first look".to_owned())
            .spawn(move || {
                // Nobody waits for it any more, perhaps.
                let _late = answer.send(store.is_empty());
            });
        asking.map_err(StoreError::Refused)?;
        answers
            .recv_timeout(FIRST_LOOK)
            .unwrap_or_else(|_| Err(StoreError::Refused(ErrorKind::TimedOut.into())))
    }

    /// Whether there are stored files, as far as that can be known now.
    fn has_files(&self) -> Result<bool, Error> {
        match self.is_store_empty() {
            Ok(empty) => Ok(!empty),
            // A store that is away keeps nobody from starting.
            Err(error @ StoreError::Refused(_)) => {
                log::warn!(
                    "the database is new, and whether there are stored files that it knows nothing \
                     of cannot be told now: {}",
                    describe(&error)
                );
                Ok(false)
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// Removes what is over: links by time, leases by silence, bytes without references. Cheap when
    /// there is nothing to do; to be called every few seconds. Returns how many links ended.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn sweep(&self) -> Result<u64, Error> {
        // One that fails must not keep the others from being done.
        let clock = self.tend_clock();
        // Those first: somebody may wait for what they hold.
        let leases = self.sweep_leases();
        let links = self.sweep_links();
        let chunks = self.sweep_chunks();
        let removals = self.resume_removals();
        self.sweep_garbage()?;
        leases?;
        chunks?;
        removals?;
        clock?;
        links
    }

    /// Links without downloads go in any case; by time, only what the clock is sure of.
    fn sweep_links(&self) -> Result<u64, Error> {
        let mut ended = self.sweep_span(None, Timestamp::MIN)?;
        if let Some(watched) = self.parts.clock.watched() {
            ended += self.sweep_span(Some(&after(watched.after)), watched.until)?;
            ended += self.sweep_gaps(watched)?;
        }
        Ok(ended)
    }

    /// Ends the links that are due after `after`, up to `until`.
    pub(super) fn sweep_span(&self, after: Option<&Due>, until: Timestamp) -> Result<u64, Error> {
        if after.is_some_and(|after| after.at >= until) {
            return Ok(0);
        }
        let mut after = after.copied();
        let mut ended = 0;
        for _ in 0..STEPS {
            let due = self.parts.metadata.due(until, after.as_ref(), PAGE);
            let due = due.map_err(|error| self.failed(error))?;
            ended += self.end_links(&due, until)?;
            // Onward, not from the front again: what could not be removed must hold up nothing.
            after = due.last().copied();
            if due.len() < PAGE {
                break;
            }
        }
        Ok(ended)
    }

    fn sweep_leases(&self) -> Result<(), Error> {
        let elapsed = self.parts.clock.elapsed();
        let over = self.book().over(self.policy.lease, elapsed);
        let ends = over
            .iter()
            .map(|(claim, end)| self.end_lease(claim, *end, None));
        ends.fold(Ok(()), Result::and)
    }

    fn end_links(&self, due: &[Due], now: Timestamp) -> Result<u64, Error> {
        if due.is_empty() {
            return Ok(0);
        }
        let links: Vec<_> = due.iter().map(|due| due.lookup).collect();
        let freed = self.parts.metadata.remove_over(&links, now);
        let freed = freed.map_err(|error| self.failed(error))?;
        let blobs: Vec<_> = freed.iter().filter_map(|freed| freed.blob).collect();
        self.unlink(&blobs);
        let links = freed.iter().filter_map(|freed| freed.link);
        Ok(links.inspect(|link| events::expired(link, "time")).count() as u64)
    }

    /// Removes the bytes that a settled download freed.
    pub(super) fn dispose(&self, freed: &Freed) {
        if let Some(link) = freed.link {
            events::expired(&link, "downloads");
        }
        self.unlink(freed.blob.as_slice());
    }

    /// One step of looking for files in the store that no row refers to, and removing them.
    /// Returns false when the end was reached.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn sweep_orphans_step(&self) -> Result<bool, Error> {
        let mut after = self
            .orphans_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let page = self.parts.store.list(after.as_ref(), PAGE);
        let mut page = page.map_err(|error| broken(&error))?;
        let listed = page.len();
        let before = *after;
        *after = page.last().copied().filter(|_| listed == PAGE);
        let more = after.is_some();
        if !more {
            self.sweep_assemblies()?;
        }
        // In this order: a file that was listed and is not being published any more by now has
        // its row by now, and the question comes after that.
        {
            let publishing = self.publishing();
            page.retain(|id| !publishing.contains(id));
        }
        let unknown = self.parts.metadata.unknown_blobs(&page);
        let mut unknown = unknown.map_err(|error| self.failed(error))?;
        // What could not be removed yet says nothing about the database, and has its own sweep.
        let garbage = self.parts.metadata.garbage(before.as_ref(), PAGE);
        let garbage = garbage.map_err(|error| self.failed(error))?;
        unknown.retain(|id| garbage.binary_search(id).is_err());
        if unknown.len() > ORPHANS_OF_A_CRASH && unknown.len() * 2 > listed {
            log::error!(
                "the database knows nothing of {} of {listed} stored files: it may be older than \
                 they are. Nothing was removed. Put the right database back, or move the files \
                 away",
                unknown.len()
            );
            return Ok(more);
        }
        let removed = self.delete_bytes(&unknown);
        if removed.stopped_at.is_some() {
            // The rest of them at least where nobody refuses: a disk may be full of them.
            self.unlink(&unknown);
        }
        if !removed.gone.is_empty() {
            log::info!(
                "removed {} stored files that belonged to no link",
                removed.gone.len()
            );
        }
        Ok(more)
    }

    /// One step of looking whether the bytes of every blob are in the store, as many as its row
    /// says; tells in the log what is missing. What they are is proved when they are read. Returns
    /// what it found damaged, and false when the end was reached.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn check_blobs_step(&self) -> Result<(Vec<BlobId>, bool), Error> {
        let mut after = self
            .checked_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let page = self.parts.metadata.blobs(after.as_ref(), PAGE);
        let page = page.map_err(|error| self.failed(error))?;
        let ids: Vec<_> = page.iter().map(|blob| blob.id).collect();
        let sizes = self.parts.store.sizes(&ids);
        let sizes = sizes.map_err(|error| broken(&error))?;
        let mut damaged = Vec::new();
        for (blob, size) in page.iter().zip(sizes) {
            match size {
                // It says nothing about the bytes that one of two stores is away.
                Err(StoreError::Refused(_)) => {}
                size => damaged.extend(damage(blob, &size).map(|what| (blob.id, what))),
            }
        }
        // In this order: rows go before bytes, so only a row that is still there misses them.
        let ids: Vec<_> = damaged.iter().map(|(id, _)| *id).collect();
        let gone = self.parts.metadata.unknown_blobs(&ids);
        let gone = gone.map_err(|error| self.failed(error))?;
        damaged.retain(|(id, _)| !gone.contains(id));
        for (id, what) in &damaged {
            log::error!(
                "stored file {}: {what}; its links cannot be downloaded. Restore it from a backup, \
                 or delete them",
                id.to_hex()
            );
        }
        *after = page
            .last()
            .map(|blob| blob.id)
            .filter(|_| page.len() == PAGE);
        let damaged = damaged.into_iter().map(|(id, _)| id).collect();
        Ok((damaged, after.is_some()))
    }
}

/// What is wrong with the bytes of `blob`, as far as their number tells.
fn damage(blob: &Blob, size: &Result<u64, StoreError>) -> Option<String> {
    match size {
        Ok(size) if *size == blob.stored => None,
        Ok(size) => Some(format!("it has {size} bytes, {} were stored", blob.stored)),
        Err(StoreError::NotFound) => Some("it is missing".to_owned()),
        Err(error) => Some(format!("it cannot be opened: {}", describe(error))),
    }
}

pub(super) fn broken(error: &StoreError) -> Error {
    let what = describe(error);
    log::error!("{what}");
    match error.is_read_only() {
        true => Error::ReadOnly,
        false => Error::Internal(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error as Cause, ErrorKind};

    #[test]
    fn a_store_that_is_read_only_is_told_from_one_that_is_broken() {
        let of = |kind| broken(&StoreError::Unavailable(Cause::from(kind)));
        assert!(matches!(of(ErrorKind::ReadOnlyFilesystem), Error::ReadOnly));
        assert!(matches!(of(ErrorKind::NotFound), Error::Internal(_)));
    }
}
