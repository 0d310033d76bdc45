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
//!
//! Only the thread that writes changes anything here. The others read what it found, and wait for
//! no disk.

use super::MetadataError;
use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};
use rustix::io::{Errno, retry_on_intr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

/// More than a transaction writes, in bytes: up to 256 changes of some 30 KiB, were no page shared.
const NEEDED: u64 = 8 << 20;
/// What is kept aside, in bytes.
const KEPT: u64 = 16 << 20;
/// By how much less is taken each time that a quota does not give it, in bytes.
const STEP: u64 = 1 << 20;
/// Below this, nothing is kept aside: small disks have better use for it.
const PLENTY: u64 = 128 << 20;
/// After this time, what was refused is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What has become of the space that is kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ballast {
    /// It is there.
    Kept,
    /// It is to be had when there is plenty, but not tried before that moment.
    Wanted(Option<Instant>),
    /// It could be had, and is left to the first change: the last process may have ended for want
    /// of it.
    Promised,
    /// This file system sets nothing aside: it is not tried with every change.
    Impossible,
    /// The file system refused space, whatever it says of itself, and all is given up until the
    /// change is made. Stays when that fails: the next start needs it.
    InUse {
        /// Whether it was a quota.
        quota: bool,
    },
    /// The file system does not give all of it.
    Short {
        /// Whether at least [`NEEDED`] bytes are in the file.
        held: bool,
        /// Whether it was a quota.
        quota: bool,
    },
}

/// Makes a file so many bytes long, with space for all of them.
type SetAside = Box<dyn Fn(&File, u64) -> rustix::io::Result<()> + Send + Sync>;

