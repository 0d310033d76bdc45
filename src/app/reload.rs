//! Reading the settings again while the server runs.

use crate::config::{Change, Settings};
use crate::logging;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

impl super::App {
    /// Takes over what can change in a running server, and tells what cannot. Pages are read again in
    /// any case: their files may have changed under the same settings. Returns what is left to
    /// remark about it.
    pub(super) fn apply(&mut self, new: Settings) -> String {
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
        let pages = self.reload_pages(&new);
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
