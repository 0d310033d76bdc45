//! Where the admin socket is, and how it is made and taken away.
//!
//! Clients look in the data directory. When the socket itself is in the run-time directory of a
//! service, what they find there is a symbolic link to it.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The name of the socket, and of the link to it in the data directory.
pub const SOCKET: &str = "admin.sock";

/// The longest path that fits into an address with its end (unix(7), "Address format").
const ADDRESS_MAX: usize = 107;

/// Where a server with this data directory has its socket: in `runtime` (`$RUNTIME_DIRECTORY`, of
/// which the first counts), or in the data directory.
pub fn place(data_dir: &Path, runtime: Option<&OsStr>) -> PathBuf {
    let first = runtime.map(OsStr::as_encoded_bytes).and_then(|paths| {
        let first = paths.split(|b| *b == b':').next()?;
        std::str::from_utf8(first).ok()
    });
    match first {
        Some(first) if first.starts_with('/') => Path::new(first).join(SOCKET),
        _ => data_dir.join(SOCKET),
    }
}

/// A socket that is there until this is dropped.
pub(super) struct Place {
    path: PathBuf,
    made: (u64, u64),
    link: Option<PathBuf>,
}

impl Place {
    /// Listens at `path`, for the owner alone, and links to it from `data_dir`. What an earlier
    /// server left there is replaced; the caller holds the lock of the data directory.
    pub(super) fn listen(path: &Path, data_dir: &Path) -> io::Result<(UnixListener, Self)> {
        // Another server may have the same run-time directory.
        if connect(path).is_ok() {
            return Err(io::Error::new(
                ErrorKind::AddrInUse,
                "another server answers there",
            ));
        }
        make_room(path)?;
        let listener = with_short(path, |short| UnixListener::bind(short))?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let found = fs::symlink_metadata(path)?;
        let mut place = Self {
            path: path.to_owned(),
            made: (found.dev(), found.ino()),
            link: None,
        };
        let link = data_dir.join(SOCKET);
        if link != path {
            make_room(&link)?;
            symlink(path, &link)?;
            place.link = Some(link);
        }
        Ok((listener, place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Another server may have its own there by now.
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|f| (f.dev(), f.ino()) == self.made);
        let linked = self
            .link
            .as_ref()
            .filter(|link| fs::read_link(link).is_ok_and(|target| target == self.path));
        for path in ours.then_some(&self.path).into_iter().chain(linked) {
            if let Err(e) = fs::remove_file(path) {
                log::warn!("{} could not be removed: {e}", path.display());
            }
        }
    }
}

/// Connects to the socket at `path`.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short(path, |short| UnixStream::connect(short))
}

/// Removes a socket or link that an earlier server left. Anything else is not ours.
fn make_room(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !kind.is_socket() && !kind.is_symlink() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "a file that is no socket is in the way",
        ));
    }
    fs::remove_file(path)
}

/// Calls `work` with `path`, or with one that means the same and fits into an address.
fn with_short<T>(path: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= ADDRESS_MAX {
        return work(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    work(
        &Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name),
    )
}
