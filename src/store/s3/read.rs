//! Reading objects: in windows, each a range request that is read from front to end.
//!
//! What it promises: the bytes are those of the object as it was opened, all that were asked for, or
//! an error. An answer that is cut off is continued where it ended; one for another range, or of
//! another object, is none. Any number of readers shares a few connections.

use super::client::Client;
use super::error::{Kind, S3Error};
use super::readers::{Guard, Readers};
use super::request::{Method, Request};
use super::turns::{Seat, Turns};
use super::window::{Window, broken, check, cut, finish};
use super::windows::Pace;
use crate::model::{BlobId, progress};
use crate::store::{StoreError, StoredBlob};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are fetched to open an object, and kept: a header, or all of a small text.
const HEAD: u64 = 1024;
/// Attempts to get on before a reader gives up.
const ATTEMPTS: u32 = 4;

/// What all readers share.
pub(super) struct Reads {
    client: Client,
    turns: Arc<Turns<Window>>,
    readers: Arc<Readers>,
}

impl Reads {
    pub(super) fn new(client: Client) -> Self {
        let turns = Turns::new(client.settings().concurrency, Arc::clone(client.clock()));
        Self {
            client,
            turns,
            readers: Arc::default(),
        }
    }

    /// Opens the object of `id`: gets its first bytes, and so its length.
    pub(super) fn open(&self, id: &BlobId, key: String) -> Result<S3Blob, StoreError> {
        // Whoever deletes it has found that nothing refers to it any more.
        let guard = self.readers.read(id).ok_or(StoreError::NotFound)?;
        let mut blob = S3Blob {
            client: self.client.clone(),
            key,
            etag: None,
            size: 0,
            head: Vec::new(),
            seat: self.turns.seat(),
            course: RefCell::default(),
            _guard: guard,
        };
        progress::waiting(|| blob.open()).map_err(refused)?;
        Ok(blob)
    }

    /// What the names of objects start with.
    pub(super) fn prefix(&self) -> &str {
        &self.client.settings().prefix
    }

    /// Runs a small request when its turn has come, so that all of them together have no more
    /// connections than are allowed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::Refused`] for everything else.
    pub(super) fn in_turn<T>(
        &self,
        request: impl FnOnce(&Client) -> Result<T, S3Error>,
    ) -> Result<T, StoreError> {
        progress::waiting(|| {
            let seat = self.turns.seat();
            // A seat that never rests has nothing to continue.
            seat.take().map_err(StoreError::Refused)?;
            request(&self.client).map_err(refused)
        })
    }

    /// Holds off readers of `id` while it is deleted; `None` when there are some.
    pub(super) fn deleting(&self, id: &BlobId) -> Option<Guard> {
        self.readers.delete(id)
    }
}

/// An open object.
pub(super) struct S3Blob {
    client: Client,
    key: String,
    etag: Option<String>,
    size: u64,
    /// The first bytes.
    head: Vec<u8>,
    seat: Seat<Window>,
    course: RefCell<Course>,
    _guard: Guard,
}

/// How reading has gone so far.
#[derive(Default)]
struct Course {
    pace: Pace,
    /// A window was left open; it may be lost since.
    has_window: bool,
    /// When the last call ended.
    left: Option<Duration>,
}

impl StoredBlob for S3Blob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let head = usize::try_from(offset).ok();
        let head = head.and_then(|offset| self.head.get(offset..));
        let head = head.unwrap_or_default();
        let kept = head.len().min(buffer.len());
        buffer[..kept].copy_from_slice(&head[..kept]);
        if kept == buffer.len() {
            return Ok(());
        }
        let course = &mut *self.course.borrow_mut();
        if let Some(left) = course.left {
            course.pace.outside(self.elapsed().saturating_sub(left));
        }
        let rest = &mut buffer[kept..];
        let result = progress::waiting(|| self.fill(course, rest, offset + kept as u64));
        course.left = Some(self.elapsed());
        result
    }

    fn file(&self) -> Option<&File> {
        None
    }
}

impl S3Blob {
    fn elapsed(&self) -> Duration {
        self.client.clock().elapsed()
    }

    /// Gets the first bytes.
    fn open(&mut self) -> Result<(), S3Error> {
        for attempt in 1.. {
            let opened = self.in_turn(|| self.fetch_head());
            match opened {
                Ok((size, etag, head)) => {
                    self.size = size;
                    self.etag = etag;
                    self.head = head;
                    break;
                }
                // There is no range in an empty object: RFC 9110, section 15.5.17.
                Err(error) if error.status() == Some(416) => {
                    self.in_turn(|| self.is_empty())?;
                    break;
                }
                // Nobody has got anything yet: whoever asks is told at once.
                Err(error) if self.client.health().is_away() => return Err(error),
                Err(error) => self.again(attempt, error)?,
            }
        }
        Ok(())
    }

    fn in_turn<T>(&self, request: impl FnOnce() -> Result<T, S3Error>) -> Result<T, S3Error> {
        self.seat.take().map_err(no_turn)?;
        let result = request();
        self.seat.leave();
        result
    }

