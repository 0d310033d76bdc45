//! A store that fails when it is told to: a test double around any other store.
//!
//! Every call of [`Store`], [`Stage`], [`StoredBlob`], [`Assembly`] and [`Piece`](super::Piece) counts as one
//! operation (sizes and files do not: they cannot fail). A test runs once to count the operations of a story, then once for
//! each of them with a fault there.

mod assembly;

use super::{Assembly, Pieces, Presentation, Stage, Store, StoreError, StoredBlob};
use crate::model::BlobId;
use assembly::FaultAssembly;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named after the calls that they stand for")]
pub enum Operation {
    Stage,
    Write,
    Commit,
    Open,
    Read,
    Delete,
    List,
    IsEmpty,
    SweepStaged,
    Available,
    Assemble,
    Reassemble,
    Abandon,
    Assemblies,
    BeginPiece,
    WritePiece,
    FinishPiece,
    CommitAssembly,
}

/// How it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// [`StoreError::Full`] without effect; for a read, an I/O error.
    Full,
    /// [`StoreError::Quota`] without effect; for a read, an I/O error.
    Quota,
    /// [`StoreError::Refused`] without effect; for a read, an I/O error.
    Refused,
    /// [`StoreError::Unavailable`] without effect.
    Unavailable,
    /// The operation is done, and reported as [`StoreError::Unavailable`]: outcome unknown.
    DoneButUnavailable,
    /// A write takes half of the bytes, then [`StoreError::Full`]. A read fills half of the
    /// buffer, then `UnexpectedEof`. Anything else fails as with `Unavailable`.
    Short,
    /// This and every later operation fails with [`StoreError::Unavailable`] and has no effect:
    /// the medium, or the process, is gone.
    Gone,
}

#[derive(Default)]
struct Plan {
    operations: u64,
    fault: Option<Planned>,
    gone: bool,
}

struct Planned {
    only: Option<Operation>,
    /// How many matching operations still go well.
    after: u64,
    fault: Fault,
}

/// The handle by which a test says what is to fail.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    /// Operations so far, failed ones among them.
    pub fn operations(&self) -> u64 {
        self.plan().operations
    }

    /// After `after` more operations that go well, the next one fails, once. Replaces what was
    /// planned before.
    pub fn fail_after(&self, after: u64, fault: Fault) {
        self.arm(None, after, fault);
    }

    /// As [`Faults::fail_after`], counting only operations of one kind.
    pub fn fail_after_only(&self, operation: Operation, after: u64, fault: Fault) {
        self.arm(Some(operation), after, fault);
    }

    /// All goes well again.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.fault = None;
        plan.gone = false;
    }

    fn arm(&self, only: Option<Operation>, after: u64, fault: Fault) {
        self.plan().fault = Some(Planned { only, after, fault });
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and says how it is to fail.
    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.plan();
        plan.operations += 1;
        if plan.gone {
            return Some(Fault::Gone);
        }
        let planned = plan.fault.as_mut()?;
        if planned.only.is_some_and(|only| only != operation) {
            return None;
        }
        if planned.after > 0 {
            planned.after -= 1;
            return None;
        }
        let fault = planned.fault;
        plan.fault = None;
        plan.gone = fault == Fault::Gone;
        Some(fault)
    }

    fn run<T>(
        &self,
        operation: Operation,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.next(operation) {
            None => work(),
            Some(Fault::Full) => Err(full()),
            Some(Fault::Quota) => Err(StoreError::Quota { needed: 1 }),
            Some(Fault::Refused) => Err(StoreError::Refused(injected())),
            Some(Fault::DoneButUnavailable) => {
                work()?;
                Err(unavailable())
            }
            Some(Fault::Unavailable | Fault::Short | Fault::Gone) => Err(unavailable()),
        }
    }

    fn write(
        &self,
        operation: Operation,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.next(operation) {
            None => write(bytes),
            Some(Fault::Full) => Err(full()),
            Some(Fault::Quota) => Err(StoreError::Quota { needed: 1 }),
            Some(Fault::Refused) => Err(StoreError::Refused(injected())),
            Some(Fault::Short) => {
                write(&bytes[..bytes.len() / 2])?;
                Err(full())
            }
            Some(Fault::DoneButUnavailable) => {
                write(bytes)?;
                Err(unavailable())
            }
            Some(Fault::Unavailable | Fault::Gone) => Err(unavailable()),
        }
    }
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}

