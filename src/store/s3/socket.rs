//! A TCP socket whose reads and writes end in time, and that is read in large pieces.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::NextTimeout;

/// Bytes that are read at once: TLS takes them in pieces of 4 KiB.
const PIECE: usize = 32 * 1024;

pub(super) struct Socket {
    stream: TcpStream,
    /// What was read and not taken: `taken..filled`.
    piece: Vec<u8>,
    taken: usize,
    filled: usize,
    end: Option<Instant>,
    per_read: Option<Duration>,
    per_write: Option<Duration>,
    /// What the kernel was told.
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            piece: Vec::new(),
            taken: 0,
            filled: 0,
            end: None,
            per_read: None,
            per_write: None,
            read_limit: None,
            write_limit: None,
        })
    }

    /// The limits for what follows: `end` for all of it, and those of `timeout` for each read and write.
    pub(super) fn until(&mut self, end: Option<Instant>, timeout: NextTimeout) {
        self.end = end;
        self.per_read = timeout.per_read.map(|t| *t);
        self.per_write = timeout.per_write.map(|t| *t);
    }

    /// Whether the server has neither closed the connection nor said anything unasked.
    pub(super) fn is_silent(&mut self) -> bool {
        let nothing_left = self.taken == self.filled;
        nothing_left
            && self.without_waiting(|socket| {
                let peeked = socket.stream.peek(&mut [0]);
                peeked.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
            })
    }

    /// Reads without waiting; false when that is impossible.
    pub(super) fn without_waiting(&mut self, look: impl FnOnce(&mut Self) -> bool) -> bool {
        (self.end, self.per_read) = (None, None);
        self.stream.set_nonblocking(true).is_ok()
            && look(self)
            && self.stream.set_nonblocking(false).is_ok()
    }

    /// The time that is left for one read or write of at most `most`.
    fn left(&self, most: Option<Duration>) -> io::Result<Option<Duration>> {
        let Some(end) = self.end else {
            return Ok(most);
        };
        let left = end.saturating_duration_since(Instant::now());
        let left = most.map_or(left, |most| left.min(most));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }

    fn receive(&mut self, into_piece: bool, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let limit = self.left(self.per_read)?;
            if limit != self.read_limit {
                self.stream.set_read_timeout(limit)?;
                self.read_limit = limit;
            }
            let read = if into_piece {
                self.stream.read(&mut self.piece)
            } else {
                self.stream.read(buffer)
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.filled {
            if buffer.len() >= PIECE / 2 {
                return self.receive(false, buffer);
            }
            self.piece.resize(PIECE, 0);
            (self.taken, self.filled) = (0, 0);
            self.filled = self.receive(true, &mut [])?;
        }
        let count = buffer.len().min(self.filled - self.taken);
        buffer[..count].copy_from_slice(&self.piece[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let limit = self.left(self.per_write)?;
            if limit != self.write_limit {
                self.stream.set_write_timeout(limit)?;
                self.write_limit = limit;
            }
            match self.stream.write_vectored(slices) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
