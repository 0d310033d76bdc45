//! One range request that is open, and whether its answer is the one that was asked for.

use super::answer::Streaming;
use super::client::Client;
use super::error::{Kind, S3Error};
use super::request::{Method, Request};
use crate::model::Clock;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes that are fetched to open an object, and kept: a header, or all of a small text.
const HEAD: usize = 1024;
/// An answer that takes longer for so many bytes is given up: whoever waits for a turn has a better use for it.
const SLOWEST: (u64, Duration) = (64 << 10, Duration::from_secs(60));

/// What is known of an object since it was opened.
pub(super) struct Object {
    pub(super) key: String,
    pub(super) etag: Option<String>,
    /// In bytes.
    pub(super) size: u64,
    /// The first bytes, for whoever has opened it.
    pub(super) head: Vec<u8>,
    conditions: Arc<Conditions>,
}

/// Whether the server takes requests for an object on the condition that it is the one that was opened.
/// From one that does not, the tag and the length of the answer have to do.
#[derive(Default)]
pub(super) struct Conditions(AtomicBool);

impl Conditions {
    fn are_unknown(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn forget(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Object {
    /// Gets the first bytes of the object of that name.
    pub(super) fn open(
        client: &Client,
        key: String,
        conditions: Arc<Conditions>,
    ) -> Result<Self, S3Error> {
        let asked = client.fetch(&Request {
            method: Method::Get,
            key: &key,
            query: &[],
            headers: &[("range", &format!("bytes=0-{}", HEAD - 1))],
        });
        let mut body = match asked {
            // There is no range in an empty object: RFC 9110, section 15.5.17.
            Err(error) if error.status() == Some(416) => {
                return Self::open_empty(client, key, conditions);
            }
            asked => asked?,
        };
        let total = match body.range {
            Some(range) => range.total,
            // All of it, if that is no more.
            None => body.length.filter(|length| *length <= HEAD as u64),
        };
        let size = total.ok_or_else(|| broken("the answer does not say how long the object is"))?;
        let length = size.min(HEAD as u64);
        check(&body, 0, length, size)?;
        // No more than that: it is kept for as long as the object is open.
        let mut head = Vec::with_capacity(HEAD);
        let read = body.by_ref().take(length).read_to_end(&mut head);
        read.map_err(cut)?;
        if head.len() as u64 != length {
            return Err(broken("the answer is shorter than it said"));
        }
        finish(&mut body);
        Ok(Self {
            key,
            etag: body.etag.take(),
            size,
            head,
            conditions,
        })
    }

    fn open_empty(
        client: &Client,
        key: String,
        conditions: Arc<Conditions>,
    ) -> Result<Self, S3Error> {
        let request = Request {
            method: Method::Head,
            key: &key,
            query: &[],
            headers: &[],
        };
        let answer = client.call(&request, &[], 0)?;
        if answer.length != Some(0) {
            return Err(broken(
                "the server gives no range of an object that is not empty",
            ));
        }
        Ok(Self {
            key,
            etag: answer.etag,
            size: 0,
            head: Vec::new(),
            conditions,
        })
    }

    /// Asks for the `length` bytes from `at`, which the object has.
    pub(super) fn window(&self, client: &Client, at: u64, length: u64) -> Result<Window, S3Error> {
        let end = at + length;
        let range = format!("bytes={at}-{}", end - 1);
        // A weak tag fits no condition: RFC 9110, section 13.1.1.
        let tag = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        let body = match tag.filter(|_| !self.conditions.are_unknown()) {
            None => self.fetch(client, &[("range", &range)])?,
            Some(tag) => match self.fetch(client, &[("range", &range), ("if-match", tag)]) {
                Err(error) if *error.kind() == Kind::NotImplemented => {
                    let body = self.fetch(client, &[("range", &range)])?;
                    self.conditions.forget();
                    body
                }
                fetched => fetched?,
            },
        };
        check(&body, at, length, self.size)?;
        if let (Some(etag), Some(now)) = (&self.etag, &body.etag)
            && etag != now
        {
            let what = "the object is not the one that was opened";
            return Err(S3Error::new(Kind::Precondition, what));
        }
        let clock = Arc::clone(client.clock());
        Ok(Window::new(body, at, end, clock))
    }

    fn fetch(&self, client: &Client, headers: &[(&str, &str)]) -> Result<Streaming, S3Error> {
        client.fetch(&Request {
            method: Method::Get,
            key: &self.key,
            query: &[],
            headers,
        })
    }
}

/// An open request, and which byte comes next.
pub(super) struct Window {
    body: Streaming,
    pub(super) at: u64,
    end: u64,
    clock: Arc<dyn Clock>,
    /// Bytes, and the time that they took, since it was last looked whether that is too slow.
    came: u64,
    took: Duration,
}

impl Window {
    fn new(body: Streaming, at: u64, end: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            body,
            at,
            end,
            clock,
            came: 0,
            took: Duration::ZERO,
        }
    }

    /// Reads up to `wanted` bytes. Returns what came, and how it went: the window itself while there is
    /// more in it.
    pub(super) fn read(mut self, wanted: usize) -> (Vec<u8>, Result<Option<Self>, S3Error>) {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let mut bytes = vec![0; wanted.min(left)];
        let mut done = 0;
        while done < bytes.len() {
            let began = self.clock.elapsed();
            let failed = match self.body.read(&mut bytes[done..]) {
                Ok(0) => broken("the answer is shorter than it said"),
                Ok(read) => {
                    done += read;
                    if !self.is_too_slow(read, began) {
                        continue;
                    }
                    S3Error::new(Kind::TimedOut, "the answer comes too slowly")
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => cut(error),
            };
            bytes.truncate(done);
            return (bytes, Err(failed));
        }
        self.at += done as u64;
        if self.at < self.end {
            return (bytes, Ok(Some(self)));
        }
        finish(&mut self.body);
        (bytes, Ok(None))
    }

    /// Counts bytes that came since `began`. How long they lay there unread does not count.
    fn is_too_slow(&mut self, read: usize, began: Duration) -> bool {
        let (least, time) = SLOWEST;
        self.came += read as u64;
        self.took += self.clock.elapsed().saturating_sub(began);
        if self.took < time {
            return false;
        }
        let is_slow = self.came < least && self.at + self.came < self.end;
        (self.came, self.took) = (0, Duration::ZERO);
        is_slow
    }
}

/// Whether the answer is the part of the object that was asked for. A server may answer with all of
/// it when that is the same: RFC 9110, section 14.2.
fn check(body: &Streaming, at: u64, length: u64, size: u64) -> Result<(), S3Error> {
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
fn finish(body: &mut Streaming) {
    let _ = body.read(&mut [0]);
}

pub(super) fn broken(what: &str) -> S3Error {
    S3Error::new(Kind::Broken, what)
}

/// An answer that ended before its end.
fn cut(error: io::Error) -> S3Error {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Kind::TimedOut,
        _ => Kind::Broken,
    };
    S3Error::new(kind, format!("the answer was cut off: {error}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::s3::tests::stage::Hand;
    use std::sync::atomic::Ordering::SeqCst;
    use ureq::http::HeaderMap;

    /// A body of which 100 bytes come at a time, each time after so many seconds.
    struct Drops(Arc<Hand>, u64);

    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.passed.fetch_add(self.1, SeqCst);
            let count = buffer.len().min(100);
            buffer[..count].fill(b'x');
            Ok(count)
        }
    }

    fn window(length: u64, seconds: u64) -> (Window, Arc<Hand>) {
        let clock = Arc::<Hand>::default();
        let body = Box::new(Drops(Arc::clone(&clock), seconds));
        let body = Streaming::new(206, HeaderMap::new(), body);
        let own = Arc::clone(&clock);
        (Window::new(body, 0, length, own), clock)
    }

    #[test]
    fn an_answer_that_comes_in_drops_is_given_up_after_a_minute_with_what_came() {
        let (dribbling, _) = window(1 << 20, 1);
        let (bytes, result) = dribbling.read(1 << 20);
        assert_eq!(bytes.len(), 6_000);
        assert_eq!(*result.err().unwrap().kind(), Kind::TimedOut);
        // Its end is worth waiting for.
        let (short, _) = window(6_000, 1);
        let (bytes, result) = short.read(9_000);
        assert!(bytes.len() == 6_000 && result.is_ok_and(|left| left.is_none()));
    }

    #[test]
    fn a_reader_that_stands_still_makes_no_answer_slow() {
        let (mut window, clock) = window(10_000, 0);
        for _ in 0..99 {
            clock.passed.fetch_add(1000, SeqCst);
            let (bytes, result) = window.read(100);
            assert_eq!(bytes.len(), 100);
            window = result.unwrap().unwrap();
        }
    }
}
