//! The `mayfly` program: turns the command line into a run, and its result into an exit code.
#![forbid(unsafe_code)]

use lexopt::prelude::*;
use mayfly::app::{self, App, PATIENCE_IN_DOUBT, StartError};
use mayfly::config::{self, Environment, LISTEN, Settings};
use mayfly::demo;
use mayfly::model::SystemClock;
use mayfly::tasks::{self, Ending};
use std::io::{self, LineWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
Mayfly: upload a file, get a link; both vanish when they are used up.

Usage:
  mayfly demo [--dir DIR] [--listen ADDR:PORT]
      A complete server at once. Data in DIR (./mayfly-demo), listening on
      ADDR:PORT (127.0.0.1:53842; port 0 takes any free one).
  mayfly serve --config FILE
      The server, with the settings of FILE (see config/mayfly.toml).
  mayfly --help | --version

Exit codes: 0 ended as asked, 64 wrong usage, 74 input or output failed,
75 something is in the way (try again later), 78 wrong settings.
";

/// What the command line asks for.
enum Command {
    Help,
    Version,
    Demo { dir: PathBuf, listen: SocketAddr },
    Serve { config: PathBuf },
}

/// Why the program ends before its time: a code of sysexits.h, and words with the remedy.
struct Failure {
    code: u8,
    message: String,
}

const USAGE: u8 = 64;
const IO: u8 = 74;
const TEMPORARY: u8 = 75;
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    // Before anything else allocates or creates. The figures keep 500 threads from having an arena
    // each, and give large blocks back to the system when they are freed.
    mayfly_sys::bound_allocator(2, 128 * 1024);
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match parse(lexopt::Parser::from_env()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _stderr_is_gone = writeln!(io::stderr(), "mayfly: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut words = Vec::new();
    let (mut dir, mut listen, mut config) = (None, None, None);
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("dir") => dir = Some(PathBuf::from(parser.value().map_err(usage)?)),
            Long("config") => config = Some(PathBuf::from(parser.value().map_err(usage)?)),
            Long("listen") => {
                let value = parser.value().map_err(usage)?;
                let address = value.to_str().and_then(|text| text.parse().ok());
                listen = Some(address.ok_or_else(|| {
                    usage(
                        "--listen takes an address and a port, such as 127.0.0.1:53842 or [::1]:0",
                    )
                })?);
            }
            Value(word) => words.push(word),
            other => return Err(usage(other.unexpected())),
        }
    }
    let words: Vec<&str> = words.iter().map(|w| w.to_str().unwrap_or("?")).collect();
    match (words.as_slice(), dir, listen, config) {
        (["demo"], dir, listen, None) => Ok(Command::Demo {
            dir: dir.unwrap_or_else(|| PathBuf::from("mayfly-demo")),
            listen: listen.unwrap_or(LISTEN),
        }),
        (["serve"], None, None, Some(config)) => Ok(Command::Serve { config }),
        (["serve"], None, None, None) => Err(usage("serve needs --config FILE")),
        (["demo"], ..) => Err(usage("demo takes --dir and --listen only")),
        (["serve"], ..) => Err(usage(
            "serve takes --config only; the rest stands in that file",
        )),
        ([], ..) => Err(usage("say what to do: demo or serve")),
        (words, ..) => Err(usage(format!(
            "there is no command \"{}\"",
            words.join(" ")
        ))),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Help => say(HELP),
        Command::Version => say(concat!("mayfly ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Demo { dir, listen } => {
            let settings = demo::settings(dir, listen);
            start_log(settings.log.level);
            let mut app = start(settings.clone())?;
            let credentials = demo::credentials(&mut app, &settings).map_err(configuration)?;
            if let Err(e) = demo::greet(&mut io::stdout().lock(), app.url(), &credentials) {
                log::warn!("the greeting could not be printed: {e}");
            }
            drop(credentials);
            until_the_end(app, settings.drain)
        }
        Command::Serve { config } => {
            let settings =
                config::load(&config, &Environment::of_process()).map_err(configuration)?;
            let drain = settings.drain;
            start_log(settings.log.level);
            let mut app = start(settings)?;
            drop(app.take_credentials());
            if let Err(e) = demo::announce(&mut io::stdout().lock(), app.url()) {
                log::warn!("the address could not be printed: {e}");
            }
            until_the_end(app, drain)
        }
    }
}

fn start(settings: Settings) -> Result<App, Failure> {
    let app = app::start(settings, Arc::new(SystemClock::new()))?;
    tasks::watch_signals(app.endings(), |signal| {
        log::warn!("asked again, ending at once");
        std::process::exit(128 + signal);
    })
    .map_err(|e| Failure {
        code: IO,
        message: format!("signals cannot be received: {e}"),
    })?;
    Ok(app)
}

fn until_the_end(app: App, drain: Duration) -> Result<(), Failure> {
    let ending = app.wait();
    log::info!("stopping");
    let patience = match ending {
        Ending::Asked | Ending::Deaf(_) => drain,
        Ending::InDoubt(_) => PATIENCE_IN_DOUBT,
    };
    match app.stop(patience) {
        0 => log::info!("stopped"),
        cut => log::warn!("stopped; {cut} connections had to be cut"),
    }
    match ending {
        Ending::Asked => Ok(()),
        Ending::InDoubt(cause) => Err(Failure {
            code: IO,
            message: format!(
                "the outcome of a write is unknown: {cause}. Check the disk and its space, then start again: the start finds out what was written"
            ),
        }),
        Ending::Deaf(cause) => Err(Failure {
            code: IO,
            message: format!("connections cannot be accepted any more: {cause}. Start it again"),
        }),
    }
}

/// The log goes to standard error, a line at a time.
fn start_log(level: log::LevelFilter) {
    let config = simplelog::ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_time_level(log::LevelFilter::Error)
        .set_target_level(log::LevelFilter::Debug)
        .set_thread_level(log::LevelFilter::Off)
        .set_location_level(log::LevelFilter::Off)
        .build();
    // It fails only when there is a log already.
    let _first = simplelog::WriteLogger::init(level, config, LineWriter::new(io::stderr()));
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

fn usage(problem: impl std::fmt::Display) -> Failure {
    Failure {
        code: USAGE,
        message: format!("{problem}. See mayfly --help"),
    }
}

fn configuration(problem: impl std::fmt::Display) -> Failure {
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
