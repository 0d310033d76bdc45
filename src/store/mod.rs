//! Where the stored bytes are. A store knows names and bytes, nothing of links, keys or formats.
//!
//! Order of a publish (the caller's part is the last step): exclusive create in staging, write
//! once, make durable, move to the final name without replacing, make the directory durable, then
//! one metadata transaction. Deletion runs the other way round.

mod both;
mod compare;
pub mod contract;
mod disk;
mod fault;
#[cfg(test)]
mod forward;
mod memory;
mod moving;
mod reason;
pub mod s3;
mod waiting;

pub use both::{BothStores, Place};
pub use disk::DiskStore;
pub use fault::{Fault, FaultStore, Faults, Operation};
#[cfg(test)]
pub(crate) use forward::forward_assemblies;
pub use memory::MemoryStore;
pub use moving::{Moved, Moves, Wishes};
pub use reason::Reason;
pub use waiting::{Waited, WaitingFile, WaitingFiles};

use crate::model::BlobId;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A place that keeps blobs.
pub trait Store: Send + Sync {
    /// Starts the blob `id`, of `expected` bytes, if known: an estimate that may be wrong in either
    /// direction. Nothing is visible before [`Stage::commit`].
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Full`] at once when `expected` is or does not fit beside the reserve,
    /// [`StoreError::Quota`] when a quota does not give it.
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError>;
    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none of that name.
    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError>;
    /// Deletes a blob. One that is not there is no error: deletion may be repeated.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when it is being read and could not be read on; [`StoreError::Refused`]
    /// when the medium is away, [`StoreError::Unavailable`] when it refuses.
    fn delete(&self, id: &BlobId) -> Result<(), StoreError>;
    /// Deletes what can be deleted without waiting for anybody: for somebody who must not wait.
    /// [`Store::delete`] is still to come, and does the rest where the medium is far away.
    ///
    /// # Errors
    /// As [`Store::delete`].
    fn delete_at_once(&self, id: &BlobId) -> Result<(), StoreError> {
        self.delete(id)
    }
    /// Up to `limit` names above `after`, in order, and fewer only at the end. Works through any number
    /// in flat memory. For finding what nobody refers to: a store that others may write to leaves
    /// out what was stored a short while ago, and refuses when it may not remove anything.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the medium is away or is another's, [`StoreError::Unavailable`]
    /// when it refuses.
    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError>;
    /// Whether there is at least one blob, found without listing them.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the medium is away, [`StoreError::Unavailable`] when it refuses.
    fn is_empty(&self) -> Result<bool, StoreError>;
    /// How many bytes each of `ids` has in the store; they are in order. For looking after many: where
    /// to open each would be dear, this is not.
    ///
    /// # Errors
    /// Of one blob as from [`Store::open`]; of all when nothing can be said of any.
    fn sizes(&self, ids: &[BlobId]) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
        let size = |id| self.open(id).map(|blob| blob.size());
        Ok(ids.iter().map(size).collect())
    }
    /// Removes what an earlier process had staged and never committed. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn sweep_staged(&self) -> Result<u64, StoreError>;
    /// Bytes that uploads may still take: free space less the reserve.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn available(&self) -> Result<u64, StoreError>;

    /// Begins the blob `id`, of exactly `size` bytes, that comes in pieces: in any order, several at
    /// once, over any number of processes. Room for all of it is promised from here on. Durable when
    /// it returns; nothing is visible before [`Assembly::commit`].
    ///
    /// # Errors
    /// As [`Store::stage`]; [`StoreError::Exists`] when it was begun before.
    fn assemble(
        &self,
        id: &BlobId,
        size: u64,
        pieces: Pieces,
    ) -> Result<Arc<dyn Assembly>, StoreError>;
    /// Goes on with a blob that this or an earlier process began to assemble.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was not begun, was committed, or was given up; otherwise as
    /// [`Store::open`].
    fn reassemble(&self, id: &BlobId, size: u64) -> Result<Arc<dyn Assembly>, StoreError>;
    /// Gives up a blob that is being assembled. One that is not there is no error.
    ///
    /// # Errors
    /// As [`Store::delete`].
    fn abandon(&self, id: &BlobId) -> Result<(), StoreError>;
    /// Up to `limit` blobs that are being assembled, with names above `after`, in order, and fewer only at
    /// the end. For finding those that nobody goes on with.
    ///
    /// # Errors
    /// As [`Store::list`].
    fn assemblies(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError>;
}

/// Where the pieces of an assembly will probably begin: at `first`, and then after each `each` bytes. Other
/// pieces are taken as well; these are the cheapest where a store has parts of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pieces {
    /// The end of the first piece, in bytes of the store.
    pub first: u64,
    /// The bytes of each other piece but the last.
    pub each: u64,
}

/// A blob that is being put together. Dropping it changes nothing: it is gone on with by
/// [`Store::reassemble`], or given up by [`Store::abandon`].
pub trait Assembly: Send + Sync {
    /// Begins the piece at `offset`. Pieces may be written at the same time, as long as they do not overlap.
    ///
    /// # Errors
    /// As [`Store::stage`]; [`StoreError::NotFound`] when the blob was committed, or given up.
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError>;
    /// As [`Stage::commit`]; every byte belongs to a finished piece by then.
    ///
    /// # Errors
    /// As [`Stage::commit`]; [`StoreError::NotFound`] when it was committed, or given up.
    fn commit(&self) -> Result<(), StoreError>;
}

/// A piece of a blob that is being assembled. When it is dropped unfinished, its bytes may be there or not,
/// and may be written again.
pub trait Piece: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`StoreError::Differs`] when other bytes than these may have been there before: nothing is ever sealed
    /// over. Otherwise as [`Stage::write`].
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Makes the piece durable. When it returns, its bytes survive a power cut.
    ///
    /// # Errors
    /// As [`Piece::write`], and [`StoreError::NotFound`] when the blob was given up meanwhile. The piece may be
    /// sent again then, but for an error that leaves the outcome unknown, as of [`Stage::commit`].
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// A blob that is being written. Dropping it without [`Stage::commit`] leaves nothing behind.
pub trait Stage: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Quota`] when they do not fit, [`StoreError::Refused`] when
    /// the medium does not take them now, [`StoreError::Unavailable`] otherwise. The stage is of no
    /// use after any.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Makes the bytes durable under the name of the blob. When it returns, they survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken, [`StoreError::Full`] or [`StoreError::Quota`]
    /// when the medium turned out to be, [`StoreError::Refused`]: whatever of it is or will be there
    /// is an orphan then, which the sweep removes. Any other error leaves the outcome unknown: the
    /// blob may be there, now or after a restart, and trying again cannot tell.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// An open blob. It stays readable until it is dropped: a [`Store::delete`] leaves it alone or is refused.
