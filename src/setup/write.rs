//! Settings and account: both or neither.
//!
//! The settings, and files with the secrets of a bucket, wait in temporary files beside their places until
//! the account is made; that the settings get their name is the one step that decides. What fails or is
//! interrupted before it is removed again; a
//! power cut at any instant leaves no settings or whole ones, and an account without settings opens
//! with the same password at the next attempt.

use super::closing::expects_proxy;
use super::{Answers, SetupError};
use crate::app::durable::{self, parent_of, sync_directory};
use crate::app::{self, StartError};
use crate::config::SecretFile;
use crate::model::{Clock, Token};
use crate::service::RecoveryPhrase;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What was made. No `Debug`: a key is in it.
pub struct Written {
    /// The settings file.
    pub config: PathBuf,
    /// The name of the account.
    pub user: String,
    /// Its API key, which is nowhere else.
    pub key: Token,
    /// Opens it when the password is forgotten; none for an account that was there before.
    pub recovery: Option<RecoveryPhrase>,
    /// What links begin with.
    pub url: String,
    pub(super) listen: SocketAddr,
    pub(super) master_key: Option<PathBuf>,
    pub(super) secrets: Vec<PathBuf>,
    pub(super) expects_proxy: bool,
    pub(super) data_dir: PathBuf,
}

/// Writes the settings to `config` and makes the account. `interrupted` is asked for the exit code of
/// an interruption, as long as everything can be taken back.
///
/// # Errors
/// [`SetupError`]; nothing is left behind.
pub fn write(
    answers: &Answers,
    config: &Path,
    clock: Arc<dyn Clock>,
    interrupted: &dyn Fn() -> Option<u8>,
) -> Result<Written, SetupError> {
    let settings = answers
        .settings_with_secrets()
        .map_err(|list| SetupError::Answers {
            path: config.to_owned(),
            problems: list.iter().map(ToString::to_string).collect(),
        })?;
    let waiting = Waiting::write(config, answers.to_toml().as_bytes())?;
    let secrets: Vec<_> = answers.secret_files().collect();
    let secrets = secrets.iter().map(|(path, secret)| {
        let line = Zeroizing::new(format!("{}\n", secret.as_str()));
        Waiting::write(path, line.as_bytes())
    });
    let mut secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    if let Some(key) = settings.master_key_file.as_ref().map(SecretFile::path)
        && key.starts_with(&settings.data_dir)
    {
        return Err(SetupError::Start(StartError::Key {
            path: key.to_owned(),
            problem: "who takes the data directory would take the key along: choose another directory, or another place for the settings",
        }));
    }
    let admin = app::first_admin(&settings, clock, &answers.password)?;
    if let Some(code) = interrupted() {
        return Err(SetupError::Ended { code });
    }
    for secret in &mut secrets {
        secret.settle()?;
    }
    waiting.publish()?;
    secrets.into_iter().for_each(Waiting::keep);
    let url = match &settings.public_url {
        Some(url) => url.clone(),
        None => format!("http://{}", settings.listen),
    };
    let openers = admin.keep()?;
    Ok(Written {
        config: config.to_owned(),
        user: settings.account.name.clone(),
        key: openers.api_key,
        recovery: openers.recovery,
        url,
        listen: settings.listen,
        master_key: answers.master_key(),
        secrets: answers.secret_files().map(|(path, _)| path).collect(),
        expects_proxy: expects_proxy(answers),
        data_dir: settings.data_dir.clone(),
    })
}

/// A settings file, or one with a secret, that has no name yet, and the directories that were made for it. Gone when
/// dropped.
struct Waiting<'a> {
    target: &'a Path,
    temporary: PathBuf,
    directories: Vec<PathBuf>,
    /// It has its name, which it may lose again.
    named: bool,
    published: bool,
}

impl<'a> Waiting<'a> {
    fn write(target: &'a Path, bytes: &[u8]) -> Result<Self, SetupError> {
        let temporary = durable::draft_of(target).map_err(failed("writing", target))?;
        let mut waiting = Self {
            target,
            temporary,
            directories: Vec::new(),
            named: false,
            published: false,
        };
        waiting
            .make_directories()
            .map_err(failed("making the directory of", target))?;
        durable::write_draft(target, bytes).map_err(failed("writing", &waiting.temporary))?;
        Ok(waiting)
    }

    fn make_directories(&mut self) -> io::Result<()> {
        let parent = parent_of(self.target);
        let missing: Vec<&Path> = parent.ancestors().take_while(|p| !p.exists()).collect();
        for path in missing.into_iter().rev() {
            DirBuilder::new().mode(0o700).create(path)?;
            self.directories.push(path.to_owned());
            // Templates and logo beside the settings are read by the user of the service.
            std::fs::set_permissions(path, Permissions::from_mode(0o755))?;
            sync_directory(parent_of(path))?;
        }
        Ok(())
    }

    /// Gives the file of a secret its name. What is there already stays: a secret may be nowhere else.
    fn settle(&mut self) -> Result<(), SetupError> {
        let named = match self.rename() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let read = |path| std::fs::read(path).map(Zeroizing::new);
                read(self.target).and_then(|there| match there == read(&self.temporary)? {
                    // Dropping this takes away the temporary file alone.
                    true => Ok(()),
                    false => Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "another secret is there: move that file away if nothing needs it, and try again",
                    )),
                })
            }
            other => other.and_then(|()| {
                self.named = true;
                sync_directory(parent_of(self.target))
            }),
        };
        named.map_err(failed("writing", self.target))
    }

    /// Lets it stay, if it has its name.
    fn keep(mut self) {
        self.published = self.named;
    }

    /// Gives the file its name, unless there is one of that name.
    fn rename(&self) -> io::Result<()> {
        let (from, to) = (&self.temporary, self.target);
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can do that; a second name is never made over a first one either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                std::fs::hard_link(from, to).and_then(|()| std::fs::remove_file(from))
            }
            other => other.map_err(io::Error::from),
        }
    }

    /// Gives the file its name, unless there is one of that name.
    fn publish(mut self) -> Result<(), SetupError> {
        match self.rename() {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SetupError::Exists {
                    config: self.target.to_owned(),
                });
            }
            Err(e) => return Err(failed("writing", self.target)(e)),
        }
        if let Err(e) = sync_directory(parent_of(self.target)) {
            // Whether it would survive a power cut is not known: it was not written.
            let _gone = std::fs::remove_file(self.target);
            return Err(failed("writing", self.target)(e));
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let path = match self.named {
            true => self.target,
            false => self.temporary.as_path(),
        };
        let mut removed = vec![std::fs::remove_file(path)];
        // Only those that are empty.
        let directories = self.directories.iter().rev();
        removed.extend(directories.map(std::fs::remove_dir));
        for failure in removed.into_iter().filter_map(Result::err) {
            log::debug!("cleaning up: {failure}");
        }
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::File {
        attempt,
        path,
        source,
    }
}
