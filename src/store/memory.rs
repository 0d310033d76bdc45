//! Blobs in memory, with or without a limit. For tests of whatever stands above a store; keeps the
//! contract, except that nothing survives the process.

mod assembly;

use super::{Assembly, Pieces, Stage, Store, StoreError, StoredBlob};
use crate::model::BlobId;
use assembly::{Blocks, MemoryAssembly};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blobs in memory.
#[derive(Clone)]
pub struct MemoryStore {
    capacity: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<BlobId, Arc<[u8]>>,
    assemblies: BTreeMap<BlobId, Blocks>,
    /// Bytes that blobs have, and stages and assemblies have or were promised.
    used: u64,
}

impl MemoryStore {
    /// A store that takes `capacity` bytes, or any number.
    pub fn new(capacity: Option<u64>) -> Self {
        Self {
            // Half of the numbers, so that sums of a few lengths stay numbers.
            capacity: capacity.unwrap_or(u64::MAX / 2),
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is made in one step, so a panic elsewhere leaves no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `needed` bytes.
    fn grant(&self, needed: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        let available = self.capacity.saturating_sub(state.used);
        if needed > available {
            return Err(StoreError::Full { needed, available });
        }
        state.used += needed;
        Ok(())
    }
}

impl Store for MemoryStore {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        let granted = expected.unwrap_or(0);
        self.grant(granted)?;
        Ok(Box::new(MemoryStage {
            store: self.clone(),
            id: *id,
            bytes: Vec::new(),
            granted,
        }))
    }

    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        let bytes = self.state().blobs.get(id).cloned();
        bytes.map_or(Err(StoreError::NotFound), |b| Ok(Box::new(MemoryBlob(b))))
    }

    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(bytes) = state.blobs.remove(id) {
            state.used -= bytes.len() as u64;
        }
        Ok(())
    }

    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        Ok(page(&self.state().blobs, after, limit))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.state().blobs.is_empty())
    }

    fn sweep_staged(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn available(&self) -> Result<u64, StoreError> {
        Ok(self.capacity.saturating_sub(self.state().used))
    }

    fn assemble(&self, id: &BlobId, size: u64, _: Pieces) -> Result<Arc<dyn Assembly>, StoreError> {
        self.grant(size)?;
        let mut state = self.state();
        if state.assemblies.contains_key(id) {
            state.used -= size;
            return Err(StoreError::Exists);
        }
        state.assemblies.insert(*id, Blocks::new(size));
        Ok(Arc::new(MemoryAssembly::new(self, id)))
    }

    fn reassemble(&self, id: &BlobId, size: u64) -> Result<Arc<dyn Assembly>, StoreError> {
        match self.state().assemblies.get(id) {
            Some(blocks) if blocks.size() == size => Ok(Arc::new(MemoryAssembly::new(self, id))),
            Some(_) => Err(StoreError::Unavailable(io::ErrorKind::InvalidData.into())),
            None => Err(StoreError::NotFound),
        }
    }

    fn abandon(&self, id: &BlobId) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(blocks) = state.assemblies.remove(id) {
            state.used -= blocks.size();
        }
        Ok(())
    }

    fn assemblies(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        Ok(page(&self.state().assemblies, after, limit))
    }
}

/// Up to `limit` names above `after`.
fn page<T>(all: &BTreeMap<BlobId, T>, after: Option<&BlobId>, limit: usize) -> Vec<BlobId> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let above = all.range((from, Bound::Unbounded));
    above.take(limit).map(|(id, _)| *id).collect()
}

struct MemoryStage {
    store: MemoryStore,
    id: BlobId,
    bytes: Vec<u8>,
    granted: u64,
}

impl Stage for MemoryStage {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let end = self.bytes.len() as u64 + bytes.len() as u64;
        let more = end.saturating_sub(self.granted);
        self.store.grant(more)?;
        self.granted += more;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let mut state = self.store.state();
        if state.blobs.contains_key(&self.id) {
            drop(state);
            return Err(StoreError::Exists);
        }
        let (id, length) = (self.id, self.bytes.len() as u64);
        state.used -= self.granted - length;
        // `drop` returns what is still granted: nothing, now.
        let bytes = std::mem::take(&mut self.bytes);
        state.blobs.insert(id, bytes.into());
        drop(state);
        self.granted = 0;
        Ok(())
    }
}

impl Drop for MemoryStage {
    fn drop(&mut self) {
        self.store.state().used -= self.granted;
    }
}

struct MemoryBlob(Arc<[u8]>);

impl StoredBlob for MemoryBlob {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let bytes = self.0.get(start..end);
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn it_keeps_the_contract() {
        contract::check(&|| Box::new(MemoryStore::new(None)));
        contract::check_assemblies(&|| Box::new(MemoryStore::new(None)), 300_000);
    }

    #[test]
    fn what_is_staged_counts_until_it_is_dropped_and_what_is_stored_until_it_is_deleted() {
        let store = MemoryStore::new(Some(100));
        let id = BlobId([1; 16]);
        let mut stage = store.stage(&id, Some(60)).unwrap();
        assert_eq!(store.available().unwrap(), 40);
        assert!(matches!(
            store.stage(&id, Some(41)),
            Err(StoreError::Full {
                needed: 41,
                available: 40
            })
        ));
        stage.write(&[1; 50]).unwrap();
        assert_eq!(store.available().unwrap(), 40);
        stage.commit().unwrap();
        assert_eq!(store.available().unwrap(), 50);
        let mut stage = store.stage(&BlobId([2; 16]), None).unwrap();
        stage.write(&[1; 50]).unwrap();
        assert!(matches!(
            stage.write(&[1]),
            Err(StoreError::Full {
                needed: 1,
                available: 0
            })
        ));
        drop(stage);
        store.delete(&id).unwrap();
        assert_eq!(store.available().unwrap(), 100);
    }
}
