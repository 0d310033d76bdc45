//! Segments: sealing them in order, opening them in any, and the arithmetic of their lengths.

use super::{HEADER, Header, SealError};
use crate::model::Secret;
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use zeroize::Zeroizing;

/// Plaintext bytes of a full segment.
pub const SEGMENT: usize = 16 * 1024;
/// Bytes that sealing adds to each segment.
pub const TAG: usize = 16;
/// Most segments of a blob: the counter in the nonce has 32 bits.
pub const SEGMENTS_MAX: u64 = 1 << 32;
/// Most plaintext bytes of a blob: 64 TiB.
pub const MAX_PLAINTEXT: u64 = SEGMENTS_MAX * SEGMENT as u64;

const SLOT: u64 = (SEGMENT + TAG) as u64;
const INFO: &[u8] = b"mayfly/1/segments";

/// Where segment `number` begins in the store. The piece that begins with segment 0 begins with the header.
pub(in crate::pipeline) fn segment_start(number: u64) -> u64 {
    match number {
        0 => 0,
        number => HEADER as u64 + number * SLOT,
    }
}

/// Bytes in the store of `plaintext` bytes, sealed. Beyond [`MAX_PLAINTEXT`] nothing seals; the
/// figure then is only good for being refused (it ends at `u64::MAX`).
pub fn stored_len(plaintext: u64) -> u64 {
    let segments = plaintext.div_ceil(SEGMENT as u64).max(1);
    plaintext.saturating_add(segments * TAG as u64 + HEADER as u64)
}

/// Plaintext bytes of a sealed blob of `stored` bytes. `None` when no blob has that length: the
/// exact inverse of [`stored_len`] up to [`MAX_PLAINTEXT`].
pub fn plaintext_len(stored: u64) -> Option<u64> {
    let body = stored.checked_sub(HEADER as u64)?;
    let segments = body.div_ceil(SLOT);
    if segments == 0 || segments > SEGMENTS_MAX {
        return None;
    }
    let last = (body - (segments - 1) * SLOT).checked_sub(TAG as u64)?;
    if last == 0 && segments > 1 {
        return None;
    }
    Some((segments - 1) * SEGMENT as u64 + last)
}

/// Where a segment stands: its number, and whether it is the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    number: u32,
    last: bool,
}

impl Place {
    fn new(number: u64, last: bool) -> Result<Self, SealError> {
        let number = u32::try_from(number).map_err(|_| SealError::TooLong)?;
        Ok(Self { number, last })
    }

    fn nonce(self, header: &Header) -> Nonce {
        let mut nonce = [0; 12];
        let (prefix, rest) = nonce.split_at_mut(header.prefix.len());
        prefix.copy_from_slice(&header.prefix);
        let (number, flag) = rest.split_at_mut(size_of::<u32>());
        number.copy_from_slice(&self.number.to_be_bytes());
        flag[0] = u8::from(self.last);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Counts segments while sealing. It only goes forward and stops for good at the last segment, so
/// no nonce comes twice from one of them.
struct Counter {
    next: u64,
    ended: bool,
}

impl Counter {
    /// Begins before segment `next`.
    fn at(next: u64) -> Self {
        Self { next, ended: false }
    }

    fn is_first(&self) -> bool {
        self.next == 0
    }

    /// Takes the next place.
    fn take(&mut self, last: bool) -> Result<Place, SealError> {
        if self.ended {
            return Err(SealError::TooLong);
        }
        let place = Place::new(self.next, last)?;
        self.next += 1;
        self.ended = last;
        Ok(place)
    }
}

/// Seals the segments of one blob, in order.
pub struct Sealer {
    key: LessSafeKey,
    header: Header,
    aad: [u8; HEADER],
    counter: Counter,
}

impl Sealer {
    /// Begins a blob. `header` must be a new one ([`Header::draw`]); `content_key` may be used
    /// again only with another header.
    pub fn new(content_key: &Secret, header: &Header) -> Self {
        Self::starting_at(content_key, header, Counter::at(0))
    }

    /// Begins in the middle of a blob, for one that comes in pieces. Then the same nonce may come
    /// twice, after a piece was cut short and sent again. That is safe as long as the store takes only
    /// the same bytes a second time ([`StoreError::Differs`](crate::store::StoreError::Differs)): equal
    /// plaintext seals to equal bytes, and of other plaintext nothing ever leaves this process.
    pub(in crate::pipeline) fn at(content_key: &Secret, header: &Header, number: u64) -> Self {
        Self::starting_at(content_key, header, Counter::at(number))
    }

    fn starting_at(content_key: &Secret, header: &Header, counter: Counter) -> Self {
        Self {
            key: segment_key(content_key, header),
            header: *header,
            aad: header.to_bytes(),
            counter,
        }
    }

    /// Seals the next segment in place and returns its tag, which belongs behind it.
    ///
    /// # Errors
    /// [`SealError::Length`] for a segment that is too long, is short without being the last, or
    /// is empty without being the only one; [`SealError::TooLong`] after the last segment and
    /// after segment 2^32 - 1. Nothing is changed then.
    pub fn seal(&mut self, segment: &mut [u8], last: bool) -> Result<[u8; TAG], SealError> {
        if !fits(segment.len(), last, self.counter.is_first()) {
            return Err(SealError::Length);
        }
        let place = self.counter.take(last)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(place.nonce(&self.header), Aad::from(&self.aad), segment)
            .map_err(|_| SealError::Length)?;
        let mut bytes = [0; TAG];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }
}

/// Opens the segments of one blob, in any order.
pub struct Opener {
    key: LessSafeKey,
    header: Header,
    aad: [u8; HEADER],
}

impl Opener {
    /// Reads the header of a blob. Says nothing about the key: only a segment can.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub fn new(content_key: &Secret, header: &[u8; HEADER]) -> Result<Self, SealError> {
        let parsed = Header::parse(header)?;
        Ok(Self {
            key: segment_key(content_key, &parsed),
            header: parsed,
            aad: *header,
        })
    }

    /// Opens segment `number`: takes ciphertext and tag from `buffer[start..]`, puts the plaintext
    /// at the start of `buffer` and returns it. A batch of segments is made contiguous that way
    /// without another pass.
    ///
    /// # Errors
    /// [`SealError::Segment`] when it is not authentic at this place; [`SealError::Length`] and
    /// [`SealError::TooLong`] as [`Sealer::seal`]. `buffer` then holds nothing to be used.
    pub fn open<'a>(
        &self,
        number: u64,
        last: bool,
        buffer: &'a mut [u8],
        start: usize,
    ) -> Result<&'a mut [u8], SealError> {
        let length = buffer
            .len()
            .checked_sub(start)
            .and_then(|n| n.checked_sub(TAG))
            .ok_or(SealError::Length)?;
        if !fits(length, last, number == 0) {
            return Err(SealError::Length);
        }
        let nonce = Place::new(number, last)?.nonce(&self.header);
        self.key
            .open_within(nonce, Aad::from(&self.aad), buffer, start..)
            .map_err(|_| SealError::Segment(number))
    }
}

