//! Asks a running server.

use super::socket::connect;
use super::wire::{self, Answer, Request};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an answer may take: others may be before us, and a password takes a second on a small
/// machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// Nobody is there to be asked. Nothing was sent.
    Absent(io::Error),
    /// The conversation broke off; the request may have been carried out.
    Broken(io::Error),
}

/// Whether somebody answers at `path`.
///
/// # Errors
/// Why not.
pub fn is_answered(path: &Path) -> io::Result<()> {
    connect(path).map(drop)
}

/// Asks the server whose socket (or link to it) is at `path`.
///
/// # Errors
/// [`AskError`].
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    let stream = connect(path).map_err(AskError::Absent)?;
    let exchange = || {
        let mut stream = &stream;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&wire::to_line(request)?)?;
        let deadline = Instant::now() + PATIENCE;
        let line = wire::read_line(stream, deadline)?;
        wire::answer(&line).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "an answer of another version")
        })
    };
    exchange().map_err(AskError::Broken)
}
