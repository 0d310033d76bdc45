//! The log: one line for each event, which never holds up who has something to say.
//!
//! # Form
//!
//! `EVENT: key=value key=value words`, after time and level on a terminal or in a file
//! (`2026-01-02T03:04:05Z [WARN] `), or after the priority in the journal (`<4>`, sd-daemon(3)). The
//! events stand in [`event`]; a line without one of them is a `fault` (error), `warning`, `note` or
//! `debug`, and has words for people.
//!
//! # What always holds
//!
//! - A line is one line, and shows what it says: see [`Quoted`].
//! - No link id, key, password, cookie, query or file name is in it, at no level. Links and keys are
//!   told apart by the first 4 bytes of their hash. Who panics is named, not what was said.
//! - Whoever logs never waits: lines go into a bounded queue, and one thread writes them. What does
//!   not fit is dropped and counted, and a line tells the number as soon as there is room.
//! - What anybody can cause by asking is limited to 60 lines a minute of each kind; a line tells how
//!   many more there were. Downloads that count and those that do not are kinds of their own. So an attack does not wear the SD card, and does not hide another.
//! - When nothing happens, nothing is written, and the writer sleeps.

mod escape;
pub mod event;
mod file;
mod format;
mod queue;
mod stream;
mod throttle;
mod writer;

pub use escape::Quoted;

use file::LogFile;
use format::Formatter;
use log::{Level, LevelFilter, Metadata, Record};
use queue::Queue;
use rustix::event::Timespec;
use std::io;
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stream::Stream;
use throttle::{Throttle, Verdict};
use writer::{Sink, Writer};

/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for somebody who has panicked.
const PANIC_PATIENCE: Duration = Duration::from_millis(250);
/// The writer calls few levels deep.
const STACK: usize = 128 * 1024;

/// Where the log goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Target {
    /// Standard error: in the form of the journal when it leads there, else as on a terminal.
    #[default]
    Auto,
    /// Standard error, each line with its time and level.
    Terminal,
    /// Standard error, each line with its priority (sd-daemon(3)) and without a time.
    Journal,
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// The most bytes in it, 16 KiB at least; then it becomes `path.1` and a new one begins.
        max_size: u64,
        /// How many old ones are kept.
        keep: u32,
    },
}

/// How to log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The least important lines that are written. [`set_level`] changes it.
    pub level: LevelFilter,
    /// Where they go.
    pub target: Target,
}

/// The running log. Dropping it writes what waits, for two seconds at most, and ends it.
#[must_use = "the log ends when this is dropped"]
pub struct Log(Arc<Core>);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.queue.close(PATIENCE);
    }
}

/// Starts the log of this process, and has panics told there. A file that cannot be written is no
/// failure: that is told on standard error, and tried again.
///
/// # Errors
/// When the process has a log already, or there is no thread to be had.
pub fn start(options: &Options) -> io::Result<Log> {
    let variable = std::env::var("JOURNAL_STREAM").ok();
    let journal = match &options.target {
        Target::Auto => Stream::is_journal(variable.as_deref()),
        Target::Journal => true,
        Target::Terminal | Target::File { .. } => false,
    };
    let sink = match &options.target {
        Target::File {
            path,
            max_size,
            keep,
        } => Sink::File(LogFile::new(path.clone(), *max_size, *keep)),
        Target::Auto | Target::Terminal | Target::Journal => Sink::Stream(Stream),
    };
    let core = Arc::new(Core::new(journal));
    log::set_boxed_logger(Box::new(Logger(Arc::clone(&core)))).map_err(io::Error::other)?;
    let writer = Writer::new(Arc::clone(&core), sink);
    std::thread::Builder::new()
        .name("log".to_owned())
        .stack_size(STACK)
        .spawn(move || writer.run())?;
    set_level(options.level);
    let told = Arc::clone(&core);
    std::panic::set_hook(Box::new(move |info| {
        panicked(info);
        told.queue.flush(PANIC_PATIENCE);
    }));
    Ok(Log(core))
}

