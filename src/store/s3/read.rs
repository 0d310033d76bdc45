//! Reading objects: in windows, each a range request that is read from front to end.
//!
//! What it promises: the bytes are those of the object as it was opened, all that were asked for, or
//! an error. An answer that is cut off is continued where it ended; one for another range, or of
//! another object, is none. Any number of readers shares a few connections.

use super::access::{Access, Failing, PATIENCE, Turn, no_turn, panicked};
use super::client::Client;
use super::error::{Kind, S3Error};
use super::fetchers::{Fetchers, Kept};
use super::readers::{Guard, Readers};
use super::redirect::address;
use super::request::{Method, Request};
use super::stopping::Stopping;
use super::turns::Turns;
use super::window::{Conditions, Object, Window};
use super::windows::Pace;
use crate::model::{BlobId, progress};
use crate::store::{Presentation, StoreError, StoredBlob};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Longest answer to a deletion, in bytes.
const ANSWER: usize = 64 << 10;
/// A deletion that takes longer is tried again later: who sweeps has other things to do.
const DELETION: Duration = Duration::from_secs(20);
/// Most bytes that one call of a fetcher reads.
const CHUNK: usize = 256 << 10;

/// What all readers share.
pub(super) struct Reads {
    client: Client,
    turns: Arc<Turns<Kept<Window>>>,
    fetchers: Arc<Fetchers>,
    readers: Arc<Readers>,
    conditions: Arc<Conditions>,
    stopping: Arc<Stopping>,
    pub(super) patience: Duration,
    /// Whether objects have addresses for others.
    pub(super) redirects: bool,
}

impl Reads {
    pub(super) fn new(client: Client) -> Self {
        let fetchers = Fetchers::start(client.settings().concurrency.max(1));
        let turns = Turns::new(client.settings().concurrency, Arc::clone(client.clock()));
        Self {
            client,
            turns,
            fetchers: Arc::new(fetchers),
            readers: Arc::default(),
            conditions: Arc::default(),
            stopping: Arc::default(),
            patience: PATIENCE,
            redirects: false,
        }
    }

    /// Whoever reads waits for the server no more.
    pub(super) fn stop(&self) {
        self.stopping.stop();
    }

    /// Opens the object of `id`: gets its first bytes, and so its length.
    pub(super) fn open(&self, id: &BlobId, key: String) -> Result<S3Blob, StoreError> {
        // Whoever deletes it has found that nothing refers to it any more.
        let guard = self.readers.read(id).ok_or(StoreError::NotFound)?;
        let access = Access {
            client: self.client.clone(),
            fetchers: Arc::clone(&self.fetchers),
            seat: self.turns.seat(),
            stopping: Arc::clone(&self.stopping),
            patience: self.patience,
        };
        let opened = progress::waiting(|| access.open(&key, &self.conditions));
        let mut object = opened.map_err(refused)?;
        Ok(S3Blob {
            access,
            head: RefCell::new(std::mem::take(&mut object.head)),
            object: Arc::new(object),
            course: RefCell::default(),
            redirects: self.redirects,
            _guard: guard,
        })
    }

    /// Since the start of the clock.
    pub(super) fn elapsed(&self) -> Duration {
        self.client.clock().elapsed()
    }

    /// What the names of objects start with.
    pub(super) fn prefix(&self) -> &str {
        &self.client.settings().prefix
    }

