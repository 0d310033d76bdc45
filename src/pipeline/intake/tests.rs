//! Any split of the input into reads stores the same bytes, written once.

use super::*;
use crate::model::BlobId;
use crate::pipeline::copying::PAGE;
use crate::pipeline::seal::{HEADER, SEGMENT, TAG, open_all, stored_len};
use crate::store::{Fault, FaultStore, MemoryStore, Operation, Store};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const ID: BlobId = BlobId([1; 16]);

fn key() -> Secret {
    Secret::new([0x42; 32])
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 + (i >> 9)) as u8).collect()
}

/// An input that gives its bytes in pieces of the given sizes, again and again; 0 is an
/// interruption.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], sizes: Vec<usize>) -> Self {
        let sizes = sizes.into_iter().cycle();
        Self { bytes, sizes }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read without room looks like the end");
        let most = self.sizes.next().unwrap();
        if most == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        (&mut self.bytes).take(most as u64).read(buffer)
    }
}

fn layout<'a>(sealed: Option<Cipher>, key: &'a Secret) -> Layout<'a> {
    match sealed {
        None => Layout::Plain,
        Some(cipher) => Layout::Sealed { cipher, key },
    }
}

/// Receives into a memory store; returns what was said and what was stored.
fn store(
    input: &mut dyn Read,
    layout: &Layout<'_>,
    limit: u64,
) -> Result<(Intake, Vec<u8>), IntakeError> {
    let store = MemoryStore::new(None);
    let mut stage = store.stage(&ID, None).unwrap();
    let intake = receive(input, &mut *stage, layout, limit)?;
    stage.commit().unwrap();
    let blob = store.open(&ID).unwrap();
    let mut bytes = vec![0; blob.size() as usize];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    Ok((intake, bytes))
}

fn check(bytes: &[u8], input: &mut dyn Read, sealed: Option<Cipher>) {
    let key = key();
    let (intake, stored) = store(input, &layout(sealed, &key), u64::MAX).unwrap();
    let size = bytes.len() as u64;
    assert_eq!(intake.size, size);
    assert_eq!(intake.stored, stored.len() as u64);
    let sha256 = digest::digest(&digest::SHA256, bytes);
    assert_eq!(intake.sha256, sha256.as_ref());
    if sealed.is_some() {
        assert_eq!(intake.stored, stored_len(size));
        assert!(*open_all(&stored, &key).unwrap() == bytes);
    } else {
        assert!(stored == bytes);
    }
}

const WAYS: [Option<Cipher>; 3] = [
    None,
    Some(Cipher::Aes256Gcm),
    Some(Cipher::ChaCha20Poly1305),
];

#[test]
fn sizes_around_the_borders_of_segments_and_buffers() {
    for sealed in WAYS {
        for borders in [0, 1, 2, 4, 8, 12] {
            for size in [
                (borders * SEGMENT).saturating_sub(1),
                borders * SEGMENT,
                borders * SEGMENT + 1,
            ] {
                let bytes = pattern(size);
                check(&bytes, &mut &bytes[..], sealed);
            }
        }
    }
}

#[test]
fn one_byte_too_many_is_too_large_and_the_limit_itself_is_not() {
    let key = key();
    for sealed in WAYS {
        let layout = layout(sealed, &key);
        for limit in [0, 1, SEGMENT as u64, 100_000] {
            let exact = pattern(limit as usize);
            assert_eq!(
                store(&mut &exact[..], &layout, limit).unwrap().0.size,
                limit
            );
            // What follows the first byte too many is not read: it would panic.
            let mut more = (&exact[..]).chain(&b"x"[..]).chain(Unreadable);
            let error = store(&mut more, &layout, limit).unwrap_err();
            assert!(matches!(error, IntakeError::TooLarge { limit: l } if l == limit));
        }
    }
}

struct Unreadable;

impl Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("read on after the limit");
    }
}

#[test]
fn a_cut_input_is_an_error_of_the_input() {
    struct Cut;
    impl Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    for size in [0, 10, SEGMENT, 200_000] {
        let bytes = pattern(size);
        let error = store(&mut (&bytes[..]).chain(Cut), &Layout::Plain, u64::MAX).unwrap_err();
        let IntakeError::Input(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn the_end_of_the_input_is_asked_for_once() {
    struct Once(bool);
    impl Read for Once {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            assert!(!std::mem::replace(&mut self.0, true), "read after the end");
            Ok(0)
        }
    }
    let key = key();
    for sealed in WAYS {
        for size in [0, 5, SEGMENT, 4 * SEGMENT, 9 * SEGMENT] {
            let bytes = pattern(size);
            let mut input = (&bytes[..]).chain(Once(false));
            store(&mut input, &layout(sealed, &key), u64::MAX).unwrap();
        }
    }
}

#[test]
fn a_fault_of_the_store_stops_it_at_any_write() {
    let key = key();
    let bytes = pattern(200_000);
    for sealed in WAYS {
        for fault in [Fault::Full, Fault::Short, Fault::Unavailable] {
            let mut failed = 0;
            for n in 0.. {
                let (store, faults) = FaultStore::new(Box::new(MemoryStore::new(None)));
                let mut stage = store.stage(&ID, None).unwrap();
                faults.fail_after_only(Operation::Write, n, fault);
                match receive(
                    &mut &bytes[..],
                    &mut *stage,
                    &layout(sealed, &key),
                    u64::MAX,
                ) {
                    Ok(_) => break,
                    Err(IntakeError::Store(_)) => failed += 1,
                    Err(e) => panic!("{e}"),
                }
            }
            assert!((2..=14).contains(&failed), "{failed} writes");
        }
    }
}

/// Notes how it is written to.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<usize>>>);

impl Stage for Writes {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.lock().unwrap().push(bytes.len());
        Ok(())
    }
    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        panic!("receiving does not commit");
    }
}

#[test]
fn every_byte_is_written_once_and_in_large_pieces() {
    let key = key();
    for sealed in [None, Some(Cipher::ChaCha20Poly1305)] {
        let size = 10 << 20;
        let mut writes = Writes::default();
        let mut input = io::repeat(7).take(size);
        let intake = receive(&mut input, &mut writes, &layout(sealed, &key), u64::MAX).unwrap();
        let writes = writes.0.lock().unwrap();
        let total: usize = writes.iter().sum();
        assert_eq!(total as u64, intake.stored);
        let header = if sealed.is_some() { HEADER } else { 0 };
        assert_eq!(
            total - header,
            size as usize + 640 * usize::from(sealed.is_some()) * TAG
        );
        // Other tests share the large buffers: at worst it is a segment at a time.
        assert!(writes.len() <= 641, "{} writes", writes.len());
        assert!(writes.iter().all(|n| *n <= 8 * (SEGMENT + TAG) + PAGE));
        let (_, all_but_the_last) = writes.split_last().unwrap();
        assert!(all_but_the_last.iter().all(|n| n % PAGE == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_into_reads_stores_the_same(
        size in (0..10usize, -3..4isize)
            .prop_map(|(n, d)| (n * SEGMENT).saturating_add_signed(d)),
        mut sizes in prop::collection::vec(
            prop_oneof![Just(0usize), 1..50usize, 1000..20_000usize, 50_000..200_000usize],
            0..8,
        ),
        way in 0..3usize,
    ) {
        sizes.push(4_000);
        let bytes = pattern(size);
        check(&bytes, &mut Pieces::new(&bytes, sizes), WAYS[way]);
    }
}