    /// Size, entity tag and first bytes.
    fn fetch_head(&self) -> Result<(u64, Option<String>, Vec<u8>), S3Error> {
        let mut body = self.client.fetch(&Request {
            method: Method::Get,
            key: &self.key,
            query: &[],
            headers: &[("range", &format!("bytes=0-{}", HEAD - 1))],
        })?;
        let total = match body.range {
            Some(range) => range.total,
            // All of it, if that is no more.
            None => body.length.filter(|length| *length <= HEAD),
        };
        let size = total.ok_or_else(|| broken("the answer does not say how long the object is"))?;
        let length = size.min(HEAD);
        check(&body, 0, length, size)?;
        let mut head = Vec::new();
        let read = body.by_ref().take(length).read_to_end(&mut head);
        read.map_err(cut)?;
        if head.len() as u64 != length {
            return Err(broken("the answer is shorter than it said"));
        }
        finish(&mut body);
        Ok((size, body.etag.take(), head))
    }

    fn is_empty(&self) -> Result<(), S3Error> {
        let request = Request {
            method: Method::Head,
            key: &self.key,
            query: &[],
            headers: &[],
        };
        match self.client.call(&request, &[], 0)?.length {
            Some(0) => Ok(()),
            _ => Err(broken(
                "the server gives no range of an object that is not empty",
            )),
        }
    }

    /// Fills `buffer` from `at`, which is all within the object.
    fn fill(&self, course: &mut Course, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut filled = 0;
        let mut failed = 0;
        while filled < buffer.len() {
            let from = at + filled as u64;
            let (read, result) = self.read_on(course, &mut buffer[filled..], from);
            filled += read;
            if let Err(error) = result {
                failed += 1;
                // Not the kind of the cause: an answer that ended early is no object that did.
                self.again(failed, error)
                    .map_err(|error| io::Error::other(said(&error)))?;
            }
        }
        Ok(())
    }

    /// Waits before the attempt after `failed` ones, or fails for good.
    fn again(&self, failed: u32, error: S3Error) -> Result<(), S3Error> {
        if failed >= ATTEMPTS || !error.may_pass() {
            return Err(error);
        }
        if !matches!(error.kind(), Kind::Skewed { .. }) {
            self.client.pause(failed, error.retry_after());
        }
        Ok(())
    }

    /// Reads what one window has of `buffer`, from `at`: the one that is open, or a new one. Returns
    /// how much that was, whatever happened then.
    fn read_on(
        &self,
        course: &mut Course,
        buffer: &mut [u8],
        at: u64,
    ) -> (usize, Result<(), S3Error>) {
        let window = match self.seat.take() {
            Ok(window) => window,
            Err(error) => return (0, Err(no_turn(error))),
        };
        let since = self.elapsed();
        let mut window = match window.filter(|window| window.at == at) {
            Some(window) => window,
            None => {
                if course.has_window {
                    // It was lost to somebody who waited, or reading goes on elsewhere.
                    course.pace.interrupted();
                    course.has_window = false;
                }
                match self.fetch_window(&course.pace, buffer.len() as u64, at) {
                    Ok(window) => window,
                    Err(error) => {
                        self.seat.leave();
                        return (0, Err(error));
                    }
                }
            }
        };
        let (read, result) = window.read(buffer);
        course.has_window = result.is_ok() && window.at < window.end;
        course.pace.inside(self.elapsed().saturating_sub(since));
        if course.has_window {
            self.seat.rest(window);
            return (read, result);
        }
        if result.is_ok() {
            finish(&mut window.body);
            course.pace.read_through(self.seat.is_scarce());
        }
        // Closed before the next has its turn.
        drop(window);
        self.seat.leave();
        (read, result)
    }

    /// Opens a window at `at` for a reader that needs `needed` bytes now.
    fn fetch_window(&self, pace: &Pace, needed: u64, at: u64) -> Result<Window, S3Error> {
        let length = pace.length(needed, self.seat.room()).min(self.size - at);
        let end = at + length;
        let range = format!("bytes={at}-{}", end - 1);
        let mut headers = vec![("range", range.as_str())];
        if let Some(etag) = &self.etag {
            headers.push(("if-match", etag));
        }
        let body = self.client.fetch(&Request {
            method: Method::Get,
            key: &self.key,
            query: &[],
            headers: &headers,
        })?;
        check(&body, at, length, self.size)?;
        if let (Some(etag), Some(now)) = (&self.etag, &body.etag)
            && etag != now
        {
            let what = "the object is not the one that was opened";
            return Err(S3Error::new(Kind::Precondition, what));
        }
        Ok(Window { body, at, end })
    }
}

fn no_turn(error: io::Error) -> S3Error {
    S3Error::new(Kind::Busy, error.to_string())
}

/// What an error means to whoever uses the store.
pub(super) fn refused(error: S3Error) -> StoreError {
    match error.kind() {
        Kind::NotFound => StoreError::NotFound,
        _ => StoreError::Refused(io::Error::other(said(&error))),
    }
}

/// What happened and what to do about it, in one line.
fn said(error: &S3Error) -> String {
    format!("{error}. {}", error.remedy())
}
