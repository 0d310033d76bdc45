//! The header of a sealed blob: forty bytes, every bit of them checked or authenticated.

use super::segment::SEGMENT;
use super::{Cipher, SealError, keys};

const MAGIC: [u8; 6] = *b"MAYFLY";
const VERSION: u8 = 1;
const RESERVED: usize = 8;
const PREFIX: usize = 7;
const SALT: usize = 16;

const AT_VERSION: usize = MAGIC.len();
const AT_CIPHER: usize = AT_VERSION + 1;
const AT_SEGMENT_LOG2: usize = AT_CIPHER + 1;
const AT_RESERVED: usize = AT_SEGMENT_LOG2 + 1;
const AT_PREFIX: usize = AT_RESERVED + RESERVED;
const AT_SALT: usize = AT_PREFIX + PREFIX;

/// Bytes of the header.
pub const HEADER: usize = AT_SALT + SALT;
const _: () = assert!(HEADER == 40);

const SEGMENT_LOG2: u8 = SEGMENT.trailing_zeros() as u8;
const _: () = assert!(1 << SEGMENT_LOG2 == SEGMENT);

/// The header of a sealed blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The cipher of its segments.
    pub cipher: Cipher,
    /// First bytes of every nonce.
    pub prefix: [u8; PREFIX],
    /// Salt of the derivation of the segment key.
    pub salt: [u8; SALT],
}

impl Header {
    /// Draws the header of a new blob. Prefix and salt are random, so that even a content key used
    /// twice by mistake would seal under two different keys.
    pub fn draw(cipher: Cipher) -> Self {
        Self {
            cipher,
            prefix: keys::random(),
            salt: keys::random(),
        }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`SealError::NotSealed`], [`SealError::Version`], or [`SealError::Header`] for a field that
    /// has no meaning in version 1 (set reserved bytes among them).
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, SealError> {
        if bytes[..AT_VERSION] != MAGIC {
            return Err(SealError::NotSealed);
        }
        if bytes[AT_VERSION] != VERSION {
            return Err(SealError::Version(bytes[AT_VERSION]));
        }
        let cipher = Cipher::from_code(bytes[AT_CIPHER]).ok_or(SealError::Header)?;
        if bytes[AT_SEGMENT_LOG2] != SEGMENT_LOG2 || bytes[AT_RESERVED..AT_PREFIX] != [0; RESERVED]
        {
            return Err(SealError::Header);
        }
        let mut prefix = [0; PREFIX];
        prefix.copy_from_slice(&bytes[AT_PREFIX..AT_SALT]);
        let mut salt = [0; SALT];
        salt.copy_from_slice(&bytes[AT_SALT..]);
        Ok(Self {
            cipher,
            prefix,
            salt,
        })
    }

    /// The bytes that [`Header::parse`] reads.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..AT_VERSION].copy_from_slice(&MAGIC);
        bytes[AT_VERSION] = VERSION;
        bytes[AT_CIPHER] = self.cipher.code();
        bytes[AT_SEGMENT_LOG2] = SEGMENT_LOG2;
        bytes[AT_PREFIX..AT_SALT].copy_from_slice(&self.prefix);
        bytes[AT_SALT..].copy_from_slice(&self.salt);
        bytes
    }
}
