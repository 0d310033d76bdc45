//! A body on its way to the server: as long as it was announced, and not slower than it may be.

use crate::model::Clock;
use std::io::{self, Read};
use std::time::Duration;

/// Least speed of a body, in bytes a second, and the time that it may take beyond.
const LEAST_SPEED: u64 = 8 << 10;
const GRACE: Duration = Duration::from_secs(60);
/// Exactly so many bytes of a body; remembers what it failed with.
pub(super) struct Counted<'a> {
    inner: &'a mut dyn Read,
    pub(super) left: u64,
    pub(super) failed: Option<io::Error>,
    clock: &'a dyn Clock,
    /// How long reading it may take from the first byte on, and when that ends.
    time: Duration,
    end: Option<Duration>,
    /// It has ended before the body.
    pub(super) late: bool,
}

impl<'a> Counted<'a> {
    /// `left` bytes of `inner`.
    pub(super) fn new(inner: &'a mut dyn Read, left: u64, clock: &'a dyn Clock) -> Self {
        Self {
            inner,
            left,
            failed: None,
            clock,
            time: GRACE + Duration::from_secs(left / LEAST_SPEED),
            end: None,
            late: false,
        }
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let now = self.clock.elapsed();
        if now > *self.end.get_or_insert(now + self.time) {
            self.late = true;
            return Err(io::ErrorKind::TimedOut.into());
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let outcome = loop {
            match self.inner.read(&mut buffer[..most]) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(e) => {
                let kind = e.kind();
                self.failed = Some(e);
                Err(kind.into())
            }
        }
    }
}