pub trait StoredBlob: Send {
    /// Bytes in the store.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the blob ends before the buffer is full, or what the medium reports.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// The file behind it, where there is one that the kernel can send by itself.
    fn file(&self) -> Option<&File>;
    /// An address at which anybody gets these bytes from where they are, presented like this; `None`
    /// where there is none, or where the settings want none to be handed out. Whoever knows it needs
    /// nothing else: it goes to one recipient and into no log.
    fn address(&self, _: &Presentation<'_>) -> Option<String> {
        None
    }
    /// Waits until it is this reader's turn to read, for those who keep no memory while they wait. The next read
    /// has the turn, and tells what went wrong.
    fn ready(&self) {}
}

/// What a server that is not ours says of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Presentation<'a> {
    /// The `Content-Disposition`, visible ASCII.
    pub disposition: &'a str,
    /// The `Content-Type`, visible ASCII.
    pub content_type: &'a str,
    /// How long the address lives: a download that has begun by then goes on.
    pub lives: Duration,
}

/// What can go wrong with a store.
#[derive(Debug)]
pub enum StoreError {
    /// There is no such blob.
    NotFound,
    /// The name is taken. Names are random: this is a fault, not a coincidence.
    Exists,
    /// Not enough space: `needed` bytes where `available` are left for uploads.
    Full {
        /// Bytes asked for, as far as known.
        needed: u64,
        /// Bytes that uploads may still take.
        available: u64,
    },
    /// No blob of so many bytes can be stored, however much is free.
    TooLarge {
        /// How many can.
        most: u64,
    },
    /// A quota of the file system refused `needed` bytes. How many it would give, nobody tells.
    Quota {
        /// Bytes asked for, as far as known.
        needed: u64,
    },
    /// It is being read.
    InUse,
    /// Other bytes than these may have been there before.
    Differs,
    /// The medium, or this process, has too little of something right now, or the medium is away.
    /// Nothing was changed that anybody can see.
    Refused(io::Error),
    /// The medium failed.
    Unavailable(io::Error),
}

impl StoreError {
    /// Whether the file system takes no writes: nothing was changed, and reading goes on.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "no such blob in the store"),
            Self::Exists => write!(f, "a blob of that name exists already"),
            Self::Full { needed, available } => {
                write!(
                    f,
                    "the store is full: {needed} bytes needed, {available} available"
                )
            }
            Self::TooLarge { most } => {
                write!(
                    f,
                    "the blob has more than {most} bytes, which are the most that can be stored"
                )
            }
            Self::Quota { needed } => {
                write!(f, "the disk quota is used up: {needed} bytes needed")
            }
            Self::InUse => write!(f, "the blob is being read"),
            Self::Differs => write!(f, "other bytes may have been written there before"),
            Self::Refused(_) => write!(f, "the store cannot take it now"),
            Self::Unavailable(_) => write!(f, "the store does not answer"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(e) | Self::Unavailable(e) => Some(e),
            _ => None,
        }
    }
}
