//! Any cutting of a file into chunks, in any order, stores the same bytes as the file in one piece.

use super::*;
use crate::pipeline::seal::{Cipher, seal_all, stored_len};
use crate::store::StoreError;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

fn key() -> Secret {
    Secret::new([0x42; 32])
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 + (i >> 9)) as u8).collect()
}

/// A blob of pieces in memory, that knows which of its bytes were written and how often it was written to.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    bytes: Vec<Option<u8>>,
    calls: Vec<(u64, usize)>,
    finished: usize,
}

struct OnePiece(Pieces, u64);

impl Assembly for Pieces {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        Ok(Box::new(OnePiece(self.clone(), offset)))
    }
    fn commit(&self) -> Result<(), StoreError> {
        panic!("receiving does not commit");
    }
}

impl Piece for OnePiece {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        assert!(!bytes.is_empty());
        let mut written = self.0.0.lock().unwrap();
        let at = self.1 as usize;
        let end = at + bytes.len();
        if written.bytes.len() < end {
            written.bytes.resize(end, None);
        }
        for (old, new) in written.bytes[at..end].iter_mut().zip(bytes) {
            assert!(old.is_none_or(|old| old == *new), "sealed over");
            *old = Some(*new);
        }
        written.calls.push((self.1, bytes.len()));
        self.1 += bytes.len() as u64;
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.0.0.lock().unwrap().finished += 1;
        Ok(())
    }
}

/// Puts the edges of the segments together, as the service does with its records.
#[derive(Default)]
struct Edges(BTreeMap<u64, Vec<Option<u8>>>);

impl Edges {
    /// Adds a span; the segment's bytes when it is whole now.
    fn add(&mut self, file: &Piecewise<'_>, span: &Span) -> Option<Vec<u8>> {
        let length = file.segment_length(span.segment);
        let known = self.0.entry(span.segment).or_insert(vec![None; length]);
        let end = span.start + span.bytes.len();
        for (old, new) in known[span.start..end].iter_mut().zip(span.bytes.iter()) {
            *old = Some(*new);
        }
        let whole: Option<Vec<u8>> = known.iter().copied().collect();
        if whole.is_some() {
            self.0.remove(&span.segment);
        }
        whole
    }
}

/// Stores the file in chunks that end at `cuts`, in the order of `order`; returns what the store has.
fn assemble(bytes: &[u8], header: Option<Header>, cuts: &[usize], order: &[usize]) -> Vec<u8> {
    let key = key();
    let file = Piecewise {
        content: &key,
        header,
        size: bytes.len() as u64,
    };
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
    bounds.extend([0, bytes.len()]);
    bounds.sort_unstable();
    bounds.dedup();
    let mut chunks: Vec<_> = bounds.windows(2).map(|w| (w[0], w[1])).collect();
    if chunks.is_empty() {
        chunks.push((0, 0));
    }
    for (i, swap) in order.iter().enumerate().take(chunks.len()) {
        let to = swap % chunks.len();
        chunks.swap(i, to);
    }
    let pieces = Pieces::default();
    let mut edges = Edges::default();
    for (from, to) in chunks {
        let chunk = &bytes[from..to];
        let intake = receive_chunk(&mut &chunk[..], &pieces, &file, from as u64).unwrap();
        assert_eq!(intake.length, chunk.len() as u64);
        let said = fingerprint(&mut &chunk[..], &key, u64::MAX).unwrap();
        assert_eq!(said, (intake.length, intake.digest));
        assert!(intake.edges.len() <= 2);
        assert!(file.header.is_some() || intake.edges.is_empty());
        for span in &intake.edges {
            if let Some(whole) = edges.add(&file, span) {
                let piece = seal_whole(&pieces, &file, span.segment, &whole).unwrap();
                piece.unwrap().finish().unwrap();
            }
        }
    }
    assert!(edges.0.is_empty(), "an edge is left");
    let written = pieces.0.lock().unwrap();
    let all: Option<Vec<u8>> = written.bytes.iter().copied().collect();
    all.expect("every byte is written")
}

fn header(cipher: Cipher) -> Header {
    Header {
        cipher,
        prefix: [7; 7],
        salt: [9; 16],
    }
}

const WAYS: [Option<Cipher>; 3] = [
    None,
    Some(Cipher::Aes256Gcm),
    Some(Cipher::ChaCha20Poly1305),
];

fn check(bytes: &[u8], way: Option<Cipher>, cuts: &[usize], order: &[usize]) {
    let stored = assemble(bytes, way.map(header), cuts, order);
    let whole = match way {
        None => bytes.to_vec(),
        Some(cipher) => seal_all(bytes, &key(), &header(cipher)).unwrap(),
    };
    assert!(stored == whole);
}

#[test]
fn the_empty_file_is_one_empty_chunk() {
    for way in WAYS {
        check(&[], way, &[], &[]);
    }
}

#[test]
fn cuts_around_the_borders_of_segments() {
    let near = |n: usize| [n * SEGMENT - 1, n * SEGMENT, n * SEGMENT + 1];
    for way in WAYS {
        for size in [near(1), near(2), near(9), near(17)].concat() {
            let bytes = pattern(size);
            for cut in [near(1), near(8)].concat() {
                check(&bytes, way, &[cut], &[1]);
                check(&bytes, way, &[cut, cut + 1, cut + 2], &[3, 2, 1]);
            }
        }
    }
}

