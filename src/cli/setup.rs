//! `setup`: the first run, and what `serve` does without settings.

use super::exit::{CONFIGURATION, Failure, IO, USAGE};
use crate::model::SystemClock;
use crate::setup::{self, SetupError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Asks, or reads the answers, and writes.
pub(super) fn setup(config: &Path, answers: Option<&Path>) -> Result<(), Failure> {
    let config = whole(config);
    let clock = Arc::new(SystemClock::new());
    let written = match answers {
        Some(answers) => setup::unattended(&config, answers, clock),
        None => setup::interactively(&config, clock),
    };
    tell(&written?, false)
}

/// Asks for settings if there are none and there is somebody to ask.
pub(super) fn before_serve(config: &Path) -> Result<(), Failure> {
    match config.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // Whatever else is the matter is told by whoever reads it.
        _ => return Ok(()),
    }
    if !setup::is_interactive() {
        return Err(Failure {
            code: CONFIGURATION,
            message: format!(
                "there are no settings in {}: run mayfly setup, or name the file with --config",
                config.display()
            ),
        });
    }
    let written = setup::interactively(&whole(config), Arc::new(SystemClock::new()))?;
    tell(&written, true)
}

fn tell(written: &setup::Written, serving: bool) -> Result<(), Failure> {
    written
        .tell(&mut io::stdout().lock(), serving)
        .map_err(|e| Failure {
            code: IO,
            message: format!(
                "standard output: {e}. Everything is written, only API key and recovery phrase are lost: mayfly key create and mayfly user passwd --new-phrase make others"
            ),
        })
}

/// Next steps are typed in other directories, too.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl From<SetupError> for Failure {
    fn from(e: SetupError) -> Self {
        let message = e.to_string();
        let code = match e {
            SetupError::Start(e) => return e.into(),
            SetupError::Exists { .. } | SetupError::Answers { .. } => CONFIGURATION,
            SetupError::Ended { code } => code,
            SetupError::NoTerminal => USAGE,
            SetupError::Terminal(_) | SetupError::File { .. } => IO,
        };
        Self { code, message }
    }
}
