//! Reading the settings again while the server runs.
//!
//! Files may lie on a mount that hangs, so they are read on a thread of their own, one reading at a
//! time. That thread holds nothing of the server: whoever ends the server need not wait for it. But
//! a thread that the kernel does not let go, as on a hard NFS mount, keeps what is left of the process
//! until it does.

use super::pages::page_settings;
use crate::api::{self, ReadPages};
use crate::config::{Change, Settings};
use crate::logging;
use crate::tasks::notify::{self, Notice};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Reads the settings.
pub type Load = Arc<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// What was read: the settings, and the pages that they name.
type Read = Result<(Settings, io::Result<ReadPages>), String>;

/// The reading that is going on, if any.
#[derive(Default)]
pub(super) struct Reload {
    running: Option<(JoinHandle<Read>, Instant)>,
    /// When it takes long, which is told once.
    pub(super) look: Option<Instant>,
    /// Somebody wished it again meanwhile: what was read may be older than that.
    again: bool,
}

/// The longest that a reading takes before that is told.
const QUICK: Duration = Duration::from_secs(10);
/// How old the copy of a reload may be when that is heard of.
const FRESH: Duration = Duration::from_secs(60);

/// Where the settings of `config` are read again.
///
/// What systemd hands over as a credential is a copy from the start, which it never renews (before
/// systemd 258), and the original is for root alone. `ExecReload=` of `mayfly.service` therefore leaves
/// a newer copy in a directory of root's beside `$RUNTIME_DIRECTORY`: `/run/mayfly.reload`.
pub fn source(config: &Path) -> PathBuf {
    let of = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    newest(config, of("CREDENTIALS_DIRECTORY"), of("RUNTIME_DIRECTORY"))
}

fn newest(config: &Path, credentials: Option<OsString>, runtime: Option<OsString>) -> PathBuf {
    let is_credential = credentials.is_some_and(|directory| config.starts_with(directory));
    let copy = || {
        let mut directory = std::env::split_paths(&runtime?).next()?.into_os_string();
        directory.push(".reload");
        Some(PathBuf::from(directory).join(config.file_name()?))
    };
    let copy = copy().filter(|copy| is_credential && copy.exists());
    if is_credential && !copy.as_deref().is_some_and(is_fresh) {
        log::warn!(
            "the settings are the copy of an earlier start or reload: use systemctl reload, which renews it"
        );
    }
    copy.unwrap_or_else(|| config.to_owned())
}

/// Whether a reload through systemd has just left this copy there. One from the future was left there
/// before the clock was set back, and nobody can tell when.
fn is_fresh(copy: &Path) -> bool {
    let modified = std::fs::metadata(copy).and_then(|copy| copy.modified());
    let age = modified.ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age < FRESH)
}

fn still_read(began: Instant) -> String {
    format!(
        "The settings or the pages are still being read after {} s: if that does not end, look at the disk or network mount that they are on",
        began.elapsed().as_secs()
    )
}

impl super::App {
    /// Begins to read the settings again; when that is going on already, it is done once more after.
    pub(super) fn begin_reload(&mut self, load: &Load) {
        if let Some((_, began)) = &self.reload.running {
            log::warn!("{}. They will be read once more then", still_read(*began));
            self.reload.again = true;
            return;
        }
        notify::tell(&[Notice::Reloading]);
        let (load, url) = (Arc::clone(load), self.url.clone());
        let reading = self.endings.beside(move || {
            let settings = load()?;
            // In any case: files may have changed under the same settings.
            let pages = api::read_pages(&url, &page_settings(&settings));
            Ok((settings, pages))
        });
        match reading {
            Ok(thread) => {
                let quick = notify::patience().map_or(QUICK, |patience| QUICK.min(patience / 2));
                let began = Instant::now();
                self.reload.look = Some(began + quick);
                self.reload.running = Some((thread, began));
            }
            Err(e) => self.reloaded(Err(format!("there is no thread to read them: {e}"))),
        }
    }

