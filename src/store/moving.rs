//! Moves a blob from one of two stores to the other, while everything else goes on.
//!
//! The copy is whole, durable and read again before the original goes, so the blob is always in at least
//! one place, and whoever reads it reads on. While it moves, a deletion of it is refused as one of a blob
//! in use, and comes again: nothing that was deleted comes back. What breaks off leaves the original
//! and no half of a copy; the next attempt begins that blob anew. One that broke off between both, by the end
//! of the process, leaves two copies; one of them goes later, after both were read and are the same.

use super::{BothStores, Place, Store, StoreError, StoredBlob};
use crate::model::BlobId;
use ring::digest::{Context, Digest, SHA256};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, TryLockError};

/// Bytes that are copied in one go.
const PIECE: usize = 64 * 1024;

/// What came of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moved {
    /// It is in the other store now, with so many bytes.
    Done(u64),
    /// It was not in the store that it was to leave.
    NotThere,
    /// Nobody wants it any more: whoever deleted it removes it.
    Unwanted,
    /// It is in both: the original is being read. Another move ends it.
    Read,
    /// It was broken off, as wished.
    Stopped,
}

/// What a move asks of whoever wants it.
pub trait Wishes {
    /// Whether somebody still refers to the blob. Asked when nobody can delete it any more.
    ///
    /// # Errors
    /// When that cannot be told: nothing is moved then.
    fn is_wanted(&self, id: &BlobId) -> io::Result<bool>;
    /// So many more bytes were copied. Whether it is to go on.
    fn goes_on(&self, bytes: u64) -> bool;
}

impl BothStores {
    /// Whether this blob moves now.
    pub(super) fn is_moving(&self, id: &BlobId) -> bool {
        *self.moving.lock().unwrap_or_else(PoisonError::into_inner) == Some(*id)
    }

    /// How many bytes each of `ids` has in the store that a move to `to` takes them from; they are in
    /// order.
    ///
    /// # Errors
    /// As [`Store::sizes`].
    pub fn sizes_to_move(
        &self,
        ids: &[BlobId],
        to: Place,
    ) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
        self.ends(to).0.sizes(ids)
    }

    /// Many blobs are going to move: no second copies are removed while the result lives.
    pub fn begin_moves(&self) -> Moves<'_> {
        self.moves.fetch_add(1, Ordering::Relaxed);
        Moves(self)
    }

    /// Which of these blobs are in both stores, as long as each is to be. While a move runs
    /// there are none.
    ///
    /// # Errors
    /// As [`Store::sizes`].
    pub fn doubles(&self, blobs: &[(BlobId, u64)]) -> Result<Vec<(BlobId, u64)>, StoreError> {
        if self.moves.load(Ordering::Relaxed) > 0 {
            return Ok(Vec::new());
        }
        let mut left = blobs.to_vec();
        // Where asking costs nothing first.
        for store in [&self.near, &self.far] {
            if left.is_empty() {
                break;
            }
            let ids: Vec<_> = left.iter().map(|(id, _)| *id).collect();
            let mut whole = Vec::new();
            for ((id, size), found) in left.into_iter().zip(store.sizes(&ids)?) {
                match found {
                    Ok(found) if found == size => whole.push((id, size)),
                    Err(error @ StoreError::Refused(_)) => return Err(error),
                    _ => {}
                }
            }
            left = whole;
        }
        Ok(left)
    }

    /// Removes the second copy of a blob of `size` bytes that is in both stores: the one that is not where new blobs
    /// go. Both are read before that; unless they are the same, both stay. Ends when a move begins.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a store is away, [`StoreError::Unavailable`] when the copies differ,
    /// and what else the stores report. Both are where they were.
    pub fn remove_double(
        &self,
        id: &BlobId,
        size: u64,
        wishes: &dyn Wishes,
    ) -> Result<Moved, StoreError> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Moved::Stopped),
        };
        let goes_on = || self.moves.load(Ordering::Relaxed) == 0 && wishes.goes_on(0);
        let _moving = Moving::begin(self, id);
        if !goes_on() {
            return Ok(Moved::Stopped);
        }
        // As in a move.
        if !wishes.is_wanted(id).map_err(StoreError::Refused)? {
            return Ok(Moved::Unwanted);
        }
        let (leaves, stays) = self.ends(self.new_blobs());
        let mut sums = Vec::new();
        for store in [stays, leaves] {
            let copy = match store.open(id) {
                Err(StoreError::NotFound) => return Ok(Moved::NotThere),
                copy => copy?,
            };
            if copy.size() != size {
                return Err(StoreError::Unavailable(io::Error::other(
                    "it is in both places, and one of the copies is not whole: none was removed",
                )));
            }
            let sum = read_all(&*copy, |_| goes_on());
            match sum.map_err(StoreError::Unavailable)? {
                Some(sum) => sums.push(sum),
                None => return Ok(Moved::Stopped),
            }
        }
        if sums
            .windows(2)
            .any(|both| both[0].as_ref() != both[1].as_ref())
        {
            return Err(StoreError::Unavailable(io::Error::other(
                "it is in both places with different bytes: none was removed; disk, memory or bucket may be failing",
            )));
        }
        match leaves.delete(id) {
            Ok(()) => Ok(Moved::Done(size)),
            Err(StoreError::InUse) => Ok(Moved::Read),
            Err(error) => Err(error),
        }
    }

    /// Moves a blob, after whoever is at one now: one at a time.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a store is away, [`StoreError::Full`] when there is no room, and what
    /// else the stores report. The original is where it was.
    pub fn move_blob(
        &self,
        id: &BlobId,
        to: Place,
        wishes: &dyn Wishes,
    ) -> Result<Moved, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _moving = Moving::begin(self, id);
        // Whoever deletes takes the row away first: either the row is gone by now, or the deletion is
        // refused until this is over.
        if !wishes.is_wanted(id).map_err(StoreError::Refused)? {
            return Ok(Moved::Unwanted);
        }
        let (from, target) = self.ends(to);
        let original = match from.open(id) {
            Err(StoreError::NotFound) => return Ok(Moved::NotThere),
            original => original?,
        };
        let size = original.size();
        let left = match size_in(target, id)? {
            // Cut short by a fault: worth nothing, and in the way.
            Some(left) if left != size => {
                target.delete(id)?;
                None
            }
            left => left,
        };
        let sum = match left {
            None => copy(&*original, target, id, wishes)?,
            // A copy that an earlier move has left is looked at in the same way.
            Some(_) => {
                let sum = read_all(&*original, |_| wishes.goes_on(0));
                sum.map_err(StoreError::Unavailable)?
            }
        };
        let Some(sum) = sum else {
            return Ok(Moved::Stopped);
        };
        match size_in(target, id)? {
            Some(copied) if copied == size => {}
            found => {
                return Err(StoreError::Unavailable(io::Error::other(format!(
                    "the copy has {} bytes, and the original {size}",
                    found.unwrap_or(0)
                ))));
            }
        }
        // Nobody has seen since what became of the bytes on their way.
        let stored = target.open(id)?;
        let read = read_all(&*stored, |_| wishes.goes_on(0));
        drop(stored);
        let Some(read) = read.map_err(StoreError::Unavailable)? else {
            return Ok(Moved::Stopped);
        };
        if read.as_ref() != sum.as_ref() {
            target.delete(id)?;
            return Err(StoreError::Unavailable(io::Error::other(
                "the copy has other bytes than the original: disk, memory or bucket may be failing",
            )));
        }
        drop(original);
        match from.delete(id) {
            Ok(()) => Ok(Moved::Done(size)),
            Err(StoreError::InUse) => Ok(Moved::Read),
            Err(error) => Err(error),
        }
    }

    /// Where a move to `to` goes from and to.
    fn ends(&self, to: Place) -> (&dyn Store, &dyn Store) {
        match to {
            Place::Near => (&*self.far, &*self.near),
            Place::Far => (&*self.near, &*self.far),
        }
    }
}

