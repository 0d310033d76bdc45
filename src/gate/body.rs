//! The body of a request, straight from the client's socket.
//!
//! Bytes that arrived with the head come first. An end of file always means that the whole body
//! was read: a cut is `UnexpectedEof`, broken framing `InvalidData`, a client that is too slow
//! `TimedOut`. Every failure repeats itself when the body is read again.

use super::framing::{Chunks, Piece};
use super::limits::Limits;
use super::wire::{self, Client};
use crate::http::{Body, BodyLength};
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much is read at once where framing may come.
const REFILL: usize = 4096;
/// The most that is read of a body that no handler wanted, to keep the connection.
const UNWANTED: usize = 64 * 1024;
/// The time over which the rate of a body is averaged.
const MINUTE: Duration = Duration::from_secs(60);

/// The body of one request.
pub(crate) struct ClientBody {
    client: Client,
    limits: Arc<Limits>,
    length: BodyLength,
    /// Bytes received but not consumed, from `at` on. Those after the body belong to the next request.
    buffer: Vec<u8>,
    at: usize,
    state: State,
    continue_due: bool,
    pace: Pace,
}

#[derive(Clone, Debug)]
enum State {
    Exact { left: u64 },
    Chunked(Chunks),
    Ended,
    Failed(ErrorKind),
}

impl ClientBody {
    pub(super) fn new(
        client: Client,
        limits: Arc<Limits>,
        length: BodyLength,
        expects_continue: bool,
        buffer: Vec<u8>,
    ) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Exact(0) => State::Ended,
            BodyLength::Exact(left) => State::Exact { left },
            BodyLength::Chunked => State::Chunked(Chunks::new()),
        };
        Self {
            continue_due: expects_continue && buffer.is_empty() && !matches!(state, State::Ended),
            pace: Pace::new(limits.body_rate),
            client,
            limits,
            length,
            buffer,
            at: 0,
            state,
        }
    }

    /// Whether the rest of the body is here, so that reading it cannot wait. Takes up to `limit`
    /// bytes in from the socket to find out.
    pub(crate) fn is_here(&mut self, limit: usize) -> bool {
        loop {
            let here = self.buffer.get(self.at..).unwrap_or_default();
            match &self.state {
                State::Ended | State::Failed(_) => return true,
                State::Exact { left } if *left > limit as u64 => return false,
                State::Exact { left } if here.len() as u64 >= *left => return true,
                State::Chunked(chunks) if ends_within(chunks.clone(), here) => return true,
                _ => {}
            }
            if here.len() >= limit || !self.top_up() {
                return false;
            }
        }
    }

    /// Waits until the rest of the body is here, and keeps it for the reader.
    ///
    /// # Errors
    /// `StorageFull` when it is longer than `limit` bytes; otherwise as for reading.
    pub(crate) fn gather(&mut self, limit: usize) -> io::Result<()> {
        let mut body = Vec::new();
        let most = limit as u64 + 1;
        Read::take(&mut *self, most).read_to_end(&mut body)?;
        if body.len() > limit {
            return Err(ErrorKind::StorageFull.into());
        }
        // What follows the body stays behind it.
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let length = body.len() as u64;
        body.extend_from_slice(rest);
        self.buffer = body;
        self.at = 0;
        self.state = match length {
            0 => State::Ended,
            left => State::Exact { left },
        };
        Ok(())
    }

    /// Takes more bytes in without waiting. False when there are none.
    fn top_up(&mut self) -> bool {
        let end = self.buffer.len();
        self.buffer.resize(end + REFILL, 0);
        let count = self
            .client
            .get_ref()
            .read(self.buffer.get_mut(end..).unwrap_or_default())
            .unwrap_or(0);
        self.buffer.truncate(end + count);
        count > 0
    }

    /// Whether the connection can be used for another request after this body: it was read to its
    /// end, or its rest is small and already here.
    pub(super) fn is_over(&mut self) -> bool {
        let mut scratch = [0; REFILL];
        let mut budget = UNWANTED;
        while !self.continue_due && budget > 0 {
            match self.pull(&mut scratch, false) {
                Ok(0) => return true,
                Ok(count) => budget = budget.saturating_sub(count),
                Err(_) => return false,
            }
        }
        matches!(self.state, State::Ended)
    }

    /// What was received after the body.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.buffer
    }

    /// Remembers why reading cannot go on.
    fn fail(&mut self, kind: ErrorKind) -> io::Error {
        self.state = State::Failed(kind);
        kind.into()
    }

    fn pull(&mut self, out: &mut [u8], patient: bool) -> io::Result<usize> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(0),
                State::Failed(kind) => return Err((*kind).into()),
                _ if out.is_empty() => return Ok(0),
                State::Exact { left } => {
                    let left = *left;
                    let count = self.fill(out, left, patient)?;
                    self.state = match left - count as u64 {
                        0 => State::Ended,
                        left => State::Exact { left },
                    };
                    return Ok(count);
                }
                State::Chunked(chunks) => {
                    let here = self.buffer.get(self.at..).unwrap_or_default();
                    match chunks.next(here) {
                        Ok(Piece::Framing(count)) => {
                            self.at += count;
                            self.refill(patient)?;
                        }
                        Ok(Piece::Data { skip, left }) => {
                            self.at += skip;
                            let count = self.fill(out, left, patient)?;
                            if let State::Chunked(chunks) = &mut self.state {
                                chunks.took(count as u64);
                            }
                            return Ok(count);
                        }
                        Ok(Piece::End(count)) => {
                            self.at += count;
                            self.state = State::Ended;
                        }
                        Err(super::framing::Broken) => {
                            return Err(self.fail(ErrorKind::InvalidData));
                        }
                    }
                }
            }
        }
    }

    /// Reads at least one and at most `left` bytes of data, from the buffer or else the socket.
    fn fill(&mut self, out: &mut [u8], left: u64, patient: bool) -> io::Result<usize> {
        let most = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let out = out.get_mut(..most).unwrap_or_default();
        let here = self.buffer.get(self.at..).unwrap_or_default();
        if here.is_empty() {
            return self.receive(out, patient);
        }
        let count = here.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), here.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }

    /// Replaces the consumed buffer by what the socket gives.
    fn refill(&mut self, patient: bool) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.at = 0;
        buffer.resize(REFILL, 0);
        let result = self.receive(&mut buffer, patient);
        buffer.truncate(*result.as_ref().unwrap_or(&0));
        self.buffer = buffer;
        result.map(drop)
    }

    /// Reads from the socket; at least one byte, or an error.
    fn receive(&mut self, out: &mut [u8], patient: bool) -> io::Result<usize> {
        if !patient {
            return match self.client.get_ref().read(out) {
                Ok(0) => Err(self.fail(ErrorKind::UnexpectedEof)),
                other => other,
            };
        }
        if std::mem::take(&mut self.continue_due) {
            let stall = self.limits.write_stall;
            let line = b"HTTP/1.1 100 Continue\r\n\r\n";
            wire::write_all(&self.client, line, false, stall, &mut 0)
                .map_err(|error| self.fail(error.kind()))?;
        }
        let started = Instant::now();
        match wire::read(&self.client, out, self.limits.body_stall) {
            Ok(0) => Err(self.fail(ErrorKind::UnexpectedEof)),
            Ok(count) if self.pace.keeps(started.elapsed(), count as u64) => Ok(count),
            Ok(_) => Err(self.fail(ErrorKind::TimedOut)),
            // A reset is a cut like any other.
            Err(error) if error.kind() != ErrorKind::TimedOut => {
                Err(self.fail(ErrorKind::UnexpectedEof))
            }
            Err(error) => Err(self.fail(error.kind())),
        }
    }
}