    /// What was begun has not ended yet.
    pub(super) fn reload_takes_long(&mut self) {
        self.reload.look = None;
        let Some((_, began)) = &self.reload.running else {
            return;
        };
        let slow = still_read(*began);
        log::warn!("{slow}");
        if let Some(watchdog) = &self.watchdog {
            watchdog.remark(slow);
        }
    }

    /// What was begun has ended.
    pub(super) fn end_reload(&mut self, load: &Load) {
        let Some((thread, _)) = self.reload.running.take() else {
            return;
        };
        self.reload.look = None;
        let read = thread.join();
        self.reloaded(read.unwrap_or_else(|_| Err("the thread that reads them panicked".into())));
        if std::mem::take(&mut self.reload.again) {
            self.begin_reload(load);
        }
    }

    fn reloaded(&mut self, read: Read) {
        let remark = match read {
            Ok((settings, pages)) => self.apply(settings, pages),
            Err(why) => {
                let why = why.lines().collect::<Vec<_>>().join("; ");
                log::error!("the settings could not be read again, and stay as they were: {why}");
                format!("The settings stay as they were: {why}")
            }
        };
        if let Some(watchdog) = &self.watchdog {
            watchdog.remark(remark);
        }
        notify::tell(&[Notice::Ready]);
    }

    /// Takes over what can change in a running server, and tells what cannot. Returns what is left to
    /// remark about it.
    fn apply(&mut self, new: Settings, pages: io::Result<ReadPages>) -> String {
        let (restart, at_once): (Vec<_>, Vec<_>) = self
            .settings
            .difference(&new)
            .into_iter()
            .partition(|change| change.restart);
        let keys = |changes: &[Change]| {
            let keys: Vec<&str> = changes.iter().map(|change| change.key).collect();
            keys.join(", ")
        };
        logging::set_level(new.log.level);
        let pages = pages.map(|pages| self.api.replace_pages(pages));
        match at_once.as_slice() {
            [] => log::info!("the settings were read again"),
            changes => log::info!("the settings were read again: {} changed", keys(changes)),
        }
        if !restart.is_empty() {
            log::warn!("{} will count after a restart", keys(&restart));
        }
        // What does not count yet stays as it was, so that the next time tells it again.
        self.settings.log.level = new.log.level;
        self.settings.pages = new.pages;
        match pages {
            Ok(problems) if problems.is_empty() => String::new(),
            Ok(_) => "Templates have problems, see the log".to_owned(),
            Err(e) => {
                log::error!("the pages could not be read again, and stay as they were: {e}");
                format!("The pages stay as they were: {e}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_renewed_by_the_copy_of_root_and_any_other_file_is_itself() {
        let home = tempfile::tempdir().unwrap();
        let of = |name: &str| home.path().join(name);
        let (credentials, runtime) = (of("credentials"), of("run/mayfly"));
        let (own, config) = (of("mayfly.toml"), credentials.join("mayfly.toml"));
        let newest = |config: &Path| {
            let runtime = Some(runtime.clone().into_os_string());
            newest(config, Some(credentials.clone().into_os_string()), runtime)
        };
        assert_eq!(newest(&own), own);
        assert_eq!(newest(&config), config, "nothing newer is there");
        let copy = of("run/mayfly.reload").join("mayfly.toml");
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::write(&copy, "").unwrap();
        assert_eq!(newest(&config), copy);
        assert_eq!(newest(&own), own);
    }

    #[test]
    fn only_a_copy_of_this_minute_is_of_this_reload() {
        let home = tempfile::tempdir().unwrap();
        let copy = home.path().join("mayfly.toml");
        assert!(!is_fresh(&copy), "there is none");
        let file = std::fs::File::create(&copy).unwrap();
        assert!(is_fresh(&copy));
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - FRESH).unwrap();
        assert!(!is_fresh(&copy));
        file.set_modified(now + FRESH).unwrap();
        assert!(!is_fresh(&copy));
    }
}
