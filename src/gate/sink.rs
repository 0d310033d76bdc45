//! A response body on its way to the client, with an exact account of what arrived.
//!
//! The bytes of the head and of the chunk framing are known by position, so that what TCP has
//! acknowledged can be told in bytes of the body.

use super::limits::Limits;
use super::wire::{self, Client};
use crate::http::Sink;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Small writes of a chunked body are gathered into chunks of this size.
const CHUNK: usize = 8 * 1024;
/// The most that one `sendfile` is asked for.
const SENDFILE: u64 = 1 << 20;
/// The longest pause between two looks at the send queue.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Writes one body to one client.
pub(super) struct ClientSink<'a> {
    client: &'a Client,
    limits: &'a Limits,
    /// Bytes that the system has taken since the head began.
    sent: u64,
    /// Runs of body bytes that may not be acknowledged yet, in order.
    runs: VecDeque<Run>,
    /// Body bytes of runs that were acknowledged whole.
    arrived: u64,
    mode: Mode,
    failed: Option<ErrorKind>,
}

/// Body bytes that lie together in the stream.
struct Run {
    start: u64,
    length: u64,
}

enum Mode {
    /// The length was declared; this many bytes are left.
    Exact { left: u64 },
    /// Chunks; these bytes wait for theirs.
    Chunked { pending: Vec<u8> },
    /// Until the connection ends.
    Open,
}

impl<'a> ClientSink<'a> {
    /// A sink for a body of `length`, or in chunks, or until the connection ends, whose head was
    /// `sent` bytes long.
    pub(super) fn new(
        client: &'a Client,
        limits: &'a Limits,
        sent: u64,
        length: Option<u64>,
        chunked: bool,
    ) -> Self {
        let mode = match (length, chunked) {
            (Some(left), _) => Mode::Exact { left },
            (None, true) => Mode::Chunked {
                pending: Vec::new(),
            },
            (None, false) => Mode::Open,
        };
        Self {
            client,
            limits,
            sent,
            runs: VecDeque::new(),
            arrived: 0,
            mode,
            failed: None,
        }
    }

