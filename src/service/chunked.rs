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
mod work;

pub use error::ChunkError;
pub use parked::Parked;
pub(super) use work::Works;

use super::{Encryption, Error, Service, Session, events};
use crate::metadata::{ChunkAdded, ChunksBegun};
use crate::model::{BlobFormat, BlobId, Chunk, ChunkSession, Lookup, Secret};
use crate::pipeline::seal::keys::{self, Purpose};
use crate::pipeline::seal::{Cipher, HEADER, Header, MAX_PLAINTEXT, SEGMENT, stored_len};
use crate::pipeline::{self, ChunkIntake, IntakeError, Piecewise};
use crate::store::{Assembly, Piece, Pieces, StoreError};
use edges::{Joined, join};
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::sync::Arc;
use work::{Claim, Entered};
use zeroize::Zeroize;

/// Uploads in chunks that an account may have under way at once.
const SESSIONS_MAX: u64 = 256;

/// Where a chunk belongs.
pub struct ChunkPlace<'a> {
    /// The name that the client gave the upload.
    pub upload: &'a str,
    /// Bytes of the whole file.
    pub size: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
}

/// An upload in chunks, opened by its owner.
pub(super) struct Upload {
    row: ChunkSession,
    content: Secret,
    header: Option<Header>,
}

impl Upload {
    fn piecewise(&self) -> Piecewise<'_> {
        Piecewise {
            content: &self.content,
            header: self.header,
            size: self.row.size,
        }
    }

    /// Bytes in the store.
    fn stored(&self) -> u64 {
        match self.header {
            Some(_) => stored_len(self.row.size),
            None => self.row.size,
        }
    }
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

    /// The upload that a chunk belongs to, begun if this is its first.
    fn upload_of(
        &self,
        session: &Session,
        lookup: &Lookup,
        place: &ChunkPlace<'_>,
        expected: Option<&RangeInclusive<u64>>,
        work: &Entered<'_>,
    ) -> Result<Upload, Error> {
        // One begins it, the others find it begun.
        let mut turn = work.turn();
        match self.find_upload(session, lookup)? {
            Some(upload) if upload.row.size == place.size => return Ok(upload),
            Some(_) => {
                // A size that was said with nothing that was taken binds nobody.
                let any = self.parts.metadata.chunks(lookup, None, 1);
                let any = any.map_err(|error| self.failed(error))?;
                if !any.is_empty() || !work.is_alone() {
                    return Err(ChunkError::SizeDiffers.into());
                }
                *turn = None;
                self.give_up(lookup)?;
            }
            None => {}
        }
        let (upload, assembly) = self.begin_upload(session, lookup, place, expected)?;
        *turn = assembly.map(|assembly| (upload.row.blob, assembly));
        match upload.row.size == place.size {
            true => Ok(upload),
            false => Err(ChunkError::SizeDiffers.into()),
        }
    }

    /// An upload that is under way.
    pub(super) fn find_upload(
        &self,
        session: &Session,
        lookup: &Lookup,
    ) -> Result<Option<Upload>, Error> {
        let row = self.parts.metadata.chunk_session(lookup);
        match row.map_err(|error| self.failed(error))? {
            Some(row) => open(session, row).map(Some),
            None => Ok(None),
        }
    }

    /// Begins an upload: room first, then the row. What is left of one that came to nothing is swept.
    fn begin_upload(
        &self,
        session: &Session,
        lookup: &Lookup,
        place: &ChunkPlace<'_>,
        expected: Option<&RangeInclusive<u64>>,
    ) -> Result<(Upload, Option<Arc<dyn Assembly>>), Error> {
        let sealed = self.policy.encryption != Encryption::None;
        let header = sealed.then(|| Header::draw(Cipher::for_this_cpu()));
        let (content, blob) = (keys::random_secret(), BlobId(keys::random()));
        let now = self.parts.clock.now();
        let upload = Upload {
            row: ChunkSession {
                lookup: *lookup,
                owner: session.account,
                blob,
                format: match sealed {
                    true => BlobFormat::Sealed,
                    false => BlobFormat::Plain,
                },
                size: place.size,
                header: header.map_or([0; HEADER], |header| header.to_bytes()),
                by_owner: keys::wrap(
                    Purpose::ChunksByOwner,
                    &[session.account_key.reveal()],
                    &context(lookup, &blob),
                    content.reveal(),
                ),
                begun: now,
                touched: now,
            },
            content,
            header,
        };
        let _shield = self.shield(blob);
        let pieces = pieces(sealed, place, expected);
        let assembly = self.parts.store.assemble(&blob, upload.stored(), pieces);
        let assembly = assembly.map_err(|error| self.refused(&error))?;
        let begun = self.parts.metadata.begin_chunks(&upload.row, SESSIONS_MAX);
        let other = match begun.map_err(|error| self.failed(error))? {
            ChunksBegun::Done => {
                events::chunks_begun(lookup, session.account, place.size);
                return Ok((upload, Some(assembly)));
            }
            ChunksBegun::Exists(row) => open(session, row),
            ChunksBegun::TooMany => Err(ChunkError::TooMany { most: SESSIONS_MAX }.into()),
            ChunksBegun::OwnerGone => Err(Error::Unauthorized),
        };
        drop(assembly);
        self.abandon(&blob);
        Ok((other?, None))
    }

    /// Where the bytes of an upload go.
    fn assembly(&self, upload: &Upload, work: &Entered<'_>) -> Result<Arc<dyn Assembly>, Error> {
        let mut turn = work.turn();
        let blob = &upload.row.blob;
        if let Some((of, assembly)) = &*turn
            && of == blob
        {
            return Ok(Arc::clone(assembly));
        }
        match self.parts.store.reassemble(blob, upload.stored()) {
            Ok(assembly) => {
                *turn = Some((*blob, Arc::clone(&assembly)));
                Ok(assembly)
            }
            Err(StoreError::NotFound) => Err(self.lost(upload)),
            Err(error) => Err(self.refused(&error)),
        }
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
        let finished = piece.finish();
        finished.map_err(|error| self.not_durable(&error, "a chunk"))
    }

    fn not_taken(&self, error: IntakeError) -> Error {
        match error {
            IntakeError::Input(error) => Error::Input(error),
            IntakeError::TooLarge { .. } => ChunkError::BeyondEnd.into(),
            IntakeError::Store(StoreError::Differs) => ChunkError::Differs.into(),
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

fn context(lookup: &Lookup, blob: &BlobId) -> Vec<u8> {
    [&lookup.0[..], &blob.0].concat()
}

fn open(session: &Session, row: ChunkSession) -> Result<Upload, Error> {
    let damaged = || {
        log::error!("upload={} its record is damaged", row.lookup);
        Error::Internal("the record of an upload is damaged".into())
    };
    let content = keys::unwrap(
        Purpose::ChunksByOwner,
        &[session.account_key.reveal()],
        &context(&row.lookup, &row.blob),
        &row.by_owner,
    );
    let content = content.and_then(|key| Secret::from_slice(&key));
    let content = content.ok_or_else(damaged)?;
    let header = match row.format {
        BlobFormat::Plain => None,
        BlobFormat::Sealed => Some(Header::parse(&row.header).map_err(|_| damaged())?),
    };
    Ok(Upload {
        row,
        content,
        header,
    })
}

/// Where the pieces will probably begin, judged by one chunk that has `expected` bytes: those that a form
/// adds are less than a segment, and chunks are mostly a round number of those.
fn pieces(sealed: bool, place: &ChunkPlace<'_>, expected: Option<&RangeInclusive<u64>>) -> Pieces {
    const FULL: u64 = SEGMENT as u64;
    let most = expected.map_or(place.size, |expected| *expected.end());
    let chunk = most.min(place.size);
    let each = (chunk / FULL * FULL).max(FULL);
    match sealed {
        true => Pieces {
            first: stored_len(each),
            each: stored_len(each) - HEADER as u64,
        },
        false => Pieces { first: each, each },
    }
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
