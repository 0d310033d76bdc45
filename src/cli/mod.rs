//! The program behind `main`: turns the command line into a run, and its result into an exit code.
//!
//! `arguments` says what can be asked for, `serve` runs the server, `exit` has the exit codes.

mod arguments;
mod exit;
mod serve;

use crate::logging;
use arguments::{Command, HELP, parse};
use exit::{Failure, IO};
use std::io::{self, Write};
use std::process::ExitCode;

/// Does what the command line of this process asks for.
pub fn main() -> ExitCode {
    match parse(lexopt::Parser::from_env()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::last_words(&format!("mayfly: {}\n", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Help => say(HELP),
        Command::Version => say(concat!("mayfly ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Demo { dir, listen } => serve::demo(dir, listen),
        Command::Serve { config } => serve::serve(&config),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure {
            code: IO,
            message: format!("standard output: {e}"),
        })
}
