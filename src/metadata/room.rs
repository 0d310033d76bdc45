//! Room for the database on a disk that fills up or fails.
//!
//! A commit that fails half way leaves its outcome unknown and ends the process; on a full disk it
//! would fail again after each start. So it is looked at before: a change that could fail for want
//! of space is refused while reading goes on, and a few megabytes are kept aside, in a file of no
//! use, that are given up when others have filled the disk. They are what deletions and expiry, and
//! with them new space, need.

use super::MetadataError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// More than a transaction writes, in bytes: up to 256 changes of some 30 KiB share pages.
const NEEDED: u64 = 2 << 20;
/// What is kept aside, in bytes.
const KEPT: u64 = 4 << 20;
/// Below this, nothing is kept aside: small disks have better use for it.
const PLENTY: u64 = 64 << 20;

/// Looks before a database file is changed.
pub(super) struct Room {
    database: PathBuf,
    ballast: PathBuf,
    /// Whether the ballast is there.
    kept: Mutex<bool>,
}

impl Room {
    /// Room for the database at `path`. Keeps some aside, if there is plenty.
    pub(super) fn beside(path: &Path) -> Self {
        let ballast = path.with_file_name("ballast");
        Self {
            kept: Mutex::new(ballast.symlink_metadata().is_ok()),
            database: path.to_owned(),
            ballast,
        }
    }

    /// Whether a change can be made.
    ///
    /// # Errors
    /// [`MetadataError::ReadOnly`], [`MetadataError::Full`].
    pub(super) fn check(&self) -> Result<(), MetadataError> {
        // A file system that its disk has failed refuses this. Whatever else is wrong shows later.
        if let Err(e) = OpenOptions::new().write(true).open(&self.database)
            && e.kind() == ErrorKind::ReadOnlyFilesystem
        {
            return Err(MetadataError::ReadOnly);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.free();
        if free < NEEDED && *kept {
            let removed = fs::remove_file(&self.ballast);
            *kept = false;
            log::warn!(
                "the disk is full: what was kept aside for deletions is in use now (removed: {}). Make space soon",
                removed.is_ok()
            );
        } else if free >= PLENTY && !*kept {
            *kept = self.keep().is_ok();
        }
        match *kept || self.free() >= NEEDED {
            true => Ok(()),
            false => Err(MetadataError::Full),
        }
    }

    /// Free bytes; plenty where nobody can tell.
    fn free(&self) -> u64 {
        statvfs(&self.database).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
    }

    fn keep(&self) -> std::io::Result<()> {
        let file: File = OpenOptions::new()
            .write(true)
            // Never something else that bears its name.
            .create_new(true)
            .mode(0o600)
            .open(&self.ballast)?;
        let kept = fallocate(&file, FallocateFlags::empty(), 0, KEPT);
        if kept.is_err() {
            // A file system that cannot set space aside: no ballast then.
            let _half = fs::remove_file(&self.ballast);
        }
        Ok(kept?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn where_there_is_plenty_some_is_really_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("mayfly.redb");
        fs::write(&database, b"x").unwrap();
        let room = Room::beside(&database);
        room.check().unwrap();
        if room.free() < PLENTY || !*room.kept.lock().unwrap() {
            eprintln!("LEFT OUT: little space, or nothing can be set aside");
            return;
        }
        let about = fs::metadata(dir.path().join("ballast")).unwrap();
        assert!(about.blocks() * 512 >= KEPT);
        assert_eq!(about.mode() & 0o777, 0o600);
        // The next process finds it.
        assert!(*Room::beside(&database).kept.lock().unwrap());
    }
}
