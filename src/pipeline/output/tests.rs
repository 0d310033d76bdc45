//! Any range gives its bytes, and nothing that is not authentic leaves.

use super::*;
use crate::pipeline::seal::{Cipher, Header, Sealer, seal_all, stored_len};
use proptest::prelude::*;
use std::io::{Read, Seek, SeekFrom, Write};

fn key() -> Secret {
    Secret::new([0x42; 32])
}

fn pattern(range: Range<u64>) -> Vec<u8> {
    range.map(|i| (i * 31 + (i >> 9)) as u8).collect()
}

fn header(cipher: Cipher) -> Header {
    Header {
        cipher,
        prefix: [1; 7],
        salt: [2; 16],
    }
}

/// What was sent, and how.
#[derive(Default)]
struct Sent {
    bytes: Vec<u8>,
    by_the_kernel: u64,
    takes: Option<usize>,
}

impl Output for Sent {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(!bytes.is_empty());
        if self.takes.is_some_and(|most| self.bytes.len() >= most) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn send_file(&mut self, mut file: &File, offset: u64, length: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(offset))?;
        let n = file.take(length).read_to_end(&mut self.bytes)? as u64;
        self.by_the_kernel += n;
        if n < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn settle(&mut self) -> u64 {
        self.bytes.len() as u64
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Bytes(Vec<u8>);

impl StoredBlob for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = offset as usize;
        let bytes = self.0.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn file(&self) -> Option<&File> {
        None
    }
}

fn sealed(size: u64, cipher: Cipher) -> Source {
    let blob = seal_all(&pattern(0..size), &key(), &header(cipher)).unwrap();
    Source::sealed(Box::new(Bytes(blob)), size, &key()).unwrap()
}

fn send(source: &mut Source, range: Range<u64>) -> Vec<u8> {
    let mut sent = Sent::default();
    source.send(range, &mut sent).unwrap();
    sent.bytes
}

#[test]
fn ranges_around_the_borders_of_segments() {
    let size = 10 * SEGMENT as u64 + 77;
    let mut edges = vec![0, 1, size - 1, size];
    for n in [1, 2, 8, 9, 10] {
        let border = n * SEGMENT as u64;
        edges.extend([border - 1, border, border + 1]);
    }
    let mut source = sealed(size, Cipher::ChaCha20Poly1305);
    for start in &edges {
        for end in edges.iter().filter(|end| *end >= start) {
            let range = *start..*end;
            assert!(
                send(&mut source, range.clone()) == pattern(range.clone()),
                "{range:?}"
            );
        }
    }
}

#[test]
fn a_range_beyond_the_end_sends_nothing() {
    for mut source in [
        sealed(100, Cipher::Aes256Gcm),
        Source::plain(Box::new(Bytes(vec![1; 100])), 100).unwrap(),
    ] {
        let mut sent = Sent::default();
        let error = source.send(50..101, &mut sent).unwrap_err();
        assert!(matches!(error, SendError::Blob(e) if e.kind() == io::ErrorKind::InvalidInput));
        assert!(sent.bytes.is_empty());
    }
}

#[test]
fn the_empty_file_is_authenticated_when_it_is_opened() {
    let blob = seal_all(b"", &key(), &header(Cipher::Aes256Gcm)).unwrap();
    let open = |blob: &[u8]| Source::sealed(Box::new(Bytes(blob.to_vec())), 0, &key());
    let mut source = open(&blob).unwrap();
    assert_eq!(send(&mut source, 0..0), b"");
    let mut changed = blob.clone();
    changed[HEADER] ^= 1;
    assert!(matches!(open(&changed), Err(SendError::Damaged)));
}

#[test]
fn a_wrong_length_is_noticed_when_it_is_opened() {
    let blob = seal_all(&pattern(0..40_000), &key(), &header(Cipher::Aes256Gcm)).unwrap();
    for (cut, size) in [(0, 39_999), (0, 40_001), (1, 40_000), (16, 40_000)] {
        let blob = blob[..blob.len() - cut].to_vec();
        let result = Source::sealed(Box::new(Bytes(blob)), size, &key());
        assert!(matches!(result, Err(SendError::Damaged)), "{cut} {size}");
    }
    let result = Source::plain(Box::new(Bytes(vec![0; 9])), 10);
    assert!(matches!(result, Err(SendError::Damaged)));
}

#[test]
fn a_damaged_segment_stops_the_sending_and_does_not_leave() {
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        let size = 20 * SEGMENT as u64;
        let whole = pattern(0..size);
        let blob = seal_all(&whole, &key(), &header(cipher)).unwrap();
        for bad in [0, 1, 7, 8, 19] {
            let mut blob = blob.clone();
            blob[HEADER + bad * (SEGMENT + TAG) + 100] ^= 1;
            let mut source = Source::sealed(Box::new(Bytes(blob)), size, &key()).unwrap();
            let mut sent = Sent::default();
            let result = source.send(0..size, &mut sent);
            assert!(matches!(result, Err(SendError::Damaged)));
            assert!(sent.bytes.len() <= bad * SEGMENT);
            assert!(whole.starts_with(&sent.bytes));
            // What is whole is still served.
            let from = (bad as u64 + 1) * SEGMENT as u64;
            assert!(send(&mut source, from..size) == pattern(from..size));
        }
    }
}

