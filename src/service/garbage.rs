//! Bytes that nothing refers to any more: removed at once where that goes, and otherwise again and again
//! until they are gone, however often the process ends in between.
//!
//! What it promises: a blob that cannot be removed now, because it is being read or because the store
//! refuses, holds up no other.

use super::sweep::PAGE;
use super::upload::describe;
use super::{Error, Service};
use crate::model::BlobId;
use crate::store::StoreError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Pages of one sweep; what is left waits for the next.
const PAGES: usize = 64;
/// How long one sweep takes at most, for the most part: whoever does other things, too, waits for it.
const SPELL: Duration = Duration::from_secs(2);
/// How long nothing is tried again after the store has refused.
const PAUSE: Duration = Duration::from_secs(30);

/// How far the sweep of garbage has come.
#[derive(Default)]
pub(super) struct Progress {
    /// It broke off after this one.
    after: Option<BlobId>,
    /// Since the start of the clock: not before.
    pause: Duration,
}

/// What was last told of bytes that could not be removed: it is tried twice a minute, and told once.
#[derive(Default)]
pub(super) struct Complaint(Mutex<String>);

impl Complaint {
    fn is_new(&self, what: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = *told != what;
        what.clone_into(&mut told);
        new
    }

    fn withdraw(&self) {
        self.is_new("");
    }
}

/// What became of blobs that were to be removed.
pub(super) struct Removed {
    /// These are gone.
    pub(super) gone: Vec<BlobId>,
    /// The store refused here, and what comes after was not tried.
    pub(super) stopped_at: Option<BlobId>,
    /// The time was over after this one.
    late_after: Option<BlobId>,
}

impl Service {
    /// Removes the bytes of blobs in the list of garbage, where that takes no time: whoever calls may
    /// be somebody whom others wait for. They stay in the list: a commit for each of them would double
    /// the cost of a deletion, so the next sweep strikes off all that came together, and does what was
    /// left undone or failed here.
    pub(super) fn unlink(&self, blobs: &[BlobId]) {
        let mut failed = None;
        for id in blobs {
            if self.is_held(id) {
                continue;
            }
            match self.parts.store.delete_at_once(id) {
                Ok(()) | Err(StoreError::InUse) => {}
                Err(error @ StoreError::Refused(_)) => {
                    failed = Some(error);
                    break;
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        self.complain(failed.as_ref());
    }

    /// Goes through the list of garbage, from where the last sweep broke off.
    pub(super) fn sweep_garbage(&self) -> Result<(), Error> {
        let now = self.parts.clock.elapsed();
        // One sweep at a time: each only asks for what another would.
        let mut progress = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
        if now < progress.pause {
            return Ok(());
        }
        let mut begins_in_the_middle = progress.after.is_some();
        for _ in 0..PAGES {
            let garbage = self.parts.metadata.garbage(progress.after.as_ref(), PAGE);
            let garbage = garbage.map_err(|error| self.failed(error))?;
            let removed = self.collect(&garbage, now + SPELL)?;
            if removed.stopped_at.is_some() {
                progress.after = removed.stopped_at;
                progress.pause = now + PAUSE;
                // The rest of them at least where nobody refuses: a disk may be full of them.
                self.unlink(&garbage);
                break;
            }
            if removed.late_after.is_some() {
                progress.after = removed.late_after;
                break;
            }
            if !garbage.is_empty() && removed.gone.len() == garbage.len() {
                self.complaint.withdraw();
            }
            progress.after = garbage.last().copied().filter(|_| garbage.len() == PAGE);
            if progress.after.is_none() && !std::mem::take(&mut begins_in_the_middle) {
                break;
            }
        }
        Ok(())
    }

    /// Removes the bytes of these blobs, whether or not it was tried before, and strikes them off
    /// the list of garbage.
    fn collect(&self, garbage: &[BlobId], until: Duration) -> Result<Removed, Error> {
        let removed = self.delete_until(garbage, until);
        if !removed.gone.is_empty() {
            let collected = self.parts.metadata.collected(&removed.gone);
            collected.map_err(|error| self.failed(error))?;
        }
        Ok(removed)
    }

    /// Removes the bytes of these blobs; tells once in the log when that fails.
    pub(super) fn delete_bytes(&self, blobs: &[BlobId]) -> Removed {
        self.delete_until(blobs, Duration::MAX)
    }

    /// As [`Service::delete_bytes`], and begins none after `until`, but one in any case.
    fn delete_until(&self, blobs: &[BlobId], until: Duration) -> Removed {
        let mut removed = Removed {
            gone: Vec::new(),
            stopped_at: None,
            late_after: None,
        };
        let mut failed = None;
        let mut before = None;
        for id in blobs {
            if before.is_some() && self.parts.clock.elapsed() > until {
                removed.late_after = before;
                break;
            }
            before = Some(*id);
            if self.is_held(id) {
                continue;
            }
            match self.parts.store.delete(id) {
                Ok(()) => removed.gone.push(*id),
                // Whoever downloads it may do so to the end.
                Err(StoreError::InUse) => {}
                Err(error @ StoreError::Refused(_)) => {
                    removed.stopped_at = Some(*id);
                    failed = Some(error);
                    break;
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        self.complain(failed.as_ref());
        removed
    }

    fn complain(&self, failed: Option<&StoreError>) {
        let Some(error) = failed.map(describe) else {
            return;
        };
        let level = match self.complaint.is_new(&error) {
            true => log::Level::Warn,
            false => log::Level::Debug,
        };
        log::log!(
            level,
            "stored bytes could not be removed, it is tried again until they are gone: {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_and_again_after_all_went_well() {
        let complaint = Complaint::default();
        let new = |what| complaint.is_new(what);
        assert_eq!(
            [new("away"), new("away"), new("denied")],
            [true, false, true]
        );
        complaint.withdraw();
        assert!(new("denied"));
    }
}
