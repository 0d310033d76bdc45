//! What can go wrong with the database, in words that name the remedy.

use std::fmt;

/// What can go wrong with the database.
#[derive(Clone, Debug)]
pub enum MetadataError {
    /// A commit failed: it may have happened or not. The process must stop and start again.
    OutcomeUnknown(String),
    /// A record or the file does not check out. Carries what and where.
    Corrupt(String),
    /// The file was written by a newer Mayfly.
    TooNew {
        /// Schema of the file.
        found: u32,
        /// Newest schema that this program knows.
        known: u32,
    },
    /// Another process has the file.
    InUse,
    /// The disk is full, and so is what was kept aside. Nothing was changed, and reading goes on.
    Full,
    /// As [`MetadataError::Full`], of a quota: the disk itself may have plenty.
    Quota,
    /// The file system takes no writes any more. Nothing was changed, and reading goes on.
    ReadOnly,
    /// Opening or reading failed.
    Unavailable(String),
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutcomeUnknown(what) => {
                write!(f, "a commit failed and its outcome is unknown: {what}")
            }
            Self::Corrupt(what) => write!(f, "the database is damaged: {what}"),
            Self::TooNew { found, known } => write!(
                f,
                "the database has schema {found}, this program knows up to {known}: install the newer Mayfly that wrote it"
            ),
            Self::InUse => write!(
                f,
                "the database is in use: another Mayfly runs on this data directory"
            ),
            Self::Full => write!(f, "the disk of the database is full: make space"),
            Self::Quota => write!(
                f,
                "the disk quota of the user that runs Mayfly is used up: delete files, or have the quota raised"
            ),
            Self::ReadOnly => write!(
                f,
                "the file system of the database is read-only: its disk may be failing. Read what the kernel says of it (dmesg), \
                 save the data, and mount it again before the next start"
            ),
            Self::Unavailable(what) => write!(f, "the database does not answer: {what}"),
        }
    }
}

impl std::error::Error for MetadataError {}
