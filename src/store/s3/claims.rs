//! Names that are being given to objects. A server may replace an object although it was asked not
//! to, when two come at once; in this process no two do.

use crate::model::BlobId;
use crate::store::{Assembly, Piece, Stage, StoreError};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names that stages are taking just now.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashSet<BlobId>>);

impl Claims {
    fn names(&self) -> MutexGuard<'_, HashSet<BlobId>> {
        // Each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the name, until what comes back is dropped.
    fn claim(self: Arc<Self>, id: BlobId) -> Result<Claim, StoreError> {
        let is_new = self.names().insert(id);
        match is_new {
            true => Ok(Claim { id, claims: self }),
            false => Err(StoreError::Exists),
        }
    }
}

/// A stage that has its name for itself while it is committed.
pub(super) struct Claiming {
    pub(super) id: BlobId,
    pub(super) stage: Box<dyn Stage>,
    pub(super) claims: Arc<Claims>,
}

impl Stage for Claiming {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.stage.write(bytes)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { id, stage, claims } = *self;
        let _claim = claims.claim(id)?;
        stage.commit()
    }
}

/// The same for a blob that comes in pieces.
pub(super) struct ClaimingAssembly {
    pub(super) id: BlobId,
    pub(super) assembly: Arc<dyn Assembly>,
    pub(super) claims: Arc<Claims>,
}

impl Assembly for ClaimingAssembly {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        self.assembly.piece(offset)
    }

    fn commit(&self) -> Result<(), StoreError> {
        let _claim = Arc::clone(&self.claims).claim(self.id)?;
        self.assembly.commit()
    }
}

struct Claim {
    id: BlobId,
    claims: Arc<Claims>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.names().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, Pieces, Store};

    #[test]
    fn a_blob_in_pieces_and_any_other_are_not_committed_at_once_under_one_name() {
        let (id, claims) = (BlobId([7; 16]), Arc::<Claims>::default());
        let store = MemoryStore::new(None);
        let pieces = Pieces { first: 1, each: 1 };
        let assembly = ClaimingAssembly {
            id,
            assembly: store.assemble(&id, 0, pieces).unwrap(),
            claims: Arc::clone(&claims),
        };
        let held = Arc::clone(&claims).claim(id).unwrap();
        let stage = Claiming {
            id,
            stage: store.stage(&id, None).unwrap(),
            claims: Arc::clone(&claims),
        };
        assert!(matches!(assembly.commit(), Err(StoreError::Exists)));
        assert!(matches!(Box::new(stage).commit(), Err(StoreError::Exists)));
        assert!(store.is_empty().unwrap());
        drop(held);
        assembly.commit().unwrap();
        assert!(claims.names().is_empty());
    }
}
