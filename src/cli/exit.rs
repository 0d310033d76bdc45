//! How the program ends: exit codes after sysexits.h, and messages that name the remedy.

use crate::app::StartError;

/// Why the program ends before its time: a code of sysexits.h, and words with the remedy.
pub(super) struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened and what to do.
    pub message: String,
}

impl Failure {
    /// The output failed after the change was made: says so, and what to do.
    pub fn but_done(mut self, remedy: &str) -> Self {
        self.message = format!("{}. {remedy}", self.message);
        self
    }
}

pub(super) const USAGE: u8 = 64;
pub(super) const IO: u8 = 74;
pub(super) const TEMPORARY: u8 = 75;
pub(super) const CONFIGURATION: u8 = 78;

pub(super) fn usage(problem: impl std::fmt::Display) -> Failure {
    Failure {
        code: USAGE,
        message: format!("{problem}\nFor more, see mayfly --help"),
    }
}

pub(super) fn configuration(problem: impl std::fmt::Display) -> Failure {
    Failure {
        code: CONFIGURATION,
        message: problem.to_string(),
    }
}

impl From<StartError> for Failure {
    fn from(e: StartError) -> Self {
        let code = if e.is_temporary() {
            TEMPORARY
        } else if e.is_configuration() {
            CONFIGURATION
        } else {
            IO
        };
        Self {
            code,
            message: e.to_string(),
        }
    }
}