    /// Runs small requests when their turn has come, so that all of them together have no more
    /// connections than are allowed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::Refused`] for everything else.
    pub(super) fn in_turn<T>(
        &self,
        requests: impl FnOnce(&Turn<'_>) -> Result<T, S3Error>,
    ) -> Result<T, StoreError> {
        progress::waiting(|| {
            let seat = self.turns.seat();
            // A seat that never rests has nothing to continue.
            seat.take().map_err(StoreError::Refused)?;
            requests(&Turn {
                client: &self.client,
                seat: &seat,
            })
            .map_err(refused)
        })
    }

    /// Deletes the object of that name, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Refused`].
    pub(super) fn delete(&self, key: &str) -> Result<(), StoreError> {
        let request = Request {
            method: Method::Delete,
            key,
            query: &[],
            headers: &[],
        };
        match self.in_turn(|turn| turn.call_within(&request, ANSWER, DELETION)) {
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Holds off readers of `id` while it is deleted; `None` when there are some.
    pub(super) fn deleting(&self, id: &BlobId) -> Option<Guard> {
        self.readers.delete(id)
    }
}

/// An open object.
pub(super) struct S3Blob {
    // Dropped first: a request is closed before its turn ends.
    course: RefCell<Course>,
    access: Access,
    object: Arc<Object>,
    /// The first bytes, until reading has gone on behind them.
    head: RefCell<Vec<u8>>,
    redirects: bool,
    _guard: Guard,
}

/// How reading has gone so far.
#[derive(Default)]
struct Course {
    pace: Pace,
    /// A window was left open; it may be lost since.
    has_window: bool,
    /// The turn that the next read has already, with the window that was left open.
    turn: Option<Option<Kept<Window>>>,
    /// A window has ended within what is asked for at once, and the turn goes on.
    crosses: bool,
    /// When the last call ended.
    left: Option<Duration>,
}

impl StoredBlob for S3Blob {
    fn size(&self) -> u64 {
        self.object.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.object.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let kept = self.read_head(buffer, offset);
        let course = &mut *self.course.borrow_mut();
        if kept == buffer.len() {
            match course.turn.take() {
                Some(Some(window)) => self.access.seat.rest(window),
                Some(None) => self.access.seat.leave(),
                None => {}
            }
            return Ok(());
        }
        self.came_back(course);
        let rest = &mut buffer[kept..];
        let result = progress::waiting(|| self.fill(course, rest, offset + kept as u64));
        course.left = Some(self.access.elapsed());
        result
    }

    fn file(&self) -> Option<&File> {
        None
    }

    fn address(&self, shown: &Presentation<'_>) -> Option<String> {
        let client = &self.access.client;
        self.redirects
            .then(|| address(client, &self.object.key, shown))?
    }

    fn ready(&self) {
        let course = &mut *self.course.borrow_mut();
        if course.turn.is_none() {
            self.came_back(course);
            // Without a turn, the read asks again, and fails if that fails.
            course.turn = progress::waiting(|| self.access.seat.take()).ok();
            course.left = Some(self.access.elapsed());
        }
    }
}

impl S3Blob {
    /// Fills `buffer` with what is kept of the object from `offset`. Returns how much that was. Many may wait long
    /// with an object open, so what they have got past goes.
    fn read_head(&self, buffer: &mut [u8], offset: u64) -> usize {
        let mut head = self.head.borrow_mut();
        let from = usize::try_from(offset).ok();
        let bytes = from.and_then(|from| head.get(from..)).unwrap_or_default();
        let kept = bytes.len().min(buffer.len());
        buffer[..kept].copy_from_slice(&bytes[..kept]);
        if kept < buffer.len() {
            *head = Vec::new();
        }
        kept
    }

    /// The time since the last call was spent elsewhere.
    fn came_back(&self, course: &mut Course) {
        if let Some(left) = course.left.take() {
            let outside = self.access.elapsed().saturating_sub(left);
            course.pace.outside(outside);
        }
    }

    /// Fills `buffer` from `at`, which is all within the object.
    fn fill(&self, course: &mut Course, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut filled = 0;
        let mut failing = Failing::default();
        while filled < buffer.len() {
            let from = at + filled as u64;
            let (read, result) = self.read_on(course, &mut buffer[filled..], from);
            filled += read;
            if let Err(error) = result {
                // Not the kind of the cause: an answer that ended early is no object that did.
                self.access
                    .read_again(&mut failing, filled, error)
                    .map_err(|error| io::Error::from(error.reason()))?;
            }
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
        let Access {
            client,
            fetchers,
            seat,
            ..
        } = &self.access;
        let turn = course.turn.take().map_or_else(|| seat.take(), Ok);
        let window = match turn {
            Ok(window) => window,
            Err(error) => return (0, Err(no_turn(error))),
        };
        let since = self.access.elapsed();
        let window = window.filter(|kept| kept.is(|window| window.at == at));
        if window.is_none() && course.has_window {
            // It was lost to somebody who waited, or reading goes on elsewhere.
            course.pace.interrupted();
        }
        let wanted = buffer.len().min(CHUNK);
        let needed = buffer.len() as u64;
        let rest_only = std::mem::take(&mut course.crosses) && seat.is_scarce();
        let length = match rest_only {
            true => needed,
            false => course.pace.length(needed, seat.room()),
        };
        let length = length.min(self.object.size - at);
        let window = window.and_then(Kept::take);
        let (object, client) = (Arc::clone(&self.object), client.clone());
        let fetched = fetchers.run(move || {
            let window = match window {
                Some(window) => window,
                None => match object.window(&client, at, length) {
                    Ok(window) => window,
                    Err(error) => return (Vec::new(), Err(error)),
                },
            };
            window.read(wanted)
        });
        let (bytes, result) = fetched.unwrap_or_else(|| (Vec::new(), Err(panicked())));
        buffer[..bytes.len()].copy_from_slice(&bytes);
        progress::step();
        course
            .pace
            .inside(self.access.elapsed().saturating_sub(since));
        course.has_window = matches!(result, Ok(Some(_)));
        let result = match result {
            Ok(Some(window)) => {
                seat.rest(Kept::new(window, fetchers));
                return (bytes.len(), Ok(()));
            }
            Ok(None) => {
                if !rest_only {
                    course.pace.read_through(seat.is_scarce());
                }
                if bytes.len() < buffer.len() {
                    // Nobody waits for a turn with a buffer in hand, and the others wait for one more
                    // request of what is missing.
                    course.turn = Some(None);
                    course.crosses = true;
                    return (bytes.len(), Ok(()));
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        seat.leave();
        (bytes.len(), result)
    }
}

/// What an error means to whoever uses the store.
pub(super) fn refused(error: S3Error) -> StoreError {
    match error.kind() {
        Kind::NotFound => StoreError::NotFound,
        _ => StoreError::Refused(error.reason().into()),
    }
}
