//! The way in of a whole file, of a length that nobody knows before its end.

use super::copying::{Copying, Sealing};
use super::seal::{Cipher, Header, MAX_PLAINTEXT, Sealer};
use crate::model::Secret;
use crate::store::{Stage, StoreError};
use ring::digest;
use std::fmt;
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

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(_) => write!(f, "the input ended early"),
            Self::TooLarge { limit } => write!(f, "there is more input than {limit} bytes"),
            Self::Store(_) => write!(f, "the input could not be stored"),
        }
    }
}

impl std::error::Error for IntakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(e) => Some(e),
            Self::TooLarge { .. } => None,
            Self::Store(e) => Some(e),
        }
    }
}

/// Reads `input` to its end into `stage`. Does not commit.
///
/// Reads that are interrupted are repeated.
///
/// # Errors
/// [`IntakeError`]; the stage is then to be dropped. A sealed blob holds no more than
/// [`MAX_PLAINTEXT`] bytes, whatever `limit` says.
pub fn receive(
    input: &mut dyn Read,
    stage: &mut dyn Stage,
    layout: &Layout<'_>,
    limit: u64,
) -> Result<Intake, IntakeError> {
    let mut stored = 0;
    let mut write = |bytes: &[u8]| {
        stored += bytes.len() as u64;
        stage.write(bytes).map_err(IntakeError::Store)
    };
    let (sealing, limit) = match layout {
        Layout::Plain => (None, limit),
        Layout::Sealed { cipher, key } => {
            let header = Header::draw(*cipher);
            let sealing = Sealing {
                sealer: Sealer::new(key, &header),
                preceding: Some(header.to_bytes()),
            };
            (Some(sealing), limit.min(MAX_PLAINTEXT))
        }
    };
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut seen = |bytes: &[u8]| hash.update(bytes);
    let mut copying = Copying::new(input, &mut seen, limit);
    copying.run(sealing, 0, &|_| true, &mut write)?;
    let size = copying.size();
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hash.finish().as_ref());
    Ok(Intake {
        size,
        stored,
        sha256,
    })
}

#[cfg(test)]
mod tests;
