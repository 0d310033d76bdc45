//! The way to the accounts: through the running server, or to the database of a stopped one.

use super::arguments::Which;
use super::exit::{Failure, IO, TEMPORARY, USAGE, configuration};
use crate::admin::{self, Answer, AskError, Reason, Request, SOCKET};
use crate::app::{StartError, Stopped};
use crate::config::{self, Environment, Settings};
use crate::model::SystemClock;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a server that starts or stops, or another command, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Whom to ask.
pub(super) enum Reach {
    /// A running server, by its socket.
    Running(PathBuf),
    /// The data of a stopped one.
    Stopped(Box<Stopped>),
}

impl Reach {
    /// Finds out which of both it is.
    pub(super) fn find(which: &Which) -> Result<Self, Failure> {
        let settings = match &which.data_dir {
            Some(dir) => Settings::in_directory(dir.clone()),
            // Settings may name what only the service is given, such as a credential.
            None => {
                config::load(&which.config, &Environment::of_process()).map_err(|problems| {
                    configuration(format!(
                        "{problems}\nOr name the data directory: --data-dir DIR"
                    ))
                })?
            }
        };
        let socket = settings.data_dir.join(SOCKET);
        let until = Instant::now() + PATIENCE;
        loop {
            match Stopped::open(&settings, Arc::new(SystemClock::new())) {
                Ok(stopped) => return Ok(Self::Stopped(Box::new(stopped))),
                Err(StartError::InUse { .. }) => {}
                Err(e) => return Err(explain(e, &settings.data_dir)),
            }
            // Somebody has the data: a server that answers, one that starts or stops, or another
            // command.
            match admin::is_answered(&socket) {
                Ok(()) => return Ok(Self::Running(socket)),
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    return Err(no_permission(&settings.data_dir));
                }
                Err(_) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(e) => {
                    return Err(Failure {
                        code: TEMPORARY,
                        message: format!(
                            "{} is in use, but nobody answers at {}: {e}. If the server is starting or stopping, try again; else its log says why it has no admin socket, and the command works while it is stopped",
                            settings.data_dir.display(),
                            socket.display()
                        ),
                    });
                }
            }
        }
    }

    /// Asks. A refusal is a failure.
    pub(super) fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let answer = match self {
            Self::Stopped(stopped) => admin::perform(stopped.service(), None, request),
            Self::Running(socket) => admin::ask(socket, request).map_err(|e| match e {
                AskError::Absent(e) => Failure {
                    code: TEMPORARY,
                    message: format!("the server has gone: {e}. Nothing was done, try again"),
                },
                AskError::Broken(e) => Failure {
                    code: IO,
                    message: format!(
                        "the server did not answer: {e}. Look whether it was done before you try again"
                    ),
                },
            })?,
        };
        let Answer::Refused { reason, message } = answer else {
            return Ok(answer);
        };
        let code = match reason {
            Reason::Wrong => USAGE,
            Reason::Later => TEMPORARY,
            Reason::Failed => IO,
        };
        Err(Failure { code, message })
    }
}

/// An answer that belongs to another request: the server is of another version.
pub(super) fn unexpected() -> Failure {
    Failure {
        code: IO,
        message: "the server answers something else: it is of another version than this program, restart it".to_owned(),
    }
}

fn explain(error: StartError, data_dir: &Path) -> Failure {
    match error {
        StartError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            no_permission(data_dir)
        }
        other => other.into(),
    }
}

fn no_permission(data_dir: &Path) -> Failure {
    Failure {
        code: IO,
        message: format!(
            "{} belongs to another user: run the command as root (sudo), or as the user that the server runs as",
            data_dir.display()
        ),
    }
}
