//! Files that exist only as a rule: any size, any part, without holding them.

use ring::digest;
use std::io::{self, Read};

const BLOCK: usize = 64 * 1024;

/// `size` bytes that look random and depend on `seed` alone.
#[derive(Clone)]
pub struct Payload {
    seed: u64,
    size: u64,
    block: Vec<u8>,
}

impl Payload {
    pub fn new(seed: u64, size: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        Self { seed, size, block }
    }

    /// A payload that no other test or run has.
    pub fn fresh(size: u64) -> Self {
        let mut seed = [0; 8];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed).unwrap();
        Self::new(u64::from_le_bytes(seed), size)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buffer` with the bytes from `offset`; returns how many there are.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size.saturating_sub(offset);
        let n = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let mut done = 0;
        while done < n {
            let at = offset + done as u64;
            let within = usize::try_from(at % BLOCK as u64).unwrap();
            let take = (BLOCK - within).min(n - done);
            buffer[done..done + take].copy_from_slice(&self.block[within..within + take]);
            // The first eight bytes of a block are its number: no two blocks are equal.
            let number = ((at / BLOCK as u64) ^ self.seed).to_le_bytes();
            for (i, byte) in number.iter().enumerate().skip(within) {
                if i < within + take {
                    buffer[done + i - within] = *byte;
                }
            }
            done += take;
        }
        n
    }

    /// The bytes of a range, for small ones.
    pub fn part(&self, from: u64, to: u64) -> Vec<u8> {
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        let n = self.read_at(from, &mut part);
        part.truncate(n);
        part
    }

    /// All bytes, for small payloads.
    pub fn bytes(&self) -> Vec<u8> {
        self.part(0, self.size)
    }

    pub fn reader(&self) -> impl Read + '_ {
        Reader {
            payload: self,
            offset: 0,
        }
    }

    pub fn sha256(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; BLOCK];
        let mut offset = 0;
        loop {
            let n = self.read_at(offset, &mut buffer);
            if n == 0 {
                return hex(context.finish().as_ref());
            }
            context.update(&buffer[..n]);
            offset += n as u64;
        }
    }
}

struct Reader<'a> {
    payload: &'a Payload,
    offset: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.payload.read_at(self.offset, buffer);
        self.offset += n as u64;
        Ok(n)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