    /// Ends the body. An error when it is not complete.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.check()?;
        match self.mode {
            Mode::Exact { left: 0 } | Mode::Open => Ok(()),
            Mode::Exact { .. } => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "fewer bytes than declared",
            )),
            Mode::Chunked { .. } => self.push(b"0\r\n\r\n", false),
        }
    }

    fn check(&self) -> io::Result<()> {
        match self.failed {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn failing<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.failed = Some(error.kind());
        }
        result
    }

    /// Writes bytes that are not the body's.
    fn push(&mut self, bytes: &[u8], more: bool) -> io::Result<()> {
        let stall = self.limits.write_stall;
        let result = wire::write_all(self.client, bytes, more, stall, &mut self.sent);
        self.failing(result)
    }

    /// Writes bytes of the body, as one run.
    fn push_body(&mut self, bytes: &[u8], more: bool) -> io::Result<()> {
        let start = self.sent;
        let result = self.push(bytes, more);
        self.note_run(start);
        result
    }

    fn note_run(&mut self, start: u64) {
        let length = self.sent - start;
        match self.runs.back_mut() {
            Some(run) if run.start + run.length == start => run.length += length,
            _ if length > 0 => self.runs.push_back(Run { start, length }),
            _ => {}
        }
        // The send queue bounds how many runs can be unacknowledged; look now and then.
        if self.runs.len() >= 64 && self.runs.len().is_power_of_two() {
            self.acknowledged();
        }
    }

    /// Body bytes that the client's TCP has acknowledged.
    fn acknowledged(&mut self) -> u64 {
        let queued = mayfly_sys::unacknowledged(self.client.get_ref()).unwrap_or(u64::MAX);
        let position = self.sent.saturating_sub(queued);
        while let Some(run) = self.runs.front()
            && self.runs.len() > 1
            && run.start + run.length <= position
        {
            self.arrived += run.length;
            self.runs.pop_front();
        }
        let partial: u64 = self
            .runs
            .iter()
            .map(|run| position.saturating_sub(run.start).min(run.length))
            .sum();
        self.arrived + partial
    }

    /// Sends the bytes that wait for their chunk.
    fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        let Mode::Chunked { pending } = &mut self.mode else {
            return Ok(());
        };
        if pending.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(pending);
        let result = self.chunk(&bytes);
        bytes.clear();
        if let Mode::Chunked { pending } = &mut self.mode {
            *pending = bytes;
        }
        result
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.push(format!("{:x}\r\n", bytes.len()).as_bytes(), true)?;
        self.push_body(bytes, true)?;
        self.push(b"\r\n", false)
    }

    /// Takes `length` bytes from what was declared.
    fn claim(&mut self, length: u64) -> io::Result<()> {
        self.check()?;
        if let Mode::Exact { left } = &mut self.mode {
            let Some(rest) = left.checked_sub(length) else {
                return self.failing(Err(io::Error::new(
                    ErrorKind::InvalidInput,
                    "more bytes than declared",
                )));
            };
            *left = rest;
        }
        Ok(())
    }

    fn send_range(&mut self, file: &File, mut offset: u64, mut length: u64) -> io::Result<()> {
        let start = self.sent;
        let mut result = Ok(());
        while length > 0 {
            let count = usize::try_from(length.min(SENDFILE)).unwrap_or(usize::MAX);
            let stall = self.limits.write_stall;
            let sent = wire::ready(self.client, PollFlags::OUT, stall, |socket| {
                Ok(rustix::fs::sendfile(
                    socket,
                    file,
                    Some(&mut offset),
                    count,
                )?)
            });
            match sent {
                Ok(0) => result = Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.sent += count as u64;
                    length -= count as u64;
                    continue;
                }
                Err(error) => result = Err(error),
            }
            break;
        }
        self.note_run(start);
        self.failing(result)
    }
}

impl Sink for ClientSink<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.claim(bytes.len() as u64)?;
        let Mode::Chunked { pending } = &mut self.mode else {
            return self.push_body(bytes, false);
        };
        if pending.len() + bytes.len() < CHUNK {
            pending.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        match bytes.len() < CHUNK {
            true => {
                if let Mode::Chunked { pending } = &mut self.mode {
                    pending.extend_from_slice(bytes);
                }
                Ok(())
            }
            false => self.chunk(bytes),
        }
    }

    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        self.claim(length)?;
        self.flush()?;
        if length == 0 {
            return Ok(());
        }
        if !matches!(self.mode, Mode::Chunked { .. }) {
            return self.send_range(file, offset, length);
        }
        self.push(format!("{length:x}\r\n").as_bytes(), true)?;
        self.send_range(file, offset, length)?;
        self.push(b"\r\n", false)
    }

    fn ready(&mut self) -> io::Result<()> {
        self.check()?;
        let stall = self.limits.write_stall;
        let result = wire::wait_for_client(self.client, PollFlags::OUT, stall);
        self.failing(result)
    }

    fn settle(&mut self) -> u64 {
        // A failure is remembered, and what arrived before it still counts.
        let _ = self.flush();
        if self.failed.is_some() {
            // The client broke off or took nothing for too long: no more will arrive.
            return self.acknowledged();
        }
        let mut pause = Duration::from_millis(1);
        let mut best = self.acknowledged();
        let mut moved = Instant::now();
        loop {
            match mayfly_sys::unacknowledged(self.client.get_ref()) {
                Ok(1..) if moved.elapsed() < self.limits.write_stall => {}
                _ => return self.acknowledged(),
            }
            // No event tells of an acknowledgement; only an end of the connection wakes this early.
            match wire::wait(self.client, PollFlags::empty(), pause) {
                Ok(broken) if broken.is_empty() => {}
                _ => return self.acknowledged(),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            let now = self.acknowledged();
            if now > best {
                best = now;
                moved = Instant::now();
            }
        }
    }
}
