//! Blobs that are put together from pieces, in memory. Knows which bytes have come.

use super::MemoryStore;
use crate::model::BlobId;
use crate::store::{Assembly, Piece, StoreError};
use std::collections::BTreeMap;
use std::io;

/// Bytes of a block.
const BLOCK: u64 = 4096;

/// A blob of which each byte is there or not.
pub(super) struct Blocks {
    size: u64,
    blocks: BTreeMap<u64, Vec<Option<u8>>>,
}

impl Blocks {
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            blocks: BTreeMap::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Puts bytes where there are none, or the same.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.size.saturating_sub(offset) {
            return Err(StoreError::Unavailable(io::ErrorKind::InvalidInput.into()));
        }
        for compare in [true, false] {
            let (mut at, mut left) = (offset, bytes);
            while !left.is_empty() {
                let block = self.blocks.entry(at / BLOCK);
                let block = block.or_insert_with(|| vec![None; BLOCK as usize]);
                let places = &mut block[(at % BLOCK) as usize..];
                let (now, later) = left.split_at(left.len().min(places.len()));
                let mut both = places.iter_mut().zip(now);
                if compare && both.any(|(there, byte)| there.is_some_and(|there| there != *byte)) {
                    return Err(StoreError::Differs);
                }
                if !compare {
                    both.for_each(|(there, byte)| *there = Some(*byte));
                }
                at += now.len() as u64;
                left = later;
            }
        }
        Ok(())
    }

    /// All of it; nothing while a byte is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let bytes = self.blocks.values().flatten().copied();
        let bytes: Vec<u8> = bytes.flatten().collect();
        (bytes.len() as u64 == self.size).then_some(bytes)
    }
}

/// A blob that is being put together.
pub(super) struct MemoryAssembly {
    store: MemoryStore,
    id: BlobId,
}

impl MemoryAssembly {
    pub(super) fn new(store: &MemoryStore, id: &BlobId) -> Self {
        Self {
            store: store.clone(),
            id: *id,
        }
    }
}

impl Assembly for MemoryAssembly {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        if !self.store.state().assemblies.contains_key(&self.id) {
            return Err(StoreError::NotFound);
        }
        Ok(Box::new(MemoryPiece {
            store: self.store.clone(),
            id: self.id,
            at: offset,
        }))
    }

    fn commit(&self) -> Result<(), StoreError> {
        let mut state = self.store.state();
        let blocks = state.assemblies.get(&self.id).ok_or(StoreError::NotFound)?;
        let missing = || io::Error::other("not every byte of the blob has come");
        let bytes = blocks
            .whole()
            .ok_or_else(|| StoreError::Unavailable(missing()))?;
        if state.blobs.contains_key(&self.id) {
            return Err(StoreError::Exists);
        }
        state.assemblies.remove(&self.id);
        state.blobs.insert(self.id, bytes.into());
        Ok(())
    }
}

struct MemoryPiece {
    store: MemoryStore,
    id: BlobId,
    at: u64,
}

impl Piece for MemoryPiece {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        // What was given up takes bytes all the same, as a file without a name does.
        if let Some(blocks) = self.store.state().assemblies.get_mut(&self.id) {
            blocks.write(self.at, bytes)?;
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let is_there = self.store.state().assemblies.contains_key(&self.id);
        match is_there {
            true => Ok(()),
            false => Err(StoreError::NotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Pieces, Store};

    #[test]
    fn a_blob_with_a_byte_missing_is_not_committed_and_zeros_count_as_bytes() {
        let store = MemoryStore::new(None);
        let id = BlobId([1; 16]);
        let pieces = Pieces { first: 1, each: 1 };
        let assembly = store.assemble(&id, 8193, pieces).unwrap();
        let write = |offset, bytes: &[u8]| assembly.piece(offset).unwrap().write(bytes);
        write(0, &[0; 5000]).unwrap();
        write(5001, &[0; 3192]).unwrap();
        assert!(matches!(assembly.commit(), Err(StoreError::Unavailable(_))));
        assert!(matches!(write(4999, &[1]), Err(StoreError::Differs)));
        assert!(matches!(
            write(8192, &[0; 2]),
            Err(StoreError::Unavailable(_))
        ));
        write(4999, &[0, 7, 0]).unwrap();
        assembly.commit().unwrap();
        let mut byte = [0];
        let blob = store.open(&id).unwrap();
        blob.read_exact_at(&mut byte, 5000).unwrap();
        assert_eq!((byte, blob.size()), ([7], 8193));
    }
}
