//! Uploads that come in chunks: in any order, several at once, over hours and restarts. Each chunk is written to
//! the place where it stays, and what was acknowledged is durable.
//!
//! - An upload is known by the credential that began it and by the name that the client gave it: nobody else
//!   can add to it, complete it, or find out that it is there.
//! - Its size is fixed by the first chunk. What is stored of it is what the same file in one piece would be.
//! - Nothing is ever sealed over. A chunk that is sent again must have the same bytes, and is not written again
//!   then; one that overlaps others is refused. After a crash the store takes the same bytes only.
//! - A chunk is acknowledged when its bytes are durable and then its row is; the ends of it that are short of a
//!   segment are in the same transaction as the row.

mod complete;
mod edges;
mod error;
mod parked;
mod sweep;
mod upload;
mod work;

pub use error::ChunkError;
pub use parked::Parked;
pub(super) use work::Works;

use super::{Error, Service, Session, events};
use crate::metadata::ChunkAdded;
use crate::model::{Chunk, Lookup};
use crate::pipeline::seal::{MAX_PLAINTEXT, keys};
use crate::pipeline::{self, ChunkIntake, IntakeError};
use crate::store::{Assembly, Piece, StoreError};
use edges::{Joined, join};
use std::io::{self, Read};
use std::ops::RangeInclusive;
use upload::Upload;
use work::{Claim, Entered};
use zeroize::Zeroize;

/// Where a chunk belongs.
pub struct ChunkPlace<'a> {
    /// The name that the client gave the upload.
    pub upload: &'a str,
    /// Bytes of the whole file.
    pub size: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
}

impl Service {
    /// Takes a chunk in. `expected` is how few and how many bytes it can have, as far as the client said: one
    /// that cannot fit is refused before anything of it is stored. When it returns, the chunk is durable.
    ///
    /// # Errors
    /// [`Error::Chunk`], [`Error::TooLarge`], [`Error::Full`], [`Error::Quota`], [`Error::Input`]; what was acknowledged before stays.
    pub fn receive_chunk(
        &self,
        session: &Session,
        place: &ChunkPlace<'_>,
        expected: Option<&RangeInclusive<u64>>,
        input: &mut dyn Read,
    ) -> Result<(), Error> {
        let lookup = self.chunks_lookup(session, place.upload)?;
        self.take_chunk(session, &lookup, place, expected, input)
            .inspect_err(|error| events::chunk_refused(&lookup, session.account, error))
    }

    /// The key of the row of this upload.
    pub(super) fn chunks_lookup(&self, session: &Session, upload: &str) -> Result<Lookup, Error> {
        let opener = session.opener.ok_or(Error::Unauthorized)?;
        Ok(keys::chunks_lookup(&opener, upload))
    }

    fn take_chunk(
        &self,
        session: &Session,
        lookup: &Lookup,
        place: &ChunkPlace<'_>,
        expected: Option<&RangeInclusive<u64>>,
        input: &mut dyn Read,
    ) -> Result<(), Error> {
        let limit = self.policy.max_file_size.min(MAX_PLAINTEXT);
        if place.size > limit {
            return Err(Error::TooLarge { limit });
        }
        let least = expected.map_or(0, |expected| *expected.start());
        let is_outside = place.offset >= place.size && (place.offset, place.size) != (0, 0);
        if is_outside || least > place.size - place.offset {
            return Err(ChunkError::BeyondEnd.into());
        }
        let room = self.parts.metadata.room_for_more();
        room.map_err(|error| self.failed(error))?;
        let work = self.chunk_works.enter(lookup);
        // Before anything is looked up: from here on nobody completes the upload or gives it up, and whoever
        // sends the same has finished or is refused.
        let claim = work.claim(place.offset)?;
        let upload = self.upload_of(session, lookup, place, expected, &work)?;
        let wall = match self.neighbours(&upload, place.offset)? {
            Neighbours::Same(chunk) => return self.compare(&upload, &chunk, input),
            Neighbours::Until(wall) if least > wall - place.offset => {
                return Err(ChunkError::Overlaps.into());
            }
            Neighbours::Until(wall) => wall,
        };
        let assembly = self.assembly(&upload, &work)?;
        let mut input = Guarded {
            input,
            claim: &claim,
            at: place.offset,
            wall,
            hit: None,
        };
        let file = upload.piecewise();
        let taken = pipeline::receive_chunk(&mut input, &*assembly, &file, place.offset);
        if let Some(hit) = input.hit.take() {
            return Err(hit.into());
        }
        let intake = taken.map_err(|error| self.not_taken(error))?;
        if intake.length == 0 && place.size > 0 {
            return Err(ChunkError::Empty.into());
        }
        self.keep(&upload, &work, &*assembly, place.offset, intake)
    }

    /// What the chunks that were received leave for one that begins at `offset`.
    fn neighbours(&self, upload: &Upload, offset: u64) -> Result<Neighbours, Error> {
        let lookup = &upload.row.lookup;
        let around = self
            .parts
            .metadata
            .chunks_around(lookup, offset..offset + 1);
        for chunk in around.map_err(|error| self.failed(error))? {
            if chunk.offset == offset {
                return Ok(Neighbours::Same(chunk));
            }
            if chunk.offset < offset && chunk.end() > offset {
                return Err(ChunkError::Overlaps.into());
            }
        }
        let next = self.parts.metadata.chunks(lookup, Some(offset), 1);
        let next = next.map_err(|error| self.failed(error))?;
        let wall = next.first().map_or(u64::MAX, |next| next.offset);
        Ok(Neighbours::Until(wall))
    }

