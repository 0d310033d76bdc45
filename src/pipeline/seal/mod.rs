//! Sealing: how bytes become unreadable to whoever has only the disk.
//!
//! `keys` derives and wraps keys; the rest is the format of a sealed blob, version 1:
//!
//! ```text
//! blob     = header, segment 0, segment 1, ... last segment
//!
//! header   = magic  version  cipher  log2(segment)  reserved  nonce prefix  salt
//!   bytes    6      1        1       1              8         7             16      = 40
//!   value    MAYFLY 1        1 | 2   14             zeros     random        random
//!
//! segment  = ciphertext (16,384; the last one 1 to 16,384), tag (16)
//!
//! key      = HKDF-SHA-256(ikm: content key, salt: salt, info: "mayfly/1/segments"), 32 bytes
//! nonce    = nonce prefix (7), number of the segment (32 bits, big endian), last (1: 0 or 1)
//! AAD      = the whole header
//! cipher   = 1: AES-256-GCM (NIST SP 800-38D)   2: ChaCha20-Poly1305 (RFC 8439)
//! ```
//!
//! The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015). The empty file is the
//! header and one empty last segment; no other segment is empty. So each length of plaintext has
//! one length in the store, and the other way round ([`stored_len`], [`plaintext_len`]). The
//! counter bounds a blob to 2^32 segments: 64 TiB of plaintext ([`MAX_PLAINTEXT`]).
//!
//! What makes a changed blob an error before any byte of the changed segment leaves: the number in
//! the nonce (order, duplicates), the flag (truncation, extension), the derived key (segments of
//! another blob) and the header as associated data (every bit of it).

mod cipher;
mod header;
pub mod keys;
mod segment;
#[cfg(test)]
mod tests;

pub use cipher::Cipher;
pub use header::{HEADER, Header};
pub(in crate::pipeline) use segment::segment_start;
pub use segment::{
    MAX_PLAINTEXT, Opener, SEGMENT, SEGMENTS_MAX, Sealer, TAG, open_all, plaintext_len, seal_all,
    stored_len,
};

use std::fmt;

/// Why something does not seal or open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealError {
    /// It does not begin as a sealed blob does.
    NotSealed,
    /// It has a format version that this program does not know.
    Version(u8),
    /// A field of the header has a value that version 1 does not allow.
    Header,
    /// No plaintext seals to this length, or a segment has a length that it must not have.
    Length,
    /// There are more than 2^32 segments, or one after the last.
    TooLong,
    /// The segment of this number is not what was sealed there under this key.
    Segment(u64),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => write!(f, "not a sealed blob"),
            Self::Version(v) => write!(f, "a sealed blob of the unknown format version {v}"),
            Self::Header => write!(f, "the header of the sealed blob is malformed"),
            Self::Length => write!(f, "no sealed blob has this length"),
            Self::TooLong => write!(f, "more segments than a sealed blob can have"),
            Self::Segment(n) => write!(f, "segment {n} is not authentic"),
        }
    }
}

impl std::error::Error for SealError {}
