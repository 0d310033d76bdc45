//! Assemblies that fail when they are told to.

use super::{Faults, Operation};
use crate::store::{Assembly, Piece, StoreError};
use std::sync::Arc;

pub(super) struct FaultAssembly {
    pub(super) inner: Arc<dyn Assembly>,
    pub(super) faults: Faults,
}

impl Assembly for FaultAssembly {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        let inner = self
            .faults
            .run(Operation::BeginPiece, || self.inner.piece(offset))?;
        Ok(Box::new(FaultPiece {
            inner,
            faults: self.faults.clone(),
        }))
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.faults
            .run(Operation::CommitAssembly, || self.inner.commit())
    }
}

struct FaultPiece {
    inner: Box<dyn Piece>,
    faults: Faults,
}

impl Piece for FaultPiece {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.faults.write(Operation::WritePiece, bytes, |bytes| {
            self.inner.write(bytes)
        })
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self { inner, faults } = *self;
        faults.run(Operation::FinishPiece, || inner.finish())
    }
}
