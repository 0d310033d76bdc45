//! The way in of one chunk of a file whose size is known: its whole segments are sealed and written to their
//! place, and what is short of a segment at its two ends is given back.
//!
//! Any cutting of a file into chunks, received in any order, stores the same bytes as the file in one
//! piece: where a segment stands, and whether it is the last, follows from the size alone.

use super::IntakeError;
use super::copying::{Copying, Sealing};
use super::seal::{HEADER, Header, SEGMENT, Sealer, TAG, segment_start};
use crate::model::Secret;
use crate::store::{Assembly, Piece};
use ring::hmac;
use std::io::Read;
use zeroize::Zeroizing;

const FULL: u64 = SEGMENT as u64;

/// A file that comes in chunks.
pub struct Piecewise<'a> {
    /// Its content key.
    pub content: &'a Secret,
    /// The header of its blob; `None` when it is stored as it comes.
    pub header: Option<Header>,
    /// Bytes of the whole plaintext.
    pub size: u64,
}

/// What was received of a chunk.
pub struct ChunkIntake {
    /// Bytes of the plaintext.
    pub length: u64,
    /// The chunk's [`fingerprint`].
    pub digest: [u8; 16],
    /// Parts of segments that the chunk does not hold as a whole: at most one at each end.
    pub edges: Vec<Span>,
    /// What was written: durable once it is finished. `None` when the chunk holds no segment as a whole.
    pub piece: Option<Box<dyn Piece>>,
}

/// A part of one segment.
pub struct Span {
    /// The number of the segment.
    pub segment: u64,
    /// Where in the segment it begins, in bytes.
    pub start: usize,
    /// The plaintext.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl Piecewise<'_> {
    /// Bytes of plaintext in this segment.
    pub fn segment_length(&self, number: u64) -> usize {
        let left = self.size.saturating_sub(number * FULL);
        // No more than a segment.
        left.min(FULL) as usize
    }

    fn sealing(&self, header: &Header, number: u64) -> Sealing {
        Sealing {
            sealer: Sealer::at(self.content, header, number),
            preceding: (number == 0).then(|| header.to_bytes()),
        }
    }
}

/// Reads `input` to its end and writes it to its place in `assembly`, at the byte `offset` of the plaintext.
/// Does not finish the piece.
///
/// # Errors
/// [`IntakeError::TooLarge`] when there is more than the file has from there; [`IntakeError`] otherwise. What
/// was written until then stays, and may be written again.
pub fn receive_chunk(
    input: &mut dyn Read,
    assembly: &dyn Assembly,
    file: &Piecewise<'_>,
    offset: u64,
) -> Result<ChunkIntake, IntakeError> {
    let limit = file.size.saturating_sub(offset);
    let mut hash = fingerprinting(file.content);
    let mut seen = |bytes: &[u8]| hash.update(bytes);
    let mut copying = Copying::new(input, &mut seen, limit);
    let mut edges = Vec::new();
    let mut place = offset;
    let mut number = offset / FULL;
    let mut ended = false;
    if file.header.is_some() {
        let into = (offset % FULL) as usize;
        if into > 0 {
            let most = file.segment_length(number).saturating_sub(into);
            let bytes = copying.lead(most)?;
            ended = bytes.len() < most;
            edges.push(span(number, into, bytes));
            number += 1;
        }
        place = segment_start(number);
    }
    let lead = copying.size();
    let ends = |read| offset + read == file.size && (read > lead || file.size == 0);
    let mut piece: Option<Box<dyn Piece>> = None;
    let mut write = |bytes: &[u8]| {
        let piece = match &mut piece {
            Some(piece) => piece,
            None => piece.insert(assembly.piece(place).map_err(IntakeError::Store)?),
        };
        piece.write(bytes).map_err(IntakeError::Store)
    };
    let mut rest = Zeroizing::default();
    if !ended {
        let sealing = file.header.as_ref();
        let sealing = sealing.map(|header| file.sealing(header, number));
        rest = copying.run(sealing, place, &ends, &mut write)?;
    }
    let length = copying.size();
    if !rest.is_empty() {
        edges.push(span((offset + length) / FULL, 0, rest));
    }
    edges.retain(|edge| !edge.bytes.is_empty());
    Ok(ChunkIntake {
        length,
        digest: shorten(&hash.sign()),
        edges,
        piece,
    })
}

fn span(segment: u64, start: usize, bytes: Zeroizing<Vec<u8>>) -> Span {
    Span {
        segment,
        start,
        bytes,
    }
}

/// Seals one segment of which all bytes have come, and writes it to its place. Does not finish the piece;
/// `None` when the file is stored as it comes.
///
/// # Errors
/// [`IntakeError::Store`]; [`IntakeError::TooLarge`] when `bytes` are not as many as the segment has.
pub fn seal_whole(
    assembly: &dyn Assembly,
    file: &Piecewise<'_>,
    number: u64,
    bytes: &[u8],
) -> Result<Option<Box<dyn Piece>>, IntakeError> {
    let Some(header) = &file.header else {
        return Ok(None);
    };
    let start = if number == 0 { HEADER } else { 0 };
    // Room for all at once: a buffer that moves while it grows leaves an unwiped one behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(start + bytes.len() + TAG));
    sealed.extend_from_slice(&header.to_bytes()[..start]);
    sealed.extend_from_slice(bytes);
    let last = number == file.size.saturating_sub(1) / FULL;
    let mut sealer = file.sealing(header, number).sealer;
    let tag = sealer.seal(&mut sealed[start..], last);
    let tag = tag.map_err(|_| IntakeError::TooLarge { limit: FULL })?;
    sealed.extend_from_slice(&tag);
    let piece = assembly.piece(segment_start(number));
    let mut piece = piece.map_err(IntakeError::Store)?;
    piece.write(&sealed).map_err(IntakeError::Store)?;
    Ok(Some(piece))
}

/// Reads `input` to its end and returns how many bytes it has and what tells them from others: an HMAC under the
/// content key, so that it tells nothing to who has only the database.
///
/// # Errors
/// [`IntakeError::Input`]; [`IntakeError::TooLarge`] when there is more than `limit`.
pub fn fingerprint(
    input: &mut dyn Read,
    content: &Secret,
    limit: u64,
) -> Result<(u64, [u8; 16]), IntakeError> {
    let mut hash = fingerprinting(content);
    let mut seen = |bytes: &[u8]| hash.update(bytes);
    let mut copying = Copying::new(input, &mut seen, limit);
    copying.run(None, 0, &|_| true, &mut |_| Ok(()))?;
    let length = copying.size();
    Ok((length, shorten(&hash.sign())))
}

fn fingerprinting(content: &Secret) -> hmac::Context {
    let key = hmac::Key::new(hmac::HMAC_SHA256, content.reveal());
    let mut context = hmac::Context::with_key(&key);
    context.update(b"mayfly/1/chunk\0");
    context
}

fn shorten(tag: &hmac::Tag) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&tag.as_ref()[..16]);
    short
}

#[cfg(test)]
mod tests;
