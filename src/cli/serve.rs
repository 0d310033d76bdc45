//! `serve` and `demo`: from settings to a running server, and to its end.

use super::exit::{Failure, IO, configuration};
use crate::app::{self, App, PATIENCE_IN_DOUBT};
use crate::config::{self, Environment, Settings};
use crate::demo;
use crate::model::SystemClock;
use crate::tasks::{self, Ending};
use std::io::{self, LineWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Runs a demo until it ends.
pub(super) fn demo(dir: PathBuf, listen: SocketAddr) -> Result<(), Failure> {
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

/// Runs the server of a settings file until it ends.
pub(super) fn serve(config: &Path) -> Result<(), Failure> {
    let settings = config::load(config, &Environment::of_process()).map_err(configuration)?;
    start_log(settings.log.level);
    let drain = settings.drain;
    let mut app = start(settings)?;
    drop(app.take_credentials());
    if let Err(e) = demo::announce(&mut io::stdout().lock(), app.url()) {
        log::warn!("the address could not be printed: {e}");
    }
    until_the_end(app, drain)
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