/// A move of many blobs that runs.
pub struct Moves<'a>(&'a BothStores);

impl Drop for Moves<'_> {
    fn drop(&mut self) {
        self.0.moves.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps a blob from being deleted.
struct Moving<'a>(&'a BothStores);

impl<'a> Moving<'a> {
    fn begin(stores: &'a BothStores, id: &BlobId) -> Self {
        *stores.moving.lock().unwrap_or_else(PoisonError::into_inner) = Some(*id);
        Self(stores)
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        *self.0.moving.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn size_in(store: &dyn Store, id: &BlobId) -> Result<Option<u64>, StoreError> {
    match store.open(id) {
        Ok(blob) => Ok(Some(blob.size())),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies all of a blob. Returns the SHA-256 of what was read; nothing when it was to end before that.
fn copy(
    original: &dyn StoredBlob,
    target: &dyn Store,
    id: &BlobId,
    wishes: &dyn Wishes,
) -> Result<Option<Digest>, StoreError> {
    let mut stage = target.stage(id, Some(original.size()))?;
    let mut failed = None;
    let sum = read_all(original, |piece| {
        if !wishes.goes_on(piece.len() as u64) {
            return false;
        }
        failed = stage.write(piece).err();
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let Some(sum) = sum.map_err(StoreError::Unavailable)? else {
        return Ok(None);
    };
    match stage.commit() {
        // What is there is looked at after this.
        Ok(()) | Err(StoreError::Exists) => Ok(Some(sum)),
        Err(error) => Err(error),
    }
}

/// Hands all bytes of a blob on, and returns their SHA-256; nothing when `take` does not want more.
fn read_all(
    blob: &dyn StoredBlob,
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<Option<Digest>> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; PIECE];
    let (size, mut at) = (blob.size(), 0);
    while at < size {
        let left = usize::try_from(size - at).map_or(PIECE, |left| left.min(PIECE));
        let piece = &mut buffer[..left];
        blob.read_exact_at(piece, at)?;
        hash.update(piece);
        if !take(piece) {
            return Ok(None);
        }
        at += left as u64;
    }
    Ok(Some(hash.finish()))
}

#[cfg(test)]
mod tests;
