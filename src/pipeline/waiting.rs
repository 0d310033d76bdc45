//! Bytes that have no place yet, on their way out of memory and back: sealed under a key that nobody else has, so
//! that they are of no use to who finds them on the disk.

use super::IntakeError;
use super::copying::{Copying, Sealing};
use super::seal::{Cipher, HEADER, Header, Opener, SEGMENT, Sealer, TAG, keys};
use crate::model::Secret;
use crate::store::StoreError;
use std::io::{self, Read};
use zeroize::Zeroizing;

/// What opens bytes that wait.
pub struct Waiting {
    length: u64,
    key: Option<(Secret, [u8; HEADER])>,
}

/// Reads `input` to its end, at most `limit` bytes, and hands it to `write`; with a cipher sealed under a key that is
/// drawn here and is lost with what is returned.
///
/// # Errors
/// [`IntakeError`].
pub fn wait(
    input: &mut dyn Read,
    cipher: Option<Cipher>,
    limit: u64,
    write: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<Waiting, IntakeError> {
    let mut key = None;
    let sealing = cipher.map(|cipher| {
        let (secret, header) = (keys::random_secret(), Header::draw(cipher));
        let sealer = Sealer::new(&secret, &header);
        let bytes = header.to_bytes();
        key = Some((secret, bytes));
        Sealing {
            sealer,
            preceding: Some(bytes),
        }
    });
    let mut seen = |_: &[u8]| {};
    let mut copying = Copying::new(input, &mut seen, limit);
    let mut write = |bytes: &[u8]| write(bytes).map_err(IntakeError::Store);
    copying.run(sealing, 0, &|_| true, &mut write)?;
    Ok(Waiting {
        length: copying.size(),
        key,
    })
}

impl Waiting {
    /// Bytes of the plaintext.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Opens what `stored` gives, from its beginning.
    pub fn reader<'a>(&'a self, stored: impl Read + 'a) -> impl Read + 'a {
        Opened {
            stored,
            key: self.key.as_ref(),
            opener: None,
            left: self.length,
            number: 0,
            buffer: Zeroizing::new(Vec::new()),
            ready: 0..0,
        }
    }
}

/// Opens segment by segment.
struct Opened<'a, R> {
    stored: R,
    key: Option<&'a (Secret, [u8; HEADER])>,
    opener: Option<Opener>,
    /// Plaintext that is to come after what is ready.
    left: u64,
    number: u64,
    buffer: Zeroizing<Vec<u8>>,
    ready: std::ops::Range<usize>,
}

impl<R: Read> Opened<'_, R> {
    /// Opens the next segment.
    fn next(&mut self, key: &(Secret, [u8; HEADER])) -> io::Result<()> {
        let damaged = |_| io::Error::from(io::ErrorKind::InvalidData);
        let (key, header) = key;
        if self.opener.is_none() {
            let mut found = [0; HEADER];
            self.stored.read_exact(&mut found)?;
            if found != *header {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.opener = Some(Opener::new(key, header).map_err(damaged)?);
            self.buffer.resize(SEGMENT + TAG, 0);
        }
        let Some(opener) = &self.opener else {
            return Ok(());
        };
        // No more than a segment.
        let length = self.left.min(SEGMENT as u64) as usize;
        let sealed = &mut self.buffer[..length + TAG];
        self.stored.read_exact(sealed)?;
        self.left -= length as u64;
        opener
            .open(self.number, self.left == 0, sealed, 0)
            .map_err(damaged)?;
        self.number += 1;
        self.ready = 0..length;
        Ok(())
    }
}

impl<R: Read> Read for Opened<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(key) = self.key else {
            return self.stored.read(out);
        };
        if self.ready.is_empty() && self.left > 0 {
            self.next(key)?;
        }
        let n = out.len().min(self.ready.len());
        let from = self.ready.start;
        out[..n].copy_from_slice(&self.buffer[from..from + n]);
        self.ready.start += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [Option<Cipher>; 3] = [
        None,
        Some(Cipher::Aes256Gcm),
        Some(Cipher::ChaCha20Poly1305),
    ];

    fn stored(bytes: &[u8], way: Option<Cipher>) -> (Waiting, Vec<u8>) {
        let mut stored = Vec::new();
        let waiting = wait(&mut &bytes[..], way, u64::MAX, &mut |bytes| {
            stored.extend_from_slice(bytes);
            Ok(())
        });
        (waiting.unwrap(), stored)
    }

    #[test]
    fn what_waited_comes_back_and_can_be_read_twice() {
        for way in WAYS {
            for size in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 300_000] {
                let bytes: Vec<u8> = (0..size).map(|i| (i * 31 + (i >> 9)) as u8).collect();
                let (waiting, stored) = stored(&bytes, way);
                assert_eq!(waiting.length(), size as u64);
                for _ in 0..2 {
                    let mut back = Vec::new();
                    let mut reader = waiting.reader(&stored[..]);
                    reader.read_to_end(&mut back).unwrap();
                    assert!(back == bytes, "{size}");
                }
            }
        }
    }

    #[test]
    fn it_lies_sealed_and_a_changed_bit_is_found() {
        let text = b"meet me at noon";
        for way in &WAYS[1..] {
            let (waiting, stored) = stored(text, *way);
            assert!(!stored.windows(text.len()).any(|window| window == text));
            for at in [0, HEADER, stored.len() - 1] {
                let mut changed = stored.clone();
                changed[at] ^= 1;
                let mut back = Vec::new();
                let read = waiting.reader(&changed[..]).read_to_end(&mut back);
                assert!(read.is_err() && back.is_empty());
            }
            let cut = &stored[..stored.len() - 1];
            assert!(waiting.reader(cut).read_to_end(&mut Vec::new()).is_err());
        }
    }

    #[test]
    fn more_than_the_limit_does_not_wait() {
        let waiting = wait(&mut &[1; 11][..], None, 10, &mut |_| Ok(()));
        assert!(matches!(
            waiting.err(),
            Some(IntakeError::TooLarge { limit: 10 })
        ));
    }
}
