//! Room for the database on a disk that fills up or fails.
//!
//! A commit that fails half way leaves its outcome unknown and ends the process; on a full disk it
//! would fail again after each start. So it is looked at before: a change that could fail for want
//! of space is refused while reading goes on, and some megabytes are kept aside, in a file of no
//! use, that are given up when others have filled the disk. They are what deletions and expiry, and
//! with them new space, need.
//!
//! A quota (`EDQUOT`) shows in no number that can be looked at: the disk has plenty, and refuses. So
//! a write of the database that is refused gives up what is kept aside and is made again (see
//! `backend`). From then on nothing is changed unless at least what one transaction needs is held in
//! that file, and nothing is added before all of it is there again.

use super::MetadataError;
use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More than a transaction writes, in bytes: up to 256 changes of some 30 KiB, were no page shared.
const NEEDED: u64 = 8 << 20;
/// What is kept aside, in bytes.
const KEPT: u64 = 16 << 20;
/// By how much less is taken each time that a quota does not give it, in bytes.
const STEP: u64 = 1 << 20;
/// Below this, nothing is kept aside: small disks have better use for it.
const PLENTY: u64 = 128 << 20;
/// Everybody may ask whether there is room for more. The disk is asked again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// What has become of the space that is kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ballast {
    /// It is there.
    Kept,
    /// It is to be had when there is plenty.
    Wanted,
    /// This file system sets nothing aside: it is not tried with every change.
    Impossible,
    /// The file system refuses space, whatever it says of itself.
    Short(Short),
}

/// How the file system refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Short {
    /// Whether at least [`NEEDED`] bytes are in the file.
    held: bool,
    /// Whether it was a quota.
    quota: bool,
    /// When it was asked last.
    asked: Option<Instant>,
}

impl Short {
    fn error(self) -> MetadataError {
        match self.quota {
            true => MetadataError::Quota,
            false => MetadataError::Full,
        }
    }
}

/// Looks before a database file is changed.
#[derive(Debug)]
pub(super) struct Room {
    database: PathBuf,
    ballast: PathBuf,
    kept: Mutex<Ballast>,
    set_aside: fn(&File, u64) -> rustix::io::Result<()>,
}

