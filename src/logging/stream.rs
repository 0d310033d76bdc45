//! Standard error as the place of the log: a terminal, a pipe, or the journal of systemd.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// How long to wait when the other end shares a stream that does not block.
const WAIT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What a pipe that is ready takes without waiting, in bytes (pipe(7), `PIPE_BUF`).
const PAGE: usize = 4096;

/// Standard error. Written without the lock of [`std::io::stderr`]: whoever has a last word to say
/// must not wait for a log that nobody reads.
pub(super) struct Stream;

impl Stream {
    /// Writes whole lines, as long as it takes.
    ///
    /// # Errors
    /// When nobody is there to read.
    pub(super) fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        let stderr = io::stderr();
        while !lines.is_empty() {
            match rustix::io::write(stderr.as_fd(), lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => lines = lines.get(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    ready(Some(&WAIT));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Says something, and waits no longer than `patience` for each page of it to be taken.
    pub(super) fn say(text: &str, patience: &Timespec) {
        for page in text.as_bytes().chunks(PAGE) {
            if !ready(Some(patience)) || (Self.write(page)).is_err() {
                return;
            }
        }
    }

    /// Whether it is connected to the journal (sd-daemon(3), systemd.exec(5) `JOURNAL_STREAM`):
    /// the variable names device and inode, and is inherited by those who write elsewhere, too.
    pub(super) fn is_journal(variable: Option<&str>) -> bool {
        let Some((device, inode)) = variable.and_then(|v| v.split_once(':')) else {
            return false;
        };
        rustix::fs::fstat(io::stderr().as_fd()).is_ok_and(|about| {
            device.parse() == Ok(about.st_dev) && inode.parse() == Ok(about.st_ino)
        })
    }
}

/// Waits until something can be written. Whether that came true.
fn ready(patience: Option<&Timespec>) -> bool {
    let stderr = io::stderr();
    let mut descriptors = [PollFd::new(&stderr, PollFlags::OUT)];
    matches!(poll(&mut descriptors, patience), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        let about = rustix::fs::fstat(io::stderr().as_fd()).unwrap();
        let (device, inode) = (about.st_dev, about.st_ino);
        assert!(Stream::is_journal(Some(&format!("{device}:{inode}"))));
        let other = format!("{device}:{}", inode + 1);
        let also = format!("{}:{inode}", device + 1);
        for no in ["", ":", "8", "x:y", "-1:-1", other.as_str(), also.as_str()] {
            assert!(!Stream::is_journal(Some(no)), "{no:?}");
        }
        assert!(!Stream::is_journal(None));
    }
}
