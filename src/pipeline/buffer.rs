//! How much memory a transfer takes, and memory that is wiped when it is given back.

use std::sync::atomic::{AtomicUsize, Ordering};
use zeroize::Zeroize;

/// How many transfers at once may have large buffers.
const LARGE_TRANSFERS: usize = 16;
/// Segments that a transfer with large buffers holds.
const LARGE_SEGMENTS: usize = 8;

static LARGE: AtomicUsize = AtomicUsize::new(0);

/// The share of one transfer in the memory for buffers; given back on drop.
pub(super) struct Share<'a> {
    /// The count that it is part of, for a transfer with large buffers.
    large: Option<&'a AtomicUsize>,
}

impl Share<'static> {
    /// A large share while there is one left, a small one otherwise.
    pub(super) fn take() -> Self {
        Self::of(&LARGE)
    }
}

impl<'a> Share<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < LARGE_TRANSFERS).then_some(n + 1)
        });
        Self {
            large: taken.is_ok().then_some(count),
        }
    }

    /// Whether the buffer may be kept while nothing moves. A small one is for the crowd, and is
    /// given back between two writes.
    pub(super) fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// Segments to open and send at a time.
    pub(super) fn segments_out(&self) -> usize {
        self.large.map_or(1, |_| LARGE_SEGMENTS)
    }

    /// Segments of each of the two halves that receiving uses in turn.
    pub(super) fn segments_in(&self) -> usize {
        self.large.map_or(1, |_| LARGE_SEGMENTS)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.large {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Bytes that are wiped on drop, as far as they were used: a small file does not touch the pages
/// of a large buffer.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Buffer {
    /// `length` zeros.
    pub(super) fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length],
            used: 0,
        }
    }

    /// The first `length` bytes, which then count as used.
    pub(super) fn first(&mut self, length: usize) -> &mut [u8] {
        self.used = self.used.max(length);
        &mut self.bytes[..length]
    }

    /// All bytes. Who writes into them says so with [`Buffer::first`].
    pub(super) fn all(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.bytes[..self.used].zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_transfers_have_large_buffers_and_the_next_a_small_one_until_one_ends() {
        let count = AtomicUsize::new(0);
        let mut shares: Vec<_> = (0..16).map(|_| Share::of(&count)).collect();
        assert!(
            shares
                .iter()
                .all(|s| s.segments_out() == 8 && s.segments_in() == 8)
        );
        let small = Share::of(&count);
        assert_eq!((small.segments_out(), small.segments_in()), (1, 1));
        drop(small);
        assert_eq!(count.load(Ordering::Relaxed), 16);
        shares.pop();
        assert_eq!(Share::of(&count).segments_out(), 8);
        shares.clear();
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
