//! Room for the database on a disk that fills up or fails.
//!
//! A commit that fails half way leaves its outcome unknown and ends the process; on a full disk it
//! would fail again after each start. So it is looked at before: a change that could fail for want
//! of space is refused while reading goes on, and some megabytes are kept aside, in a file of no
//! use, that are given up when others have filled the disk. They are what deletions and expiry, and
//! with them new space, need.

use super::MetadataError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// More than a transaction writes, in bytes: up to 256 changes of some 30 KiB, were no page shared.
const NEEDED: u64 = 8 << 20;
/// What is kept aside, in bytes.
const KEPT: u64 = 16 << 20;
/// Below this, nothing is kept aside: small disks have better use for it.
const PLENTY: u64 = 128 << 20;

/// What has become of the space that is kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ballast {
    /// It is there.
    Kept,
    /// It is to be had when there is plenty.
    Wanted,
    /// This file system sets nothing aside: it is not tried with every change.
    Impossible,
}

/// Looks before a database file is changed.
pub(super) struct Room {
    database: PathBuf,
    ballast: PathBuf,
    kept: Mutex<Ballast>,
}

impl Room {
    /// Room for the database at `path`. Keeps some aside, if there is plenty.
    pub(super) fn beside(path: &Path) -> Self {
        let ballast = path.with_file_name("ballast");
        let about = fs::symlink_metadata(&ballast);
        let kept = match about.map(|about| about.blocks() * 512 >= KEPT) {
            Ok(true) => Ballast::Kept,
            Ok(false) => {
                // Half of one, from a crash.
                let _half = fs::remove_file(&ballast);
                Ballast::Wanted
            }
            Err(_) => Ballast::Wanted,
        };
        Self {
            kept: Mutex::new(kept),
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
        if free < NEEDED && *kept == Ballast::Kept {
            let removed = fs::remove_file(&self.ballast);
            *kept = Ballast::Wanted;
            log::warn!(
                "the disk is full: what was kept aside for deletions is in use now (removed: {}). Make space soon",
                removed.is_ok()
            );
        } else if free >= PLENTY && *kept == Ballast::Wanted {
            *kept = match self.keep() {
                Ok(()) => Ballast::Kept,
                Err(_) => Ballast::Impossible,
            };
        }
        match *kept == Ballast::Kept || self.free() >= NEEDED {
            true => Ok(()),
            false => Err(MetadataError::Full),
        }
    }

    /// Free bytes; plenty where nobody can tell.
    fn free(&self) -> u64 {
        match statvfs(&self.database) {
            // Some file systems know no sizes, and say that all are 0.
            Ok(s) if s.f_blocks > 0 => s.f_bavail.saturating_mul(s.f_frsize),
            _ => u64::MAX,
        }
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

    /// A room for a database in `dir`, looked at once. `None` where nothing can be kept aside.
    fn looked_at(dir: &Path) -> Option<Room> {
        let database = dir.join("mayfly.redb");
        fs::write(&database, b"x").unwrap();
        let room = Room::beside(&database);
        room.check().unwrap();
        if room.free() < PLENTY || *room.kept.lock().unwrap() != Ballast::Kept {
            eprintln!("LEFT OUT: little space, or nothing can be set aside");
            return None;
        }
        Some(room)
    }

    #[test]
    fn where_there_is_plenty_some_is_really_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let Some(room) = looked_at(dir.path()) else {
            return;
        };
        let about = fs::metadata(dir.path().join("ballast")).unwrap();
        assert!(about.blocks() * 512 >= KEPT);
        assert_eq!(about.mode() & 0o777, 0o600);
        // The next process finds it.
        let next = Room::beside(&room.database);
        assert_eq!(*next.kept.lock().unwrap(), Ballast::Kept);
    }

    #[test]
    fn a_ballast_that_a_crash_left_empty_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = dir.path().join("ballast");
        fs::write(&ballast, b"").unwrap();
        if looked_at(dir.path()).is_some() {
            assert!(fs::metadata(&ballast).unwrap().blocks() * 512 >= KEPT);
        }
    }

    #[test]
    fn what_cannot_be_kept_aside_is_tried_once() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = dir.path().join("ballast");
        fs::create_dir(&ballast).unwrap();
        assert!(looked_at(dir.path()).is_none());
        let room = Room::beside(&dir.path().join("mayfly.redb"));
        room.check().unwrap();
        fs::remove_dir(&ballast).unwrap();
        room.check().unwrap();
        assert!(!ballast.exists());
    }
}
