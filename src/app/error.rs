//! Why there is no server: each error says what happened and what to do.

use super::read_only;
use crate::config::SecretError;
use crate::metadata::MetadataError;
use crate::{service, store::StoreError};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

/// Why a start failed.
#[derive(Debug)]
pub enum StartError {
    /// Another process has the data directory.
    InUse {
        /// The directory.
        data_dir: PathBuf,
    },
    /// There is no data directory with a database.
    NoData {
        /// The directory.
        data_dir: PathBuf,
    },
    /// Root was to serve the data of another user.
    Foreign {
        /// The directory.
        data_dir: PathBuf,
        /// The number of that user.
        owner: u32,
    },
    /// There are stored files and no database that knows them.
    BlobsWithoutDatabase {
        /// The directory.
        data_dir: PathBuf,
    },
    /// A file or directory of ours cannot be used.
    File {
        /// What was tried.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A key file is not what it should be.
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: &'static str,
    },
    /// A file with a secret is not safe to use.
    Secret {
        /// The file.
        path: PathBuf,
        /// Why not, and the remedy.
        source: SecretError,
    },
    /// The file with the first credentials is not what it should be.
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: &'static str,
    },
    /// The store cannot be used.
    Store(StoreError),
    /// What the settings say about the bucket cannot be: the words of whoever was to use it.
    Bucket(String),
    /// The database cannot be used.
    Metadata(MetadataError),
    /// Recovery or the first account failed.
    Service(service::Error),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Serving could not begin.
    Serve {
        /// Why not.
        source: io::Error,
    },
}

impl StartError {
    /// Whether the same start may work later without any change: something else is in the way.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::Metadata(MetadataError::InUse) => true,
            Self::Listen { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
            _ => false,
        }
    }

    /// Whether the settings, or what the operator put in place, have to change.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::NoData { .. }
            | Self::Foreign { .. }
            | Self::BlobsWithoutDatabase { .. }
            | Self::Key { .. }
            | Self::Secret { .. }
            | Self::Bucket(_)
            | Self::Credentials { .. } => true,
            Self::Metadata(MetadataError::TooNew { .. }) => true,
            Self::Metadata(MetadataError::ReadOnly) => true,
            Self::File { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
            Self::Store(e) => e.is_read_only(),
            Self::Service(e) => matches!(e, service::Error::ReadOnly),
            Self::Listen { .. } => !self.is_temporary(),
            _ => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { data_dir } => write!(
                f,
                "{} is in use by another Mayfly: stop that one, or choose another directory",
                data_dir.display()
            ),
            Self::NoData { data_dir } => write!(
                f,
                "{} holds no data of Mayfly yet: start the server once, or say where its data is with --config or --data-dir",
                data_dir.display()
            ),
            Self::Foreign { data_dir, owner } => write!(
                f,
                "{} belongs to user {owner}, who could not use what root makes in it: run this as that user, or as the service (systemctl start mayfly)",
                data_dir.display()
            ),
            Self::BlobsWithoutDatabase { data_dir } => write!(
                f,
                "{0} holds stored files but no database (mayfly.redb), and a new one would not know them: \
                 restore mayfly.redb from a backup, or choose another directory. To give those files up, delete {0}/blobs",
                data_dir.display()
            ),
            Self::File {
                attempt,
                path,
                source,
            } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => write!(
                f,
                "{attempt} {} failed: {}",
                path.display(),
                read_only::explain(path)
            ),
            Self::File {
                attempt,
                path,
                source,
            } => write!(
                f,
                "{attempt} {} failed: {source}. Check that the directory exists, belongs to the user that runs Mayfly, and has space",
                path.display()
            ),
            Self::Key { path, problem } | Self::Credentials { path, problem } => {
                write!(f, "{}: {problem}", path.display())
            }
            Self::Secret { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Store(e) if !e.is_read_only() => write!(f, "{}", chain(e)),
            Self::Store(_) | Self::Service(service::Error::ReadOnly) => write!(
                f,
                "the stored files cannot be used: a file system in the data directory is read-only. See which (findmnt), mount it \
                 again (mount -o remount,rw), and start Mayfly"
            ),
            Self::Bucket(what) => write!(f, "the bucket of [s3] cannot be used: {what}"),
            Self::Metadata(e) => {
                write!(f, "{}", chain(e))?;
                match e {
                    MetadataError::Corrupt(_) => write!(
                        f,
                        ". Restore mayfly.redb from a backup that was made while Mayfly did not run, together with the folder blobs of the same time"
                    ),
                    MetadataError::Unavailable(_) | MetadataError::OutcomeUnknown(_) => write!(
                        f,
                        ". Threads, open files or memory may have run out, or the disk may be failing: check the limits and the log of the system, then start again"
                    ),
                    MetadataError::TooNew { .. }
                    | MetadataError::InUse
                    | MetadataError::Full
                    | MetadataError::Quota
                    | MetadataError::ReadOnly => Ok(()),
                }
            }
            Self::Service(service::Error::Internal(what)) => write!(f, "{what}"),
            Self::Service(e) => write!(f, "{}", chain(e)),
            Self::Listen { listen, source } => {
                write!(f, "cannot listen on {listen}: {source}. ")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(
                            f,
                            "Stop what listens there, or choose another port (0 takes any free one)"
                        )
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "Ports below 1024 need a privilege: choose a port above")
                    }
                    _ => write!(f, "Choose an address of this machine, or 0.0.0.0 for all"),
                }
            }
            Self::Serve { source } => write!(
                f,
                "the server could not begin: {source}. Threads or open files may have run out"
            ),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

impl Error for StartError {}

impl From<MetadataError> for StartError {
    fn from(e: MetadataError) -> Self {
        Self::Metadata(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_read_only_is_not_tried_again_wherever_it_shows() {
        let cause = |kind| StoreError::Unavailable(io::Error::from(kind));
        for error in [
            StartError::Store(cause(io::ErrorKind::ReadOnlyFilesystem)),
            StartError::Service(service::Error::ReadOnly),
            StartError::Metadata(MetadataError::ReadOnly),
        ] {
            assert!(error.is_configuration(), "{error:?}");
            assert!(error.to_string().contains("mount"), "{error}");
        }
        let other = StartError::Store(cause(io::ErrorKind::NotFound));
        assert!(!other.is_configuration() && !other.to_string().contains("mount"));
    }
}
