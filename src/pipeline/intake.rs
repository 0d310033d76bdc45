//! The way in: read, count, hash, seal, write, in one pass with fixed buffers.

use super::seal::Cipher;
use crate::model::Secret;
use crate::store::{Stage, StoreError};
use std::io::{self, Read};

/// How the bytes are to be stored.
pub enum Layout<'a> {
    /// As they come.
    Plain,
    /// Sealed under a content key that has never sealed anything.
    Sealed {
        /// The cipher; [`Cipher::for_this_cpu`] outside tests.
        cipher: Cipher,
        /// The content key.
        key: &'a Secret,
    },
}

/// What was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intake {
    /// Bytes of the plaintext.
    pub size: u64,
    /// Bytes written to the stage.
    pub stored: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
}

/// Why receiving stopped.
#[derive(Debug)]
pub enum IntakeError {
    /// The input failed: cut, too slow, or malformed.
    Input(io::Error),
    /// There is more input than `limit` bytes.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The store failed.
    Store(StoreError),
}

/// Reads `input` to its end into `stage`. Does not commit.
///
/// # Errors
/// [`IntakeError`]; the stage is then to be dropped.
pub fn receive(
    _input: &mut dyn Read,
    _stage: &mut dyn Stage,
    _layout: &Layout<'_>,
    _limit: u64,
) -> Result<Intake, IntakeError> {
    todo!()
}
