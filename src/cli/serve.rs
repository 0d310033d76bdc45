//! `serve` and `demo`: from settings to a running server, and to its end.

use super::exit::{Failure, IO, configuration};
use crate::app::{self, App, Load, PATIENCE_IN_DOUBT};
use crate::config::{self, Environment, LogTarget, Settings};
use crate::demo;
use crate::logging::{self, Options, Target, event};
use crate::model::SystemClock;
use crate::tasks::{self, Ending, HangUp};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Runs a demo until it ends.
pub(super) fn demo(dir: PathBuf, listen: SocketAddr) -> Result<(), Failure> {
    let settings = demo::settings(dir, listen);
    let _log = start_log(&settings.log)?;
    let mut app = start(settings.clone(), HangUp::End)?;
    let usable = demo::credentials(&mut app, &settings)?;
    let file = &settings.credentials_file;
    if let Err(e) = demo::greet(&mut io::stdout().lock(), app.url(), &usable, file) {
        log::warn!("the greeting could not be printed: {e}");
    }
    drop(usable);
    let load = || Err("a demo has no settings file".to_owned());
    until_the_end(app, settings.drain, Arc::new(load))
}

/// Runs the server of a settings file until it ends.
pub(super) fn serve(config: &Path) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let settings = config::load(config, &environment).map_err(configuration)?;
    let _log = start_log(&settings.log)?;
    let drain = settings.drain;
    let mut app = start(settings, HangUp::Reload)?;
    app.forget_credentials();
    if let Err(e) = demo::announce(&mut io::stdout().lock(), app.url()) {
        log::warn!("the address could not be printed: {e}");
    }
    let config = config.to_owned();
    let load = move || {
        config::load(&app::settings_source(&config), &environment).map_err(|e| e.to_string())
    };
    until_the_end(app, drain, Arc::new(load))
}

fn start(settings: Settings, hang_up: HangUp) -> Result<App, Failure> {
    let app = app::start(settings, Arc::new(SystemClock::new()))?;
    tasks::watch_signals(app.endings(), hang_up, |signal| {
        log::warn!(target: event::STOP, "asked again, ending at once");
        logging::flush();
        std::process::exit(128 + signal);
    })
    .map_err(|e| Failure {
        code: IO,
        message: format!("signals cannot be received: {e}"),
    })?;
    // Told last: who waits for this line may ask for the end at once.
    log::info!(
        target: event::START,
        "version={} listening on {}, links begin with {}",
        env!("CARGO_PKG_VERSION"),
        app.address(),
        app.url()
    );
    Ok(app)
}

fn until_the_end(mut app: App, drain: Duration, load: Load) -> Result<(), Failure> {
    let ending = app.wait(load);
    let why = match &ending {
        Ending::Asked => "asked",
        Ending::InDoubt(_) => "in-doubt",
        Ending::Deaf(_) => "deaf",
    };
    log::info!(target: event::STOP, "stopping why={why}");
    let patience = match ending {
        Ending::Asked | Ending::Deaf(_) => drain,
        Ending::InDoubt(_) => PATIENCE_IN_DOUBT,
    };
    match app.stop(patience) {
        0 => log::info!(target: event::STOP, "stopped cut=0"),
        cut => log::warn!(target: event::STOP, "stopped cut={cut} connections had to be cut"),
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

/// The log, until what this returns is dropped.
fn start_log(log: &config::Log) -> Result<logging::Log, Failure> {
    let target = match (log.target, &log.file) {
        (LogTarget::File, Some(path)) => Target::File {
            path: path.clone(),
            max_size: log.max_size,
            keep: log.keep,
        },
        // The settings have no file without its path.
        (LogTarget::Auto | LogTarget::File, _) => Target::Auto,
        (LogTarget::Terminal, _) => Target::Terminal,
        (LogTarget::Journal, _) => Target::Journal,
    };
    let level = log.level;
    logging::start(&Options { level, target }).map_err(|e| Failure {
        code: IO,
        message: format!("the log cannot be started: {e}. Threads or open files may have run out: check the limits of the system, then start again"),
    })
}
