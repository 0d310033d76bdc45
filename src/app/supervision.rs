//! What the service manager hears of a running server: whether it is well, and how it is in words.

use crate::api::Readiness;
use crate::metadata::Metadata;
use crate::model::Lookup;
use crate::server::Server;
use crate::tasks::notify;
use crate::tasks::watchdog::{Plan, Probe, Watchdog};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest that one question of the server to itself takes; it is asked again.
const QUESTION: Duration = Duration::from_secs(5);
/// As many links as nobody has: they were not counted yet.
const UNCOUNTED: u64 = u64::MAX;

/// Starts the watchdog, if there is a service manager to tell.
pub(super) fn start(
    server: &Server,
    metadata: &Arc<dyn Metadata>,
    ready: Readiness,
    url: &str,
) -> io::Result<Option<Watchdog>> {
    if !notify::is_wanted() {
        return Ok(None);
    }
    let patience = notify::patience();
    let question = patience.map_or(QUESTION, |patience| QUESTION.min(patience / 4));
    let listener = server.self_probe("/health");
    let links = Arc::new(AtomicU64::new(UNCOUNTED));
    let mut probes = vec![
        Probe::on_thread("the listener", move || listener.ask(question))?,
        database_probe(metadata, Arc::clone(&links))?,
    ];
    let signs = server.worker_signs().into_iter();
    probes.extend(signs.map(|(name, sign)| Probe::of_signs(name, sign)));
    Watchdog::start(Plan {
        probes,
        status: status(server, ready, links, beginning(url))?,
        patience,
        tell: Box::new(notify::tell),
    })
    .map(Some)
}

/// Asks whether the database can be read: for the number of its links, which goes to `links`, and
/// each time for another link that does not exist, so that not the same few pages in memory answer
/// for a disk that hangs.
///
/// An error is an answer, too. What a new start can help ends the process by itself; with the rest,
/// other links still work.
///
/// # Errors
/// When there is no thread to be had.
pub fn database_probe(metadata: &Arc<dyn Metadata>, links: Arc<AtomicU64>) -> io::Result<Probe> {
    // A database that hangs must not be held open by who asks it.
    let metadata = Arc::downgrade(metadata);
    let mut nobody = Lookup([0; 32]);
    Probe::on_thread("the database", move || {
        let Some(metadata) = metadata.upgrade() else {
            return Ok(());
        };
        if let Ok(count) = metadata.link_count() {
            links.store(count, Ordering::Relaxed);
        }
        // An odd step goes through all values, and this one lands far from where it was.
        nobody.0[0] = nobody.0[0].wrapping_add(151);
        let _answered = metadata.link(&nobody);
        Ok(())
    })
}

/// What a status begins with.
pub(super) fn beginning(url: &str) -> String {
    format!("Links begin with {url}")
}

/// How it is, in words: what is in the way, where it is, what is going on.
fn status(
    server: &Server,
    ready: Readiness,
    links: Arc<AtomicU64>,
    beginning: String,
) -> io::Result<Box<dyn FnMut() -> String + Send>> {
    let transfers = server.transfers();
    let obstacle = Arc::new(Mutex::new(None));
    let found = Arc::clone(&obstacle);
    // It looks at the disk, which may hang.
    let mut readiness = Probe::on_thread("the disk", move || {
        *found.lock().unwrap_or_else(PoisonError::into_inner) = match ready() {
            Ok(remark) => remark.map(|remark| format!("Ready; {remark}. ")),
            Err(why) => Some(format!("Not ready: {}. ", why.trim_end_matches('.'))),
        };
        Ok(())
    })?;
    Ok(Box::new(move || {
        // What it answers is in the next status.
        let _may_take_its_time = readiness.has_answered();
        let mut text = String::new();
        if let Some(words) = &*obstacle.lock().unwrap_or_else(PoisonError::into_inner) {
            text.clone_from(words);
        }
        text.push_str(&beginning);
        match links.load(Ordering::Relaxed) {
            UNCOUNTED => {}
            1 => text.push_str("; 1 link"),
            count => text.push_str(&format!("; {count} links")),
        }
        let (uploads, downloads) = transfers();
        if uploads > 0 {
            text.push_str(&format!("; uploads running: {uploads}"));
        }
        if downloads > 0 {
            text.push_str(&format!("; downloads running: {downloads}"));
        }
        text
    }))
}
