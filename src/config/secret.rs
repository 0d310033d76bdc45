//! Files that hold a secret: opened only when nobody else can read them.

use super::Environment;
use super::source::CREDENTIAL_STORE;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};
use zeroize::Zeroizing;

/// No secret text is longer, in bytes.
const LARGEST: u64 = 64 * 1024;

/// A secret that stands in the settings themselves: wiped when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ClearText(pub Zeroizing<String>);

impl fmt::Debug for ClearText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A file that holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretFile {
    path: PathBuf,
    /// systemd keeps it, in a directory of its own.
    credential: bool,
}

/// Why a secret is not read.
#[derive(Debug)]
pub enum SecretError {
    /// It cannot be opened; [`io::ErrorKind::NotFound`] when it does not exist.
    Io(io::Error),
    /// It is a directory, a pipe or a device.
    NotAFile,
    /// Others than its owner may read or change it.
    Open {
        /// Its permissions, such as 0o644.
        mode: u32,
        /// What to type.
        path: PathBuf,
    },
    /// Somebody else owns it.
    Owner {
        /// The user id.
        owner: u32,
        /// That of this process.
        me: u32,
        /// The file.
        path: PathBuf,
    },
    /// What is in it cannot be meant: the remedy.
    Unfit(&'static str),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "it cannot be read: {e}"),
            Self::NotAFile => write!(f, "this is no file: name a file"),
            Self::Open { mode, path } => write!(
                f,
                "others may read or change it (mode {mode:04o}): chmod 600 {}",
                path.display()
            ),
            Self::Owner { owner, me, path } => write!(
                f,
                "it belongs to user {owner}, and Mayfly runs as user {me}: chown {me} {}",
                path.display()
            ),
            Self::Unfit(remedy) => f.write_str(remedy),
        }
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            Self::NotAFile | Self::Open { .. } | Self::Owner { .. } | Self::Unfit(_) => None,
        }
    }
}

impl SecretFile {
    /// A file that somebody named: its owner and permissions are checked.
    pub fn named(path: PathBuf) -> Self {
        Self {
            path,
            credential: false,
        }
    }

    /// A credential of systemd, when there is one of this name. Who may read it is systemd's
    /// business, and cannot be told from its mode: an access list shows there as rights of the group.
    pub fn credential(environment: &Environment, name: &str) -> Option<Self> {
        let directory = environment.credentials_directory()?;
        let path = directory.join(name);
        path.is_file().then_some(Self {
            path,
            // Where systemd would take them from, they are files like others.
            credential: directory != Path::new(CREDENTIAL_STORE),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether systemd keeps it: it can be read only.
    pub fn is_credential(&self) -> bool {
        self.credential
    }

    /// Opens it for reading, unless others could have read or made it. Never waits, whatever it is.
    ///
    /// # Errors
    /// [`SecretError`], which says what to do.
    pub fn open(&self) -> Result<File, SecretError> {
        // Without NONBLOCK a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|e| SecretError::Io(e.into()))?;
        let file = File::from(file);
        let about = file.metadata().map_err(SecretError::Io)?;
        if !about.is_file() {
            return Err(SecretError::NotAFile);
        }
        if self.credential {
            return Ok(file);
        }
        let path = || self.path.clone();
        let mode = about.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Open { mode, path: path() });
        }
        let me = rustix::process::geteuid().as_raw();
        let owner = about.uid();
        // Whoever is root could read and change it anyway.
        if owner != me && owner != 0 {
            return Err(SecretError::Owner {
                owner,
                me,
                path: path(),
            });
        }
        Ok(file)
    }

    /// The text in it, without the end of its last line.
    ///
    /// # Errors
    /// As [`SecretFile::open`]; what is no UTF-8 is [`SecretError::Io`], too.
    pub fn read_text(&self) -> Result<Zeroizing<String>, SecretError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        let file = self.open()?;
        file.take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(SecretError::Io)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            let what = "this is no text: write it in UTF-8";
            SecretError::Io(io::Error::new(io::ErrorKind::InvalidData, what))
        })?;
        Ok(Zeroizing::new(
            text.trim_end_matches(['\n', '\r']).to_owned(),
        ))
    }
}