#[test]
fn a_lost_receiver_is_not_a_damaged_blob() {
    let mut sent = Sent {
        takes: Some(1),
        ..Sent::default()
    };
    let size = 20 * SEGMENT as u64;
    let error = sealed(size, Cipher::Aes256Gcm)
        .send(0..size, &mut sent)
        .unwrap_err();
    assert!(matches!(error, SendError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn plain_bytes_without_a_file_are_copied() {
    let size = 300_000;
    let mut source = Source::plain(Box::new(Bytes(pattern(0..size))), size).unwrap();
    for range in [0..size, 0..0, 1..2, 131_071..131_073, 299_999..300_000] {
        assert!(send(&mut source, range.clone()) == pattern(range));
    }
}

struct Stored(File, u64);

impl StoredBlob for Stored {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        panic!("a plain file is left to the kernel");
    }
    fn file(&self) -> Option<&File> {
        Some(&self.0)
    }
}

#[test]
fn a_plain_file_is_left_to_the_kernel() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&pattern(0..1000)).unwrap();
    let blob = Stored(file.try_clone().unwrap(), 1000);
    let mut source = Source::plain(Box::new(blob), 1000).unwrap();
    let mut sent = Sent::default();
    source.send(10..900, &mut sent).unwrap();
    assert_eq!(sent.by_the_kernel, 890);
    assert_eq!(sent.bytes, pattern(10..900));
    file.set_len(500).unwrap();
    let result = source.send(10..900, &mut Sent::default());
    assert!(matches!(result, Err(SendError::Damaged)));
}

/// A sealed blob of any length that exists only where it is read.
struct Synthetic {
    size: u64,
}

impl StoredBlob for Synthetic {
    fn size(&self) -> u64 {
        stored_len(self.size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let header = header(Cipher::ChaCha20Poly1305);
        if offset == 0 {
            buffer.copy_from_slice(&header.to_bytes());
            return Ok(());
        }
        assert_eq!((offset - HEADER as u64) % SLOT, 0, "reads whole segments");
        let first = (offset - HEADER as u64) / SLOT;
        for (number, slot) in (first..).zip(buffer.chunks_mut(SEGMENT + TAG)) {
            let start = number * SEGMENT as u64;
            let end = (start + SEGMENT as u64).min(self.size);
            let mut plain = pattern(start..end);
            let mut sealer = Sealer::at(&key(), &header, number);
            let tag = sealer.seal(&mut plain, end == self.size).unwrap();
            let (segment, place) = slot.split_at_mut(slot.len() - TAG);
            segment.copy_from_slice(&plain);
            place.copy_from_slice(&tag);
        }
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}

#[test]
fn ranges_of_huge_files_need_more_than_32_bits_and_get_them() {
    const GIB: u64 = 1 << 30;
    for size in [5 * GIB + 3, 50 * GIB, 64 << 40] {
        let mut source = Source::sealed(Box::new(Synthetic { size }), size, &key()).unwrap();
        for range in [
            0..10,
            2 * GIB - 5..2 * GIB + 5,
            4 * GIB - 20_000..4 * GIB + 20_000,
            4 * GIB..4 * GIB + 1,
            size - 40_000..size,
            size - 1..size,
        ] {
            assert!(
                send(&mut source, range.clone()) == pattern(range.clone()),
                "{range:?} of {size}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_of_any_file_gives_its_bytes(
        (n, d) in (0..12u64, -2..3i64),
        a: prop::sample::Index,
        b: prop::sample::Index,
        aes: bool,
    ) {
        let size = (n * SEGMENT as u64).saturating_add_signed(d);
        let places = usize::try_from(size).unwrap() + 1;
        let (a, b) = (a.index(places) as u64, b.index(places) as u64);
        let range = a.min(b)..a.max(b);
        let cipher = if aes { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 };
        let mut source = sealed(size, cipher);
        prop_assert!(send(&mut source, range.clone()) == pattern(range));
    }
}
