//! Why the service did not do it. Each dialect maps these to its own words, exhaustively.

use super::ChunkError;
use std::fmt;
use std::time::Duration;

/// Why the service did not do it.
#[derive(Debug)]
pub enum Error {
    /// No such credential, or one without this permission.
    Unauthorized,
    /// The thing belongs to somebody else.
    Forbidden,
    /// Unknown, expired, used up or deleted: nobody is told which.
    NotFound,
    /// The link has a password and none was given (or it was given too long ago).
    PasswordNeeded,
    /// That is not the password.
    WrongPassword,
    /// Open downloads hold all that are left; one may come back after this time.
    Busy(Duration),
    /// Too many failures from there, or too many password checks waiting.
    TooMany(Duration),
    /// The file is larger than `limit` bytes.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The file does not fit: `available` bytes are left for uploads.
    Full {
        /// Bytes that uploads may still take.
        available: u64,
    },
    /// The disk of the database is full: nothing new fits before there is space.
    DatabaseFull,
    /// A disk quota is used up: nothing new fits before files are deleted or the quota is raised.
    Quota,
    /// The file system has turned read-only: what is there can be read, nothing can be changed.
    ReadOnly,
    /// The object storage cannot take or give bytes now; carries why, as far as anybody may know it, and the remedy.
    Away(String),
    /// A value makes no sense; carries what and the remedy.
    Invalid(String),
    /// A chunk was not taken, or an upload in chunks not completed.
    Chunk(ChunkError),
    /// The client's body failed: cut short, too slow, or malformed.
    Input(std::io::Error),
    /// The stored bytes are damaged or missing.
    Damaged,
    /// Something of ours failed; the cause is in the log, not in the answer.
    Internal(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => write!(f, "unauthorized"),
            Self::Forbidden => write!(f, "this belongs to another account"),
            Self::NotFound => write!(f, "not found"),
            Self::PasswordNeeded => write!(f, "a password is needed"),
            Self::WrongPassword => write!(f, "wrong password"),
            Self::Busy(after) => {
                write!(
                    f,
                    "all remaining downloads are in progress, try again in {} s",
                    after.as_secs()
                )
            }
            Self::TooMany(after) => {
                write!(f, "too many attempts, try again in {} s", after.as_secs())
            }
            Self::TooLarge { limit } => {
                write!(f, "the file is larger than the limit of {limit} bytes")
            }
            Self::Full { available } => {
                write!(
                    f,
                    "not enough space on the server: {available} bytes are left for uploads"
                )
            }
            Self::DatabaseFull => write!(
                f,
                "the disk of the database is full: nothing can be stored before there is space"
            ),
            Self::Quota => write!(
                f,
                "the disk quota of the server is used up: nothing can be stored before files are deleted or the quota is raised"
            ),
            Self::ReadOnly => write!(f, "the disk of the server takes no changes at the moment"),
            Self::Away(why) => write!(f, "the storage of the server is not to be had now: {why}"),
            Self::Invalid(what) => write!(f, "{what}"),
            Self::Chunk(why) => write!(f, "{why}"),
            Self::Input(e) => write!(f, "the upload broke off: {e}"),
            Self::Damaged => write!(f, "the stored file is damaged"),
            Self::Internal(_) => write!(f, "internal error, see the log of the server"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(e) => Some(e),
            _ => None,
        }
    }
}
