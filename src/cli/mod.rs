//! The program behind `main`: turns the command line into a run, and its result into an exit code.
//!
//! `arguments` says what can be asked for, `exit` has the exit codes. `serve` runs the server, `setup` asks for its settings, `check` looks whether all is well, `keys`
//! and `users` look after accounts by way of `reach`, `store` moves files, `secrets` asks for what must not stand on a
//! command line, `documents` prints what is made from the command line itself.

mod arguments;
mod check;
mod documents;
mod exit;
mod keys;
mod print;
mod reach;
mod secrets;
mod serve;
mod setup;
mod store;
mod users;

use crate::logging;
use arguments::{Arguments, Command};
use clap::Parser;
use clap::error::ErrorKind;
use exit::{Failure, USAGE};
use print::say;
use std::process::ExitCode;

/// Does what the command line of this process asks for.
pub fn main() -> ExitCode {
    let result = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        Err(error) => told(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::last_words(&format!("mayfly: {}\n", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

/// What the parser has to say: help and version are answers, the rest is wrong usage.
fn told(error: &clap::Error) -> Result<(), Failure> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => say(&text),
        _ => Err(Failure {
            code: USAGE,
            message: text.trim_start_matches("error: ").trim_end().to_owned(),
        }),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { config } => {
            setup::before_serve(&config)?;
            serve::serve(&config)
        }
        Command::Setup { config, answers } => setup::setup(&config, answers.as_deref()),
        Command::Demo { dir, listen } => serve::demo(dir, listen),
        Command::CheckConfig { config, online } => check::check(&config, online),
        Command::Doctor { config } => check::doctor(&config),
        Command::Key(command) => keys::run(command),
        Command::User(command) => users::run(command),
        Command::Store(command) => store::run(command),
        Command::Completions { shell } => documents::completions(shell),
        Command::Man => documents::man(),
    }
}
