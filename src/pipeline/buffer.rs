//! How much memory a transfer takes, and memory that is wiped when it is given back.

use std::sync::atomic::{AtomicUsize, Ordering};
use zeroize::Zeroize;

/// How many transfers at once may have large buffers.
const LARGE_TRANSFERS: usize = 16;
/// Segments that a transfer with large buffers holds.
const LARGE_SEGMENTS: usize = 8;

/// Transfers at once beyond which nobody has large buffers for what goes out.
const CROWD: usize = 64;

static COUNTS: Counts = Counts::none();

/// How many transfers there are, and how many of them have a large share.
struct Counts {
    all: AtomicUsize,
    large: AtomicUsize,
}

impl Counts {
    const fn none() -> Self {
        Self {
            all: AtomicUsize::new(0),
            large: AtomicUsize::new(0),
        }
    }
}

/// The share of one transfer in the memory for buffers; given back on drop.
pub(super) struct Share<'a> {
    counts: &'a Counts,
    large: bool,
}

impl Share<'static> {
    /// A large share while there is one left, a small one otherwise.
    pub(super) fn take() -> Self {
        Self::of(&COUNTS)
    }
}

impl<'a> Share<'a> {
    fn of(counts: &'a Counts) -> Self {
        counts.all.fetch_add(1, Ordering::Relaxed);
        let large = &counts.large;
        let taken = large.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < LARGE_TRANSFERS).then_some(n + 1)
        });
        Self {
            counts,
            large: taken.is_ok(),
        }
    }

    /// Whether the buffer may be kept while nothing moves. A small one is for the crowd, and is
    /// given back between two writes. That may change with each call.
    pub(super) fn is_large(&self) -> bool {
        self.large && self.counts.all.load(Ordering::Relaxed) <= CROWD
    }

    /// Segments to open and send at a time. That may change with each call.
    pub(super) fn segments_out(&self) -> usize {
        if self.is_large() { LARGE_SEGMENTS } else { 1 }
    }

    /// Segments of each of the two halves that receiving uses in turn.
    pub(super) fn segments_in(&self) -> usize {
        if self.large { LARGE_SEGMENTS } else { 1 }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        if self.large {
            self.counts.large.fetch_sub(1, Ordering::Relaxed);
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

    /// Whether it has `length` bytes.
    pub(super) fn holds(&self, length: usize) -> bool {
        self.bytes.len() >= length
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
        let count = Counts::none();
        let mut shares: Vec<_> = (0..16).map(|_| Share::of(&count)).collect();
        assert!(
            shares
                .iter()
                .all(|s| s.segments_out() == 8 && s.segments_in() == 8)
        );
        let small = Share::of(&count);
        assert_eq!((small.segments_out(), small.segments_in()), (1, 1));
        drop(small);
        assert_eq!(count.large.load(Ordering::Relaxed), 16);
        shares.pop();
        assert_eq!(Share::of(&count).segments_out(), 8);
        shares.clear();
        assert_eq!(count.large.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn in_a_crowd_nobody_sends_from_a_large_buffer_and_what_comes_in_keeps_its_own() {
        let counts = Counts::none();
        let first = Share::of(&counts);
        let crowd: Vec<_> = (0..CROWD).map(|_| Share::of(&counts)).collect();
        assert!(!first.is_large());
        assert_eq!((first.segments_out(), first.segments_in()), (1, 8));
        drop(crowd);
        assert!(first.is_large());
        drop(first);
        assert_eq!(counts.all.load(Ordering::Relaxed), 0);
    }
}
