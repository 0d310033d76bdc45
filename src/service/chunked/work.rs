//! Which chunks of which uploads are coming in right now. Two of one upload never write the same bytes at the
//! same time, and an upload is not completed while one of its chunks comes in.

use super::ChunkError;
use crate::model::{BlobId, Lookup};
use crate::store::Assembly;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Every upload in chunks that somebody is at right now.
#[derive(Default)]
pub(in crate::service) struct Works(Mutex<HashMap<Lookup, Arc<Work>>>);

/// One of them.
#[derive(Default)]
pub(super) struct Work {
    running: Mutex<Running>,
    /// Held for what one at a time does: beginning the upload, and putting edges together. The assembly is
    /// kept as long as anybody is at the upload.
    turn: Mutex<Kept>,
}

/// An assembly, and the blob that it becomes.
type Kept = Option<(BlobId, Arc<dyn Assembly>)>;

/// The chunks that are coming in, by the bytes of the plaintext that they have taken so far.
#[derive(Default)]
struct Running {
    next: u64,
    claims: Vec<(u64, u64, u64)>,
    closed: bool,
}

impl Works {
    fn lock(&self) -> MutexGuard<'_, HashMap<Lookup, Arc<Work>>> {
        // Each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to be at an upload.
    pub(super) fn enter(&self, lookup: &Lookup) -> Entered<'_> {
        let work = Arc::clone(self.lock().entry(*lookup).or_default());
        Entered {
            works: self,
            lookup: *lookup,
            work,
        }
    }
}

/// Somebody is at an upload until this is dropped.
pub(super) struct Entered<'a> {
    works: &'a Works,
    lookup: Lookup,
    work: Arc<Work>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut works = self.works.lock();
        // The one in the table, and this one: whoever comes in waits for the table.
        if Arc::strong_count(&self.work) == 2 {
            works.remove(&self.lookup);
        }
    }
}

impl Entered<'_> {
    /// Waits until nobody else does what only one may.
    pub(super) fn turn(&self) -> MutexGuard<'_, Kept> {
        let turn = self.work.turn.lock();
        turn.unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        let running = self.work.running.lock();
        running.unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a chunk at the byte `from`.
    ///
    /// # Errors
    /// [`ChunkError::Running`] when that byte is coming in already, or the upload is being completed.
    pub(super) fn claim(&self, from: u64) -> Result<Claim<'_>, ChunkError> {
        let mut running = self.running();
        if running.closed || running.is_taken(from, from + 1, None) {
            return Err(ChunkError::Running);
        }
        let id = running.next;
        running.next += 1;
        running.claims.push((id, from, from));
        Ok(Claim { entered: self, id })
    }

    /// Whether no more than one chunk is coming in.
    pub(super) fn is_alone(&self) -> bool {
        self.running().claims.len() <= 1
    }

    /// Keeps chunks away while the upload is completed.
    ///
    /// # Errors
    /// [`ChunkError::Running`] when one is coming in, or somebody else is completing the upload.
    pub(super) fn close(&self) -> Result<Closed<'_>, ChunkError> {
        let mut running = self.running();
        if running.closed || !running.claims.is_empty() {
            return Err(ChunkError::Running);
        }
        running.closed = true;
        Ok(Closed(self))
    }
}

impl Running {
    /// Whether bytes from `from` up to `to` are coming in by another claim than `own`. A chunk that has just
    /// begun has its first byte.
    fn is_taken(&self, from: u64, to: u64, own: Option<u64>) -> bool {
        let others = self.claims.iter().filter(|(id, _, _)| Some(*id) != own);
        others
            .into_iter()
            .any(|(_, begin, end)| *begin < to && (*end).max(begin + 1) > from)
    }
}

/// A chunk that is coming in, until it is dropped.
pub(super) struct Claim<'a> {
    entered: &'a Entered<'a>,
    id: u64,
}

impl Claim<'_> {
    /// Takes the bytes up to `to` as well. False when they are another chunk's.
    pub(super) fn grow(&self, to: u64) -> bool {
        let mut running = self.entered.running();
        let claims = running.claims.iter();
        let own = claims.filter(|(id, _, _)| *id == self.id).map(|own| own.1);
        let taken = own
            .min()
            .is_none_or(|from| running.is_taken(from, to, Some(self.id)));
        if !taken {
            let claims = running.claims.iter_mut();
            claims
                .filter(|(id, _, _)| *id == self.id)
                .for_each(|own| own.2 = to);
        }
        !taken
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let id = self.id;
        self.entered.running().claims.retain(|own| own.0 != id);
    }
}

/// No chunk begins until this is dropped.
pub(super) struct Closed<'a>(&'a Entered<'a>);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.running().closed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Lookup = Lookup([1; 32]);

    #[test]
    fn two_chunks_at_once_never_have_the_same_byte() {
        let works = Works::default();
        let entered = works.enter(&ONE);
        let first = entered.claim(100).unwrap();
        assert!(entered.claim(100).is_err(), "its first byte");
        let second = entered.claim(200).unwrap();
        assert!(first.grow(200) && !first.grow(201));
        assert!(second.grow(300) && second.grow(350));
        assert!(entered.claim(250).is_err(), "in the middle of one");
        assert!(entered.claim(350).is_ok());
        drop(second);
        assert!(first.grow(201));
    }

    #[test]
    fn one_upload_is_completed_by_one_and_while_no_chunk_comes_in() {
        let works = Works::default();
        let (one, other) = (works.enter(&ONE), works.enter(&ONE));
        let chunk = one.claim(0).unwrap();
        assert!(other.close().is_err());
        drop(chunk);
        let closed = other.close().unwrap();
        assert!(one.close().is_err() && one.claim(0).is_err());
        drop(closed);
        assert!(one.claim(0).is_ok());
    }

    #[test]
    fn nothing_stays_of_an_upload_that_nobody_is_at() {
        let works = Works::default();
        let (one, other) = (works.enter(&ONE), works.enter(&ONE));
        drop(one);
        assert!(works.lock().contains_key(&ONE));
        drop(other);
        assert!(works.lock().is_empty());
    }
}
