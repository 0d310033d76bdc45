//! Why a chunk was not taken, or an upload in chunks not completed.

use crate::service::Error;
use std::fmt;

/// Why a chunk was not taken, or an upload in chunks not completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkError {
    /// This credential has no such upload, any more or yet.
    Unknown,
    /// The file has another size than was declared before.
    SizeDiffers,
    /// The chunk has no byte.
    Empty,
    /// The chunk ends behind the end of the file.
    BeyondEnd,
    /// Some of the bytes came before, in a chunk that begins or ends elsewhere.
    Overlaps,
    /// Other bytes came before for the same place.
    Differs,
    /// The same bytes are coming in right now, or the upload is being completed.
    Running,
    /// These bytes of the file have not come.
    Missing {
        /// The first of them.
        from: u64,
        /// The first after them that has come, or the end of the file.
        to: u64,
    },
    /// The account has as many uploads under way as it may have.
    TooMany {
        /// How many.
        most: u64,
    },
    /// What was stored of the upload is not there any more.
    Lost,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "no upload in chunks of that name is under way"),
            Self::SizeDiffers => {
                write!(f, "the file has another size than its earlier chunks said")
            }
            Self::Empty => write!(f, "the chunk is empty"),
            Self::BeyondEnd => write!(f, "the chunk ends behind the end of the file"),
            Self::Overlaps => write!(
                f,
                "some of these bytes came before in another chunk: send chunks that do not overlap"
            ),
            Self::Differs => write!(
                f,
                "other bytes came before for this place: begin a new upload if the file has changed"
            ),
            Self::Running => write!(
                f,
                "these bytes are coming in right now, or the upload is being completed: try again later"
            ),
            Self::Missing { from, to } => write!(
                f,
                "bytes {from} to {} of the file are missing: send them, then complete again",
                to.saturating_sub(1)
            ),
            Self::TooMany { most } => write!(
                f,
                "{most} uploads in chunks are under way, which is the most for an account: complete some, or let them expire"
            ),
            Self::Lost => write!(f, "what was stored of this upload is lost: begin a new one"),
        }
    }
}

impl From<ChunkError> for Error {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}
