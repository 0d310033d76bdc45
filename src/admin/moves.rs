//! Files on their way from the disk into the bucket, or back: what whoever looks after the server can
//! ask for and see. Who moves them is put in by `app`.

use serde::{Deserialize, Serialize};

/// Where files are to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Destination {
    /// In the data directory.
    Disk,
    /// In the bucket.
    S3,
}

/// How far a move is.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveState {
    /// It goes on.
    pub runs: bool,
    /// Files that are over there now, of this move.
    pub files: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Files that stay where they are for now: they are being read, or could not be copied.
    pub left: u64,
    /// Why it waits, or why it ended before its time.
    pub problem: Option<String>,
    /// Whether new files go there, too.
    pub new_files_follow: bool,
}

/// Moves files.
pub trait Moves: Send + Sync {
    /// Starts a move, unless the same one runs already.
    ///
    /// # Errors
    /// Why it cannot start, and the remedy.
    fn start(&self, to: Destination) -> Result<(), String>;
    /// How far the last one is.
    fn state(&self) -> MoveState;
    /// Ends it after the bytes that it is at. What was moved stays so.
    fn stop(&self);
}
