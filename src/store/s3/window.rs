//! One range request that is open, and whether its answer is the one that was asked for.

use super::answer::Streaming;
use super::error::{Kind, S3Error};
use crate::model::progress;
use std::io::{self, Read};

/// An open request, and which byte comes next.
pub(super) struct Window {
    pub(super) body: Streaming,
    pub(super) at: u64,
    pub(super) end: u64,
}

impl Window {
    /// Reads as much of `buffer` as the window has.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> (usize, Result<(), S3Error>) {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let mut done = 0;
        while done < wanted {
            match self.body.read(&mut buffer[done..wanted]) {
                Ok(0) => return (done, Err(broken("the answer is shorter than it said"))),
                Ok(read) => {
                    done += read;
                    self.at += read as u64;
                    progress::step();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(cut(error))),
            }
        }
        (done, Ok(()))
    }
}

/// Whether the answer is the part of the object that was asked for. A server may answer with all of
/// it when that is the same: RFC 9110, section 14.2.
pub(super) fn check(body: &Streaming, at: u64, length: u64, size: u64) -> Result<(), S3Error> {
    let fits = match body.range {
        Some(range) => {
            body.status == 206
                && range.start == at
                && length.checked_sub(1) == Some(range.end - range.start)
                && range.total.is_none_or(|total| total == size)
                && body.length.is_none_or(|said| said == length)
        }
        None => body.status == 200 && length == size && body.length == Some(size),
    };
    fits.then_some(())
        .ok_or_else(|| broken("the server answers with another part than asked for"))
}

/// Reads to the end of an answer whose bytes are all there, so that its connection can be used
/// again. One that has no end there is closed, which is all that it costs.
pub(super) fn finish(body: &mut Streaming) {
    let _ = body.read(&mut [0]);
}

pub(super) fn broken(what: &str) -> S3Error {
    S3Error::new(Kind::Broken, what)
}

/// An answer that ended before its end.
pub(super) fn cut(error: io::Error) -> S3Error {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Kind::TimedOut,
        _ => Kind::Broken,
    };
    S3Error::new(kind, format!("the answer was cut off: {error}")).with_source(error)
}