/// Whether a segment may have this many bytes of plaintext.
fn fits(length: usize, last: bool, first: bool) -> bool {
    match length {
        SEGMENT => true,
        0 => last && first,
        1..SEGMENT => last,
        _ => false,
    }
}

fn segment_key(content_key: &Secret, header: &Header) -> LessSafeKey {
    let secret =
        hkdf::Salt::new(hkdf::HKDF_SHA256, &header.salt).extract(content_key.reveal().as_slice());
    #[allow(
        clippy::expect_used,
        reason = "HKDF-SHA-256 gives up to 8,160 bytes, the ciphers take 32"
    )]
    let okm = secret
        .expand(&[INFO], header.cipher.algorithm())
        .expect("32 bytes can be derived");
    LessSafeKey::new(UnboundKey::from(okm))
}

/// Seals a whole plaintext in memory under a given header. For test vectors and tools: a header
/// that is used for two plaintexts gives both away.
///
/// # Errors
/// [`SealError::TooLong`] beyond [`MAX_PLAINTEXT`].
pub fn seal_all(
    plaintext: &[u8],
    content_key: &Secret,
    header: &Header,
) -> Result<Vec<u8>, SealError> {
    let mut sealer = Sealer::new(content_key, header);
    let mut blob = header.to_bytes().to_vec();
    let mut rest = plaintext;
    loop {
        let (segment, after) = rest.split_at(rest.len().min(SEGMENT));
        let start = blob.len();
        blob.extend_from_slice(segment);
        let tag = sealer.seal(&mut blob[start..], after.is_empty())?;
        blob.extend_from_slice(&tag);
        if after.is_empty() {
            return Ok(blob);
        }
        rest = after;
    }
}

/// Opens a whole blob in memory: all of it, or an error and nothing.
///
/// # Errors
/// [`SealError`]; never panics, whatever the bytes.
pub fn open_all(blob: &[u8], content_key: &Secret) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (header, body) = blob
        .split_first_chunk::<HEADER>()
        .ok_or(SealError::NotSealed)?;
    let opener = Opener::new(content_key, header)?;
    plaintext_len(blob.len() as u64).ok_or(SealError::Length)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(body.len()));
    let mut buffer = Zeroizing::new([0; SEGMENT + TAG]);
    let mut sealed = body.chunks(SEGMENT + TAG).peekable();
    let mut number = 0;
    while let Some(chunk) = sealed.next() {
        let buffer = &mut buffer[..chunk.len()];
        buffer.copy_from_slice(chunk);
        plaintext.extend_from_slice(opener.open(number, sealed.peek().is_none(), buffer, 0)?);
        number += 1;
    }
    Ok(plaintext)
}