impl Room {
    /// Room for the database at `path`. Keeps some aside, if there is plenty.
    pub(super) fn beside(path: &Path) -> Self {
        let ballast = path.with_file_name("ballast");
        let about = fs::symlink_metadata(&ballast);
        let kept = match about.map(|about| about.blocks() * 512) {
            Ok(KEPT..) => Ballast::Kept,
            // From a time when there was no more.
            Ok(NEEDED..) => Ballast::Short(Short {
                held: true,
                quota: true,
                asked: None,
            }),
            Ok(_) => {
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
            set_aside: |file, length| fallocate(file, FallocateFlags::empty(), 0, length),
        }
    }

    /// Whether a change can be made.
    ///
    /// # Errors
    /// [`MetadataError::ReadOnly`], [`MetadataError::Full`], [`MetadataError::Quota`].
    pub(super) fn check(&self) -> Result<(), MetadataError> {
        // A file system that its disk has failed refuses this. Whatever else is wrong shows later.
        if let Err(e) = OpenOptions::new().write(true).open(&self.database)
            && e.kind() == ErrorKind::ReadOnlyFilesystem
        {
            return Err(MetadataError::ReadOnly);
        }
        let mut kept = self.kept();
        let free = self.free();
        if free < NEEDED && *kept == Ballast::Kept {
            let removed = fs::remove_file(&self.ballast);
            *kept = Ballast::Wanted;
            log::warn!(
                "the disk is full: what was kept aside for deletions is in use now (removed: {}). Make space soon",
                removed.is_ok()
            );
        } else if free >= PLENTY && *kept == Ballast::Wanted {
            *kept = match self.keep(KEPT) {
                Ok(()) => Ballast::Kept,
                Err(e) => refused(&e).map_or(Ballast::Impossible, Ballast::Short),
            };
        }
        if let Ballast::Short(short) = *kept {
            *kept = self.regain(short);
        }
        match *kept {
            Ballast::Kept => Ok(()),
            // The change may well have made space: whoever asks next is told what is true then.
            Ballast::Short(short) => {
                let asked = None;
                *kept = Ballast::Short(Short { asked, ..short });
                match short.held {
                    true => Ok(()),
                    false => Err(short.error()),
                }
            }
            Ballast::Wanted | Ballast::Impossible => match self.free() >= NEEDED {
                true => Ok(()),
                false => Err(MetadataError::Full),
            },
        }
    }

    /// Whether more may be stored: not while a file system that refuses space has not given back all
    /// that is kept aside. Costs nothing otherwise.
    ///
    /// # Errors
    /// [`MetadataError::Full`], [`MetadataError::Quota`].
    pub(super) fn check_for_more(&self) -> Result<(), MetadataError> {
        let mut kept = self.kept();
        if let Ballast::Short(short) = *kept
            && short.asked.is_none_or(|asked| asked.elapsed() >= AGAIN)
        {
            *kept = self.regain(short);
        }
        match *kept {
            Ballast::Short(short) => Err(short.error()),
            Ballast::Kept | Ballast::Wanted | Ballast::Impossible => Ok(()),
        }
    }

    /// A write failed with `error`. If it was for want of space, what is kept aside is given up, and
    /// the answer is true: it is worth to be tried again.
    pub(super) fn give_up(&self, error: &io::Error) -> bool {
        let Some(short) = refused(error) else {
            return false;
        };
        let mut kept = self.kept();
        let held = match *kept {
            Ballast::Kept => true,
            Ballast::Short(before) => before.held,
            Ballast::Wanted | Ballast::Impossible => false,
        };
        *kept = Ballast::Short(short);
        if !held {
            // Somebody may have looked for space just now, and taken it away for a moment.
            return true;
        }
        let removed = fs::remove_file(&self.ballast);
        log::warn!(
            "{error}: what was kept aside for deletions is in use now (removed: {}). Make space soon{}",
            removed.is_ok(),
            if short.quota {
                ", or have the quota of the user that runs Mayfly raised"
            } else {
                ""
            }
        );
        true
    }

    /// After a change: holds again what it made use of, before others have it.
    pub(super) fn hold_again(&self) {
        let mut kept = self.kept();
        if let Ballast::Short(short) = *kept
            && !short.held
        {
            *kept = self.regain(short);
        }
    }

    /// What can be had of a file system that has refused: all, or enough for a transaction.
    fn regain(&self, before: Short) -> Ballast {
        let all = match before.held {
            true => self.extend(),
            false => self.keep(KEPT),
        };
        let Err(error) = all else {
            log::info!("there is space again, and some is kept aside for deletions");
            return Ballast::Kept;
        };
        // Whoever took the file away has to be answered with a new one.
        let held = before.held && error.kind() != ErrorKind::NotFound;
        let mut less = (1..=(KEPT - NEEDED) / STEP).map(|steps| KEPT - steps * STEP);
        let held = held || less.any(|length| self.keep(length).is_ok());
        let quota = refused(&error).map_or(before.quota, |short| short.quota);
        Ballast::Short(Short {
            held,
            quota,
            asked: Some(Instant::now()),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Ballast> {
        // Changed in one step, so never half.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Free bytes; plenty where nobody can tell.
    fn free(&self) -> u64 {
        match statvfs(&self.database) {
            // Some file systems know no sizes, and say that all are 0.
            Ok(s) if s.f_blocks > 0 => s.f_bavail.saturating_mul(s.f_frsize),
            _ => u64::MAX,
        }
    }

    fn keep(&self, length: u64) -> io::Result<()> {
        let file: File = OpenOptions::new()
            .write(true)
            // Never something else that bears its name.
            .create_new(true)
            .mode(0o600)
            .open(&self.ballast)?;
        let kept = (self.set_aside)(&file, length);
        if kept.is_err() {
            // A file system that cannot set space aside, or has no more: no ballast then.
            let _half = fs::remove_file(&self.ballast);
        }
        Ok(kept?)
    }

    /// Makes what there is as large as it should be.
    fn extend(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(&self.ballast)?;
        Ok((self.set_aside)(&file, KEPT)?)
    }
}

/// What an error means, if it is one for want of space.
fn refused(error: &io::Error) -> Option<Short> {
    let short = |quota| Short {
        held: false,
        quota,
        asked: None,
    };
    match Errno::from_io_error(error) {
        Some(Errno::DQUOT) => Some(short(true)),
        Some(Errno::NOSPC) => Some(short(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