#[test]
fn many_chunks_within_one_segment() {
    for size in [10, SEGMENT, SEGMENT + 10] {
        let cuts: Vec<_> = (0..size).step_by(size.div_ceil(10)).collect();
        check(&pattern(size), WAYS[1], &cuts, &[9, 3, 5, 0, 1]);
    }
}

#[test]
fn one_byte_beyond_the_file_is_too_large() {
    let key = key();
    for header in [None, Some(header(Cipher::ChaCha20Poly1305))] {
        let file = Piecewise {
            content: &key,
            header,
            size: 100_000,
        };
        for (offset, length, ok) in [
            (90_000, 10_000, true),
            (90_000, 10_001, false),
            (0, 100_000, true),
            (0, 100_001, false),
            (100_000, 1, false),
            (200_000, 1, false),
        ] {
            let mut input = io::repeat(1).take(length);
            match receive_chunk(&mut input, &Pieces::default(), &file, offset) {
                Ok(intake) => assert!(ok && intake.length == length),
                Err(IntakeError::TooLarge { .. }) => assert!(!ok, "{offset} {length}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn nothing_at_the_end_of_a_file_writes_nothing() {
    let key = key();
    for size in [100, SEGMENT as u64, SEGMENT as u64 + 5] {
        let file = Piecewise {
            content: &key,
            header: Some(header(Cipher::Aes256Gcm)),
            size,
        };
        for offset in [0, 1, size] {
            let pieces = Pieces::default();
            let got = receive_chunk(&mut io::empty(), &pieces, &file, offset).unwrap();
            assert_eq!((got.length, got.edges.len()), (0, 0));
            assert!(pieces.0.lock().unwrap().bytes.is_empty());
        }
    }
}

#[test]
fn a_cut_input_is_an_error_and_finishes_nothing() {
    struct Cut;
    impl Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let key = key();
    let file = Piecewise {
        content: &key,
        header: Some(header(Cipher::Aes256Gcm)),
        size: 1 << 20,
    };
    for (offset, sent) in [(0, 0), (7, 10), (7, SEGMENT), (0, 500_000)] {
        let pieces = Pieces::default();
        let bytes = pattern(sent);
        let mut input = (&bytes[..]).chain(Cut);
        let got = receive_chunk(&mut input, &pieces, &file, offset);
        assert!(matches!(got, Err(IntakeError::Input(_))));
        assert_eq!(pieces.0.lock().unwrap().finished, 0);
    }
}

#[test]
fn a_chunk_is_one_piece_of_writes_that_follow_each_other_and_end_at_pages() {
    let key = key();
    let file = Piecewise {
        content: &key,
        header: Some(header(Cipher::ChaCha20Poly1305)),
        size: 32 << 20,
    };
    let pieces = Pieces::default();
    let offset = 5_000_001;
    let mut input = io::repeat(7).take(6 << 20);
    let intake = receive_chunk(&mut input, &pieces, &file, offset).unwrap();
    intake.piece.unwrap().finish().unwrap();
    let written = pieces.0.lock().unwrap();
    let mut at = segment_start(offset.div_ceil(FULL));
    let (_, all_but_the_last) = written.calls.split_last().unwrap();
    for (begin, length) in all_but_the_last {
        assert_eq!(*begin, at);
        at += *length as u64;
        assert_eq!(at % 4096, 0);
    }
    assert_eq!(written.finished, 1);
    let edges: usize = intake.edges.iter().map(|edge| edge.bytes.len()).sum();
    let sealed: usize = written.calls.iter().map(|(_, length)| length).sum();
    assert_eq!(edges + sealed / (SEGMENT + 16) * SEGMENT, 6 << 20);
}

#[test]
fn other_bytes_and_other_keys_have_other_fingerprints() {
    let of = |bytes: &[u8], key: &Secret| fingerprint(&mut &bytes[..], key, 10).unwrap().1;
    let other = Secret::new([0x43; 32]);
    assert_eq!(of(b"same", &key()), of(b"same", &key()));
    assert_ne!(of(b"same", &key()), of(b"Same", &key()));
    assert_ne!(of(b"same", &key()), of(b"same", &other));
    let long = fingerprint(&mut &[0; 11][..], &key(), 10);
    assert!(matches!(long, Err(IntakeError::TooLarge { limit: 10 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cutting_in_any_order_stores_what_the_file_in_one_piece_stores(
        size in (0..20usize, -3..4isize)
            .prop_map(|(n, d)| (n * SEGMENT).saturating_add_signed(d)),
        cuts in prop::collection::vec(
            prop_oneof![0..330_000usize, (0..20usize, -2..3isize)
                .prop_map(|(n, d)| (n * SEGMENT).saturating_add_signed(d))],
            0..12,
        ),
        order in prop::collection::vec(0..100usize, 0..14),
        way in 0..3usize,
    ) {
        let bytes = pattern(size);
        check(&bytes, WAYS[way], &cuts, &order);
        prop_assert!(stored_len(size as u64) >= size as u64);
    }
}