fn unavailable() -> StoreError {
    StoreError::Unavailable(injected())
}

fn full() -> StoreError {
    StoreError::Full {
        needed: 1,
        available: 0,
    }
}

/// A store that fails when its [`Faults`] say so.
pub struct FaultStore {
    inner: Box<dyn Store>,
    faults: Faults,
}

impl FaultStore {
    /// Wraps a store, and gives the handle to its faults. Without any it is as good as `inner`.
    pub fn new(inner: Box<dyn Store>) -> (Self, Faults) {
        let faults = Faults::default();
        let store = Self {
            inner,
            faults: faults.clone(),
        };
        (store, faults)
    }
}

impl Store for FaultStore {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        let inner = self
            .faults
            .run(Operation::Stage, || self.inner.stage(id, expected))?;
        Ok(Box::new(FaultStage {
            inner,
            faults: self.faults.clone(),
        }))
    }

    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        let inner = self.faults.run(Operation::Open, || self.inner.open(id))?;
        Ok(Box::new(FaultBlob {
            inner,
            faults: self.faults.clone(),
        }))
    }

    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        self.faults.run(Operation::Delete, || self.inner.delete(id))
    }

    fn delete_at_once(&self, id: &BlobId) -> Result<(), StoreError> {
        self.faults
            .run(Operation::Delete, || self.inner.delete_at_once(id))
    }

    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.faults
            .run(Operation::List, || self.inner.list(after, limit))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.faults
            .run(Operation::IsEmpty, || self.inner.is_empty())
    }

    fn sweep_staged(&self) -> Result<u64, StoreError> {
        self.faults
            .run(Operation::SweepStaged, || self.inner.sweep_staged())
    }

    fn available(&self) -> Result<u64, StoreError> {
        self.faults
            .run(Operation::Available, || self.inner.available())
    }

    fn assemble(
        &self,
        id: &BlobId,
        size: u64,
        pieces: Pieces,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        let begin = || self.inner.assemble(id, size, pieces);
        let inner = self.faults.run(Operation::Assemble, begin)?;
        Ok(self.assembly(inner))
    }

    fn reassemble(&self, id: &BlobId, size: u64) -> Result<Arc<dyn Assembly>, StoreError> {
        let resume = || self.inner.reassemble(id, size);
        let inner = self.faults.run(Operation::Reassemble, resume)?;
        Ok(self.assembly(inner))
    }

    fn abandon(&self, id: &BlobId) -> Result<(), StoreError> {
        self.faults
            .run(Operation::Abandon, || self.inner.abandon(id))
    }

    fn assemblies(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        let list = || self.inner.assemblies(after, limit);
        self.faults.run(Operation::Assemblies, list)
    }
}

impl FaultStore {
    fn assembly(&self, inner: Arc<dyn Assembly>) -> Arc<dyn Assembly> {
        Arc::new(FaultAssembly {
            inner,
            faults: self.faults.clone(),
        })
    }
}

struct FaultStage {
    inner: Box<dyn Stage>,
    faults: Faults,
}

impl Stage for FaultStage {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.faults
            .write(Operation::Write, bytes, |bytes| self.inner.write(bytes))
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { inner, faults } = *self;
        faults.run(Operation::Commit, || inner.commit())
    }
}

struct FaultBlob {
    inner: Box<dyn StoredBlob>,
    faults: Faults,
}

impl StoredBlob for FaultBlob {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.faults.next(Operation::Read) {
            None => self.inner.read_exact_at(buffer, offset),
            Some(Fault::Short) => {
                let half = buffer.len() / 2;
                self.inner.read_exact_at(&mut buffer[..half], offset)?;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Some(_) => Err(injected()),
        }
    }

    /// None: what the kernel reads by itself, this store could not make fail.
    fn file(&self) -> Option<&File> {
        None
    }

    fn address(&self, shown: &Presentation<'_>) -> Option<String> {
        self.inner.address(shown)
    }
}

#[cfg(test)]
mod tests;
