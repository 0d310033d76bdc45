//! An upload that comes in chunks: what is known of it while it is under way.

use super::{AccountId, BlobFormat, BlobId, Lookup, Timestamp};

/// An upload in chunks, as the database holds it: nothing in it opens the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkSession {
    /// Hash of who uploads and of the name that the client gave it, and the key of the row.
    pub lookup: Lookup,
    /// Who uploads.
    pub owner: AccountId,
    /// The stored bytes, which are put together. No other upload ever has the same.
    pub blob: BlobId,
    /// How they are laid out.
    pub format: BlobFormat,
    /// Bytes of the plaintext, as the first chunk declared them.
    pub size: u64,
    /// The header of a sealed blob; zeros when it is plain.
    pub header: [u8; 40],
    /// The content key, wrapped under the owner's account key.
    pub by_owner: Vec<u8>,
    /// When the first chunk came.
    pub begun: Timestamp,
    /// When the last one came.
    pub touched: Timestamp,
}

/// A chunk whose bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Where it begins, in bytes of the plaintext.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Keyed hash of them: tells whether a chunk that is sent again is the same.
    pub digest: [u8; 16],
}

impl Chunk {
    /// The first byte after it, pinned to the end of the range.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}
