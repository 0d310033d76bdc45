//! The database file as the engine sees it: a write for which there is no room is made again with
//! what was kept aside.
//!
//! The engine gives up for good on the first error of a write. A refusal for want of space is told
//! by the write itself and changes nothing of what was there, so that the same bytes can be written
//! to the same place once more. A sync is never repeated: its error is told once, and what it was
//! about is lost.

use super::room::Room;
use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// A write is made again so often where nothing could be given up, after so many milliseconds each:
/// about a second in all, because an upload that is refused has all that is left for a moment.
const PAUSES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 250, 250, 250];

/// A backend with something kept aside.
#[derive(Debug)]
pub(super) struct WithRoom<B> {
    inner: B,
    room: Arc<Room>,
}

impl<B> WithRoom<B> {
    pub(super) fn new(inner: B, room: Arc<Room>) -> Self {
        Self { inner, room }
    }

    fn with_room(&self, work: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut last = work();
        for pause in PAUSES.map(Duration::from_millis) {
            match &last {
                Err(e) if self.room.give_up(e, pause) => last = work(),
                _ => break,
            }
        }
        last
    }
}

impl<B: StorageBackend> StorageBackend for WithRoom<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_room(|| self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        // The next start has the room that this one lacked.
        self.inner.sync_data().inspect_err(|e| {
            self.room.give_up(e, Duration::ZERO);
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(|| self.inner.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