/// Looks before a database file is changed.
pub(super) struct Room {
    database: PathBuf,
    ballast: PathBuf,
    // Held for moments only.
    kept: Mutex<Ballast>,
    set_aside: SetAside,
    pause: Box<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Room {
    /// Room for the database at `path`.
    pub(super) fn beside(path: &Path) -> Self {
        let room = Self {
            kept: Mutex::new(Ballast::Wanted(None)),
            database: path.to_owned(),
            ballast: path.with_file_name("ballast"),
            set_aside: Box::new(|file, length| {
                retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, length))
            }),
            pause: Box::new(thread::sleep),
        };
        match room.held() {
            KEPT.. => room.set(Ballast::Kept),
            // From a time when there was no more.
            NEEDED.. => room.set(Ballast::Short {
                held: true,
                quota: true,
            }),
            _ => {
                // Half of one, from a crash.
                let _none = room.let_go();
            }
        }
        room
    }

    /// Whether a change can be made, for the thread that makes it.
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
        let free = self.free();
        let ballast = match self.kept() {
            Ballast::Kept if free < NEEDED => {
                let let_go = self.let_go();
                log::warn!(
                    "the disk is full: what was kept aside for deletions is in use now (removed: {}). Make space soon",
                    let_go.is_ok()
                );
                Ballast::Wanted(None)
            }
            Ballast::Wanted(again)
                if free >= PLENTY && again.is_none_or(|again| Instant::now() >= again) =>
            {
                match self.made(None) {
                    Ballast::Kept if self.let_go().is_ok() => Ballast::Promised,
                    other => other,
                }
            }
            Ballast::Short { quota, .. } => self.made(Some(quota)),
            other => other,
        };
        self.set(ballast);
        match ballast {
            Ballast::Kept | Ballast::InUse { .. } | Ballast::Short { held: true, .. } => Ok(()),
            Ballast::Short { held: false, quota } => Err(refusal(quota)),
            Ballast::Wanted(_) | Ballast::Promised | Ballast::Impossible => {
                match self.free() >= NEEDED {
                    true => Ok(()),
                    false => Err(MetadataError::Full),
                }
            }
        }
    }

    /// Whether more may be stored: not while a file system that refuses space has not given back all
    /// that is kept aside. Costs nothing, and waits for no disk.
    ///
    /// # Errors
    /// [`MetadataError::Full`], [`MetadataError::Quota`].
    pub(super) fn check_for_more(&self) -> Result<(), MetadataError> {
        match self.kept() {
            Ballast::Short { quota, .. } | Ballast::InUse { quota } => Err(refusal(quota)),
            Ballast::Kept | Ballast::Wanted(_) | Ballast::Promised | Ballast::Impossible => Ok(()),
        }
    }

    /// Whether [`Room::hold_again`] is to be called every [`AGAIN`].
    pub(super) fn is_short(&self) -> bool {
        matches!(self.kept(), Ballast::Short { .. })
    }

    /// A write failed with `error`. If it was for want of space, what is kept aside is given up, and
    /// the answer is true: it is worth to be tried again. Where nothing was there to give up, that
    /// is after `pause`: an upload may have taken all that is left, and given it back when that was
    /// not enough.
    pub(super) fn give_up(&self, error: &io::Error, pause: Duration) -> bool {
        let Some(quota) = for_want_of_space(error) else {
            return false;
        };
        let before = self.kept();
        if before != Ballast::Impossible {
            self.set(Ballast::InUse { quota });
        }
        if !matches!(before, Ballast::Kept | Ballast::Short { held: true, .. }) {
            (self.pause)(pause);
            return true;
        }
        let let_go = self.let_go();
        log::warn!(
            "{error}: what was kept aside for deletions is in use now (removed: {}). Make space soon{}",
            let_go.is_ok(),
            if quota {
                ", or have the quota of the user that runs Mayfly raised"
            } else {
                ""
            }
        );
        true
    }

    /// After a change, and while it [is short](Room::is_short): holds again what can be had, before
    /// others have it. `durable` says that the file system took a change.
    pub(super) fn hold_again(&self, durable: bool) {
        match self.kept() {
            Ballast::InUse { quota } | Ballast::Short { quota, .. } => {
                self.set(self.made(Some(quota)));
            }
            Ballast::Promised if durable && self.free() >= PLENTY => self.set(self.made(None)),
            _ => {}
        }
    }

    /// What can be had of the file system: all, or enough for a transaction. `quota` says how it has
    /// refused before, if it has.
    fn made(&self, quota: Option<bool>) -> Ballast {
        let Err(error) = self.hold(KEPT) else {
            if quota.is_some() {
                log::info!("there is space again, and some is kept aside for deletions");
            }
            return Ballast::Kept;
        };
        if is_for_good(&error) {
            return Ballast::Impossible;
        }
        let Some(quota) = for_want_of_space(&error).or(quota) else {
            return Ballast::Wanted(Some(Instant::now() + AGAIN));
        };
        let mut less = (1..=(KEPT - NEEDED) / STEP).map(|steps| KEPT - steps * STEP);
        let held = self.held() >= NEEDED || less.any(|length| self.hold(length).is_ok());
        Ballast::Short { held, quota }
    }

    fn kept(&self) -> Ballast {
        // Changed in one step, so never half.
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, ballast: Ballast) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = ballast;
    }

    /// Free bytes; plenty where nobody can tell.
    fn free(&self) -> u64 {
        match statvfs(&self.database) {
            // Some file systems know no sizes, and say that all are 0.
            Ok(s) if s.f_blocks > 0 => s.f_bavail.saturating_mul(s.f_frsize),
            _ => u64::MAX,
        }
    }

    /// How many bytes are in the file.
    fn held(&self) -> u64 {
        let about = fs::symlink_metadata(&self.ballast);
        about.map_or(0, |about| about.blocks() * 512)
    }

    /// Makes the file, or what there is of it, so long.
    fn hold(&self, length: u64) -> io::Result<()> {
        let file = self.opened(OpenOptions::new().create(true).mode(0o600))?;
        let kept = (self.set_aside)(&file, length);
        if kept.is_err() && self.held() < NEEDED {
            // Too little to be of use.
            let _none = self.let_go();
        }
        Ok(kept?)
    }

    fn let_go(&self) -> io::Result<()> {
        // A name that cannot be removed, as in a directory of somebody else, is no reason to keep
        // what is under it.
        fs::remove_file(&self.ballast).or_else(|_| self.opened(&mut OpenOptions::new())?.set_len(0))
    }

    /// The file; never something else that bears its name, or that a link of that name leads to.
    fn opened(&self, options: &mut OpenOptions) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = options
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open(&self.ballast)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(Errno::OPNOTSUPP.into()),
        }
    }
}

fn refusal(quota: bool) -> MetadataError {
    match quota {
        true => MetadataError::Quota,
        false => MetadataError::Full,
    }
}

/// Whether an error is one for want of space, and if so, whether of a quota.
fn for_want_of_space(error: &io::Error) -> Option<bool> {
    match Errno::from_io_error(error) {
        Some(Errno::DQUOT) => Some(true),
        Some(Errno::NOSPC) => Some(false),
        _ => None,
    }
}

/// Whether nothing can ever be set aside: the file system cannot, or the name is taken by a
/// directory, a link or a pipe. Other errors, as for want of memory, pass.
fn is_for_good(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::ISDIR | Errno::LOOP | Errno::NXIO)
    )
}

#[cfg(test)]
mod tests;