    /// Reads a chunk that was received before, and tells whether it is the same.
    fn compare(&self, upload: &Upload, chunk: &Chunk, input: &mut dyn Read) -> Result<(), Error> {
        let read = match pipeline::fingerprint(input, &upload.content, chunk.length) {
            Ok(read) => read,
            Err(IntakeError::TooLarge { .. }) => return Err(ChunkError::Overlaps.into()),
            Err(error) => return Err(self.not_taken(error)),
        };
        if read != (chunk.length, chunk.digest) {
            return Err(ChunkError::Differs.into());
        }
        self.note_chunk(&upload.row.lookup);
        Ok(())
    }

    /// Makes a chunk durable, and then its row.
    fn keep(
        &self,
        upload: &Upload,
        work: &Entered<'_>,
        assembly: &dyn Assembly,
        offset: u64,
        intake: ChunkIntake,
    ) -> Result<(), Error> {
        if let Some(piece) = intake.piece {
            self.finish(piece)?;
        }
        let lookup = &upload.row.lookup;
        let file = upload.piecewise();
        // Two chunks that meet in one segment put it together one after the other.
        let turn = work.turn();
        // What was written belongs to this blob. Under the same name there may be another upload by now.
        let row = self.parts.metadata.chunk_session(lookup);
        let row = row.map_err(|error| self.failed(error))?;
        if row.is_none_or(|row| row.blob != upload.row.blob) {
            return Err(ChunkError::Unknown.into());
        }
        let segments: Vec<_> = intake.edges.iter().map(|edge| edge.segment).collect();
        let known = match segments.is_empty() {
            true => Vec::new(),
            false => {
                let edges = self.parts.metadata.edges(lookup, &segments);
                edges.map_err(|error| self.failed(error))?
            }
        };
        let mut changes = Vec::new();
        for (span, known) in intake.edges.iter().zip(known) {
            let length = file.segment_length(span.segment);
            let joined = join(&upload.content, lookup, length, known.as_deref(), span);
            match joined {
                Some(Joined::Waits(record)) => changes.push((span.segment, Some(record))),
                Some(Joined::Whole(bytes)) => {
                    let piece = pipeline::seal_whole(assembly, &file, span.segment, &bytes);
                    if let Some(piece) = piece.map_err(|error| self.not_taken(error))? {
                        self.finish(piece)?;
                    }
                    changes.push((span.segment, None));
                }
                None => {
                    log::error!("upload={lookup} a record of its chunks is damaged");
                    return Err(Error::Internal("an edge is damaged".into()));
                }
            }
        }
        let chunk = Chunk {
            offset,
            length: intake.length,
            digest: intake.digest,
        };
        let now = self.parts.clock.now();
        let added = self.parts.metadata.add_chunk(lookup, chunk, changes, now);
        drop(turn);
        match added.map_err(|error| self.failed(error))? {
            ChunkAdded::Done => {}
            ChunkAdded::Overlaps => return Err(ChunkError::Overlaps.into()),
            ChunkAdded::Gone => return Err(ChunkError::Unknown.into()),
        }
        self.note_chunk(lookup);
        events::chunk_kept(lookup, offset, intake.length);
        Ok(())
    }

    /// Makes a piece durable. When nobody knows whether it is, this process says nothing more.
    fn finish(&self, piece: Box<dyn Piece>) -> Result<(), Error> {
        piece.finish().map_err(|error| match error {
            // Given up meanwhile: the account is gone.
            StoreError::NotFound => ChunkError::Unknown.into(),
            error => self.not_durable(&error, "a chunk"),
        })
    }

    fn not_taken(&self, error: IntakeError) -> Error {
        match error {
            IntakeError::Input(error) => Error::Input(error),
            IntakeError::TooLarge { .. } => ChunkError::BeyondEnd.into(),
            IntakeError::Store(StoreError::Differs) => ChunkError::Differs.into(),
            IntakeError::Store(StoreError::NotFound) => ChunkError::Unknown.into(),
            IntakeError::Store(error) => self.refused(&error),
        }
    }
}

/// What was received besides a chunk.
enum Neighbours {
    /// A chunk that begins where it does.
    Same(Chunk),
    /// Nothing before this byte.
    Until(u64),
}

/// An input that ends with an error where it would run into another chunk.
struct Guarded<'a> {
    input: &'a mut dyn Read,
    claim: &'a Claim<'a>,
    at: u64,
    wall: u64,
    hit: Option<ChunkError>,
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let to = self.at.saturating_add(read as u64);
        self.hit = match read > 0 {
            true if to > self.wall => Some(ChunkError::Overlaps),
            true if !self.claim.grow(to) => Some(ChunkError::Running),
            _ => None,
        };
        if self.hit.is_some() {
            buffer.zeroize();
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at = to;
        Ok(read)
    }
}