impl Read for ClientBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.pull(out, true)
    }
}

impl Body for ClientBody {
    fn length(&self) -> BodyLength {
        self.length
    }
}

fn ends_within(mut chunks: Chunks, mut bytes: &[u8]) -> bool {
    loop {
        match chunks.next(bytes) {
            Ok(Piece::End(_)) | Err(_) => return true,
            Ok(Piece::Framing(_)) => return false,
            Ok(Piece::Data { skip, left }) => {
                let here = bytes.get(skip..).unwrap_or_default();
                let count = usize::try_from(left).map_or(here.len(), |left| left.min(here.len()));
                if count == 0 {
                    return false;
                }
                chunks.took(count as u64);
                bytes = here.get(count..).unwrap_or_default();
            }
        }
    }
}

/// Whether a client keeps to the least rate. Only the time spent waiting for it counts, so that a
/// slow disk of ours is not held against it.
#[derive(Debug)]
struct Pace {
    rate: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self {
            rate,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Notes that `bytes` came after waiting `waited`. False when the last minute was too slow.
    fn keeps(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < MINUTE {
            return true;
        }
        let due = self.rate.saturating_mul(self.waited.as_secs());
        let kept = self.bytes >= due;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_below_the_rate_is_too_slow_and_bursts_are_fine() {
        let mut pace = Pace::new(1024);
        assert!(pace.keeps(Duration::from_secs(59), 1));
        assert!(!pace.keeps(Duration::from_secs(1), 61_438));
        assert!(pace.keeps(Duration::from_secs(59), 1));
        assert!(pace.keeps(Duration::from_secs(1), 61_439));
        // Each minute counts for itself: an old burst buys nothing.
        assert!(pace.keeps(Duration::from_secs(1), 1 << 40));
        assert!(pace.keeps(Duration::from_secs(59), 0));
        assert!(!pace.keeps(Duration::from_secs(60), 1024 * 59));
    }
}
