//! The first account with a password that somebody chose, made while no server runs.
//!
//! Nothing of it stays unless [`FirstAdmin::keep`] is called: what was made in the data directory and
//! the master key, if any, are removed again. What was there before is never touched.

use super::StartError;
use super::data_dir::{self, DataDir};
use super::opened::{self, Missing};
use crate::config::{SecretFile, Settings};
use crate::metadata::OnFatal;
use crate::model::{Clock, Timekeeper, Token};
use crate::service::{NewAccount, RecoveryPhrase, Service, Session};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An account that is there for as long as this value, and for good after [`FirstAdmin::keep`].
pub struct FirstAdmin {
    service: Service,
    opened_by: Opener,
    // In this order: the traces go while the directory is still locked.
    traces: Traces,
    data_dir: DataDir,
}

enum Opener {
    /// The account is new.
    New(NewAccount),
    /// It was there before; the password opens it.
    Session(Session),
}

/// Makes the first account of `settings.account.name` in `settings.data_dir`. An account of this
/// name that is there already is taken when `password` opens it.
///
/// # Errors
/// [`StartError`], which says what to do. Nothing is left behind then.
pub fn first_admin(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    password: &str,
) -> Result<FirstAdmin, StartError> {
    let mut traces = Traces::default();
    traces.note_directories(&settings.data_dir);
    let lock = settings.data_dir.join("lock");
    let locked_before = lock.exists();
    let data_dir = DataDir::lock(&settings.data_dir)?;
    // Dropped before the lock is.
    let mut traces = traces;
    if !locked_before {
        traces.files.push(lock);
    }
    for name in ["mayfly.redb", "ballast", "server.key", "blobs", "incoming"] {
        traces.note_file(settings.data_dir.join(name));
    }
    if let Some(key) = settings.master_key_file.as_ref().map(SecretFile::path) {
        traces.note_directories(key.parent().unwrap_or(Path::new("/")));
        traces.note_file(key.to_owned());
        if let Some(parent) = key.parent() {
            data_dir::make_directory(parent).map_err(|source| StartError::File {
                attempt: "making the directory",
                path: parent.to_owned(),
                source,
            })?;
        }
    }
    // The service reports every failure to its caller as well.
    let on_fatal: OnFatal = Arc::new(|_| {});
    let opened = opened::open(settings, &data_dir, Missing::IsMade, &on_fatal, |_| {
        // Nothing here ends by time, and the word of the operator is for the server.
        Ok(Timekeeper::unquestioned(clock))
    })?;
    let service = opened.service;
    let opened_by = if service.has_accounts().map_err(StartError::Service)? {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let session = service.authenticate_password(&settings.account.name, password, here);
        Opener::Session(session.map_err(|_| StartError::Credentials {
            path: settings.data_dir.clone(),
            problem: "there are accounts already, and the password does not open the first one: give that password, or choose another directory",
        })?)
    } else {
        let account = service
            .add_account(&settings.account.name, password)
            .map_err(StartError::Service)?;
        Opener::New(account)
    };
    Ok(FirstAdmin {
        service,
        opened_by,
        traces,
        data_dir,
    })
}

impl FirstAdmin {
    /// Lets the account stay, and returns what else opens it: the only time that it can be seen.
    ///
    /// # Errors
    /// [`StartError::Service`] when there is no key to be made; the account stays.
    pub fn keep(mut self) -> Result<Openers, StartError> {
        let data_dir = self.data_dir.path();
        hand_over(data_dir, &self.traces.files).map_err(|source| StartError::File {
            attempt: "giving what was made to the owner of",
            path: data_dir.to_owned(),
            source,
        })?;
        self.traces.forget();
        match self.opened_by {
            Opener::New(account) => Ok(Openers {
                api_key: account.key.key,
                recovery: Some(account.recovery),
            }),
            Opener::Session(session) => {
                let key = self
                    .service
                    .create_api_key(&session, "Made by mayfly setup", true, None);
                Ok(Openers {
                    api_key: key.map_err(StartError::Service)?.key,
                    recovery: None,
                })
            }
        }
    }
}

/// What opens an account besides its password.
pub struct Openers {
    /// An API key.
    pub api_key: Token,
    /// The recovery phrase; none when the account was there before.
    pub recovery: Option<RecoveryPhrase>,
}

/// Gives what root made in the directory of another user to that user: the service could not use it
/// else.
fn hand_over(data_dir: &Path, made: &[PathBuf]) -> io::Result<()> {
    let of = data_dir.symlink_metadata()?;
    let mut open: Vec<PathBuf> = made
        .iter()
        .filter(|path| path.starts_with(data_dir))
        .cloned()
        .collect();
    while let Some(path) = open.pop() {
        let about = match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() {
            for entry in path.read_dir()? {
                open.push(entry?.path());
            }
        }
        if about.uid() != of.uid() {
            std::os::unix::fs::lchown(&path, Some(of.uid()), Some(of.gid()))?;
        }
    }
    Ok(())
}

/// What was not there before. Removes it when dropped.
#[derive(Default)]
struct Traces {
    files: Vec<PathBuf>,
    /// Each before what is in it.
    directories: Vec<PathBuf>,
}

impl Traces {
    fn note_file(&mut self, path: PathBuf) {
        if path.symlink_metadata().is_err() {
            self.files.push(path);
        }
    }

    fn note_directories(&mut self, path: &Path) {
        let missing = path.ancestors().take_while(|p| !p.exists());
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.reverse();
        self.directories.extend(missing);
    }

    fn forget(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        for path in &self.files {
            let removed = match path.symlink_metadata() {
                Ok(about) if about.is_dir() => std::fs::remove_dir_all(path),
                Ok(_) => std::fs::remove_file(path),
                Err(_) => Ok(()),
            };
            told(path, removed);
        }
        // Only those that are empty, whatever came into them meanwhile.
        for path in self.directories.iter().rev() {
            told(path, std::fs::remove_dir(path));
        }
    }
}

fn told(path: &Path, removed: io::Result<()>) {
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            log::warn!("{} stays behind: {e}", path.display());
        }
        _ => {}
    }
}