/// From now on, less important lines than `level` are not written.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Waits until everything that was logged is written, for two seconds at most: for those who end
/// the process without dropping its [`Log`].
pub fn flush() {
    log::logger().flush();
}

/// The last words of a process, on standard error: said without a log, and given up after two
/// seconds when nobody takes them. Whoever ends must not wait for a reader that never comes.
pub fn last_words(text: &str) {
    let patience = Timespec {
        tv_sec: 2,
        tv_nsec: 0,
    };
    Stream::say(text, &patience);
}

/// Says who panicked. What was said may hold what a client sent, so it is left out; the place tells
/// enough.
fn panicked(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    match info.location() {
        Some(at) => log::error!(
            "panic thread={thread} at={}:{}:{}",
            at.file(),
            at.line(),
            at.column()
        ),
        None => log::error!("panic thread={thread}"),
    }
}

/// What those who log and the writer share.
struct Core {
    formatter: Mutex<Formatter>,
    throttle: Mutex<Throttle>,
    queue: Queue,
    started: Instant,
}

impl Core {
    fn new(journal: bool) -> Self {
        Self {
            formatter: Mutex::new(Formatter::new(journal)),
            throttle: Mutex::default(),
            queue: Queue::default(),
            started: Instant::now(),
        }
    }

    /// One line; `text` is harmless already.
    fn line(&self, level: Level, event: &str, text: &str) -> Vec<u8> {
        let formatter = self.formatter.lock();
        let formatter = formatter.unwrap_or_else(PoisonError::into_inner);
        formatter.line(level, event, text)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        // Numbers stay numbers.
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a line of that kind is to be written.
    fn admits(&self, kind: &str) -> bool {
        let verdict = self.throttle().judge(kind, self.started.elapsed());
        if verdict == Verdict::SuppressFirst {
            self.queue.nudge();
        }
        verdict == Verdict::Write
    }

    /// The kinds whose suppressed lines are to be told, and their number.
    fn suppressed(&self, all: bool) -> Vec<(String, u64)> {
        self.throttle().over(self.started.elapsed(), all)
    }

    fn next_suppressed(&self) -> Option<Instant> {
        let next = self.throttle().next();
        next.and_then(|at| self.started.checked_add(at))
    }
}

/// What the macros of [`log`] call.
struct Logger(Arc<Core>);

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What others say in passing is not known to be harmless.
        let ours = metadata.target().starts_with("mayfly") || is_event(metadata.target());
        metadata.level() <= log::max_level() && (ours || metadata.level() <= Level::Warn)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (level, target) = (record.level(), record.target());
        let event = if is_event(target) {
            target
        } else {
            match level {
                Level::Error => event::FAULT,
                Level::Warn => "warning",
                Level::Info => "note",
                Level::Debug | Level::Trace => "debug",
            }
        };
        let text = escape::Text::of(*record.args());
        let limited = level <= Level::Info && !event::UNLIMITED.contains(&event);
        if limited && !self.0.admits(&kind(event, target, &text)) {
            return;
        }
        let line = self.0.line(level, event, &text);
        self.0.queue.push(line, level <= Level::Warn);
    }

    fn flush(&self) {
        self.0.queue.flush(PATIENCE);
    }
}

fn is_event(target: &str) -> bool {
    event::ALL.contains(&target)
}

/// What a line is counted under: its event, and `kind=` or `counted=` where it begins so, after its
/// `result=`; a line without an event, by the module that wrote it. So ranges of a file, which anybody
/// may ask for by the thousand, do not hide the downloads that count.
fn kind(event: &str, target: &str, text: &str) -> String {
    let mut words = text
        .split(' ')
        .skip_while(|word| word.starts_with("result="));
    let told = words
        .next()
        .filter(|word| word.starts_with("kind=") || word.starts_with("counted="));
    if let Some(told) = told {
        format!("{event}: {told}")
    } else if event == target {
        format!("{event}:")
    } else {
        format!("{event}: {target}")
    }
}

#[cfg(test)]
mod tests;
