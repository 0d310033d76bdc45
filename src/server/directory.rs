//! A private directory for the socket between gate and backend, removed at the end.

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The longest path of a Unix socket that every system takes, in bytes (`sun_path`).
const LONGEST: usize = 100;

/// The directory.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Creates it, for this user only, in `$RUNTIME_DIRECTORY` (systemd.exec(5)) or the directory
    /// for temporary files.
    ///
    /// # Errors
    /// What the operating system reports for the last place that was tried.
    pub(super) fn create() -> io::Result<Self> {
        let mut random = [0; 8];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let name = format!("mayfly-{}", HEXLOWER.encode(&random));
        let runtime = std::env::var_os("RUNTIME_DIRECTORY")
            .and_then(|list| std::env::split_paths(&list).next());
        let places = [
            runtime,
            Some(std::env::temp_dir()),
            Some(PathBuf::from("/tmp")),
        ];
        let mut problem = io::Error::other("every directory for the socket has too long a path");
        for place in places.into_iter().flatten() {
            match Self::create_in(&place, &name) {
                Ok(Some(directory)) => return Ok(directory),
                Ok(None) => {}
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// `None` when the path would be too long.
    fn create_in(place: &Path, name: &str) -> io::Result<Option<Self>> {
        let directory = Self(place.join(name));
        if directory.socket().as_os_str().as_bytes().len() >= LONGEST {
            // Nothing was created, nothing is to be removed.
            std::mem::forget(directory);
            return Ok(None);
        }
        match std::fs::DirBuilder::new().mode(0o700).create(&directory.0) {
            Ok(()) => Ok(Some(directory)),
            Err(error) => {
                std::mem::forget(directory);
                Err(error)
            }
        }
    }

    /// The path of the socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("http")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Whatever is left is harmless: nobody listens there.
        let _ = std::fs::remove_file(self.socket());
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_directory_is_private_and_goes_away() {
        let directory = Directory::create().unwrap();
        let path = directory.0.clone();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(directory.socket(), b"").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_long_place_is_passed_over() {
        let place = PathBuf::from(format!("/{}", "x".repeat(100)));
        assert!(Directory::create_in(&place, "mayfly-0").unwrap().is_none());
    }
}
