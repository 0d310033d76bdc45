//! A log file that does not outgrow its limit: `file`, and before it `file.1`, `file.2`, ….
//!
//! Nothing is synchronised to the medium: after a power cut the last lines may be missing, and the
//! card is not worn by them. A file that was moved or removed by somebody else is opened anew.

use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The smallest limit of a file, in bytes: a few of the longest lines.
const SMALLEST: u64 = 16 * 1024;

/// The file and its predecessors.
pub(super) struct LogFile {
    path: PathBuf,
    max_size: u64,
    keep: u32,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
    /// Device and inode.
    identity: (u64, u64),
}

impl LogFile {
    /// Touches nothing yet. At most `max_size` bytes in each file, and `keep` predecessors.
    pub(super) fn new(path: PathBuf, max_size: u64, keep: u32) -> Self {
        Self {
            path,
            max_size: max_size.max(SMALLEST),
            keep,
            open: None,
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines; all of them or, as far as the file system lets it, none.
    ///
    /// # Errors
    /// What the operating system reports. The next call begins anew.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let moved = |open: &Open| {
            let there = fs::symlink_metadata(&self.path).map(|m| (m.dev(), m.ino()));
            there.ok() != Some(open.identity)
        };
        let mut open = match self.open.take().filter(|open| !moved(open)) {
            Some(open) => open,
            None => open_log(&self.path)?,
        };
        if open.size > 0 && open.size + lines.len() as u64 > self.max_size {
            drop(open);
            self.rotate()?;
            open = open_log(&self.path)?;
        }
        if let Err(error) = open.file.write_all(lines) {
            // Half a line would run into the next one.
            let _stays_if_it_must = open.file.set_len(open.size);
            return Err(error);
        }
        open.size += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    /// Gives every predecessor the next number. The last one goes.
    fn rotate(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        // Up to the first gap only: a rotation that broke off is not repeated for those that have
        // moved already.
        let gap = (1..self.keep).find(|n| fs::symlink_metadata(self.numbered(*n)).is_err());
        for n in (1..gap.unwrap_or(self.keep)).rev() {
            fs::rename(self.numbered(n), self.numbered(n + 1))?;
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        name.into()
    }
}

/// Opens a log to append to it, or makes one that only its owner reads. Never follows a symbolic
/// link, never writes into what is no plain file or has a second name: a directory that others can
/// write to must not lead the log astray.
fn open_log(path: &Path) -> io::Result<Open> {
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let mut file = File::from(file.map_err(|errno| match errno {
        rustix::io::Errno::LOOP => io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link"),
        errno => io::Error::from(errno),
    })?);
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    if about.nlink() > 1 {
        let why = "the file has a second name, which may be somebody else's";
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    let mut size = about.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last != [b'\n'] {
        // What was cut off by a power cut stays a line of its own.
        file.write_all(b"\n")?;
        size += 1;
    }
    Ok(Open {
        file,
        size,
        identity: (about.dev(), about.ino()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn line(n: usize) -> String {
        format!("line {n:>8} {}\n", "x".repeat(1000))
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_stay_below_their_limit_and_hold_the_last_lines_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogFile::new(path.clone(), SMALLEST, 3);
        for n in 0..200 {
            log.append(line(n).as_bytes()).unwrap();
        }
        assert_eq!(names(dir.path()), ["log", "log.1", "log.2", "log.3"]);
        let mut all = String::new();
        for name in ["log.3", "log.2", "log.1", "log"] {
            let about = fs::metadata(dir.path().join(name)).unwrap();
            assert!(about.len() <= SMALLEST, "{name}");
            assert_eq!(about.permissions().mode() & 0o777, 0o600, "{name}");
            all += &fs::read_to_string(dir.path().join(name)).unwrap();
        }
        let lines: Vec<_> = all.lines().collect();
        let first = 200 - lines.len();
        assert!(lines.len() > 50, "{}", lines.len());
        for (i, text) in lines.iter().enumerate() {
            assert_eq!(format!("{text}\n"), line(first + i));
        }
    }

    #[test]
    fn without_predecessors_the_old_lines_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::new(dir.path().join("log"), SMALLEST, 0);
        for n in 0..50 {
            log.append(line(n).as_bytes()).unwrap();
        }
        assert_eq!(names(dir.path()), ["log"]);
        let text = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(text.ends_with(&line(49)) && text.len() as u64 <= SMALLEST);
    }

    #[test]
    fn an_existing_log_goes_on_and_a_torn_line_stays_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\nto").unwrap();
        LogFile::new(path.clone(), SMALLEST, 1)
            .append(b"new\n")
            .unwrap();
        LogFile::new(path.clone(), SMALLEST, 1)
            .append(b"newer\n")
            .unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "old\nto\nnew\nnewer\n");
    }

    #[test]
    fn a_log_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let link = dir.path().join("link");
        symlink(&victim, &link).unwrap();
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("nowhere"), &dangling).unwrap();
        let second = dir.path().join("second");
        fs::hard_link(&victim, &second).unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        for bad in [&link, &dangling, &second, &pipe, &dir.path().to_owned()] {
            let refused = LogFile::new(bad.clone(), SMALLEST, 1).append(b"x\n");
            assert!(refused.is_err(), "{}", bad.display());
        }
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn a_log_that_was_moved_or_whose_directory_went_is_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("logs");
        fs::create_dir(&dir).unwrap();
        let mut log = LogFile::new(dir.join("log"), SMALLEST, 1);
        log.append(b"one\n").unwrap();
        fs::rename(dir.join("log"), dir.join("moved")).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read(dir.join("moved")).unwrap(), b"one\n");
        assert_eq!(fs::read(dir.join("log")).unwrap(), b"two\n");

        fs::remove_dir_all(&dir).unwrap();
        let error = log.append(b"three\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        fs::create_dir(&dir).unwrap();
        log.append(b"four\n").unwrap();
        assert_eq!(fs::read(dir.join("log")).unwrap(), b"four\n");
    }

    #[test]
    fn a_rotation_that_cannot_be_done_moves_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogFile::new(path.clone(), SMALLEST, 3);
        for n in 0..30 {
            log.append(line(n).as_bytes()).unwrap();
        }
        fs::write(dir.path().join("log.2"), "second").unwrap();
        // Nothing can be renamed onto a directory that is not empty.
        fs::remove_file(dir.path().join("log.1")).unwrap();
        fs::create_dir_all(dir.path().join("log.1/x")).unwrap();
        fs::create_dir_all(dir.path().join("log.3/x")).unwrap();
        let big = vec![b'x'; 16_000];
        for _ in 0..5 {
            assert!(log.append(&big).is_err());
        }
        assert_eq!(fs::read(dir.path().join("log.2")).unwrap(), b"second");
        fs::remove_dir_all(dir.path().join("log.3")).unwrap();
        fs::remove_dir_all(dir.path().join("log.1")).unwrap();
        log.append(&big).unwrap();
        assert_eq!(fs::read(dir.path().join("log.2")).unwrap(), b"second");
        assert_eq!(fs::read(&path).unwrap(), big);
    }
}
