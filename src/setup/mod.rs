//! The first run: a few questions, then a settings file and an account with a chosen password.
//!
//! `questions` is the dialogue, a pure function over a [`Prompt`] and a [`Host`], and `bucket` its part about
//! S3; `answers` holds what
//! was said and judges it with the code that reads settings; `answers_file` takes the same from a
//! file. `write` makes settings and account, both or neither. `terminal` talks to a person, `host` asks the
//! machine, `closing` says what to do next.
//!
//! Nothing is written before the last question is answered, and a settings file that exists is never
//! changed. Whatever ends the dialogue, the terminal is as it was before.

mod answers;
mod answers_file;
mod bucket;
mod closing;
mod host;
mod password;
mod prompt;
mod questions;
mod terminal;
mod trial;
mod write;

pub use answers::Answers;
pub use host::{Host, ThisHost};
pub use prompt::{Prompt, Stop};
pub use questions::ask;
pub use terminal::is_interactive;
pub use write::{Written, write};

use crate::app::StartError;
use crate::model::Clock;
use rustix::fs::{Access, access};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

/// What is said when somebody ends it.
const ENDED: &str = "ended; nothing was written";

/// Why there are no settings and no account now. Nothing was left behind.
#[derive(Debug)]
pub enum SetupError {
    /// There are settings already.
    Exists {
        /// The file.
        config: PathBuf,
    },
    /// The person ended it: the exit code that says so.
    Ended {
        /// 128 and the number of the signal, as shells count.
        code: u8,
    },
    /// There is nobody to ask.
    NoTerminal,
    /// The terminal failed.
    Terminal(io::Error),
    /// The answers file has problems: all of them, one a line.
    Answers {
        /// The file.
        path: PathBuf,
        /// At least one.
        problems: Vec<String>,
    },
    /// The account could not be made.
    Start(StartError),
    /// The settings file could not be written.
    File {
        /// What was tried.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { config } => write!(
                f,
                "{0} exists already, and setup changes no settings: edit that file, move it away, or name another one with --config",
                config.display()
            ),
            Self::Ended { .. } => write!(f, "{ENDED}"),
            Self::NoTerminal => write!(
                f,
                "setup asks its questions on a terminal, and this is none: run it in one, or give the answers with --answers FILE"
            ),
            Self::Terminal(e) => write!(f, "the terminal failed: {e}; nothing was written"),
            Self::Answers { path, problems } => {
                let word = if problems.len() == 1 {
                    "problem"
                } else {
                    "problems"
                };
                write!(f, "{} {word} in {}", problems.len(), path.display())?;
                for problem in problems {
                    write!(f, "\n  {problem}")?;
                }
                Ok(())
            }
            Self::Start(e) => write!(f, "{e}"),
            Self::File {
                attempt,
                path,
                source,
            } => write!(
                f,
                "{attempt} {} failed: {source}. Run setup as the user who owns that place (root for /etc), or name another file with --config",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SetupError {}

impl From<Stop> for SetupError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Ended | Stop::Signal => Self::Ended { code: 130 },
            Stop::Io(e) => Self::Terminal(e),
        }
    }
}

impl From<StartError> for SetupError {
    fn from(e: StartError) -> Self {
        Self::Start(e)
    }
}

/// Asks a person on this terminal, and writes what was agreed.
///
/// # Errors
/// [`SetupError`]; the terminal is in order and nothing is left behind.
pub fn interactively(config: &Path, clock: Arc<dyn Clock>) -> Result<Written, SetupError> {
    check_place(config)?;
    if !is_interactive() {
        return Err(SetupError::NoTerminal);
    }
    let mut session = terminal::Session::start().map_err(SetupError::Terminal)?;
    let answers = match ask(session.prompt(), &ThisHost, config) {
        Err(Stop::Signal) => {
            return Err(SetupError::Ended {
                code: session.signalled(),
            });
        }
        other => other?,
    };
    session.questions_are_over();
    let interrupted = || session.interrupted();
    write(&answers, config, clock, &interrupted)
}

/// Takes the answers from a file, and writes what they say.
///
/// # Errors
/// As [`interactively`].
pub fn unattended(
    config: &Path,
    answers: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Written, SetupError> {
    check_place(config)?;
    let answers = answers_file::read_and_try(answers, config, &ThisHost)?;
    write(&answers, config, clock, &|| None)
}

/// Whether settings can be written there: nobody wants to hear that after the last question.
fn check_place(config: &Path) -> Result<(), SetupError> {
    let failed = |source| SetupError::File {
        attempt: "writing",
        path: config.to_owned(),
        source,
    };
    match config.symlink_metadata() {
        Ok(_) => {
            return Err(SetupError::Exists {
                config: config.to_owned(),
            });
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    let mut above = config.ancestors().skip(1);
    let exists = above.find(|path| path.symlink_metadata().is_ok());
    let rights = Access::WRITE_OK | Access::EXEC_OK;
    access(exists.unwrap_or(Path::new("/")), rights).map_err(|e| failed(e.into()))
}

#[cfg(test)]
mod tests;
