//! Several files of an account as one archive, in the order of their ids and written while it is sent.
//!
//! What it promises: each file is opened with the right to that file; what is not to be had is told before the first
//! byte; and an archive that could not be finished is broken off, so that nobody takes it for whole.

use super::copies::label_of;
use super::download::send;
use super::files::{ATTEMPTS, OwnLink, changes_all_the_time};
use super::holds::Hold;
use super::lease_book::Cargo;
use super::links::{not_opened, source};
use super::transfer::EMPTY_FILE;
use super::transfers::{AHEAD, Transfers};
use super::{Error, Service, Session, events};
use crate::model::{BlobFormat, BlobId, Lookup, Secret};
use crate::pipeline::seal::SEGMENT;
use crate::pipeline::zip::{Archive, Entry, Names, Writer};
use crate::pipeline::{Output, Source};
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The most files of one archive.
pub const ZIP_FILES: usize = 1_024;
/// When to come back while other archives take all the room there is.
const FULL: Duration = Duration::from_secs(30);

/// Files that may be downloaded as one archive. Nothing is counted yet.
pub struct OpenZip {
    files: Vec<Packed>,
    archive: Archive,
    /// The first file: what is wrong with the store is told by an answer.
    first: Box<Source>,
    hold: Hold,
}

/// What is needed of one file.
struct Packed {
    link: Lookup,
    blob: BlobId,
    format: BlobFormat,
    size: u64,
    content: Secret,
    is_limited: bool,
}

/// An archive that holds its leases, durably, and waits to be sent. Dropping it unsent gives them back.
pub struct ZipDownload {
    service: Arc<Service>,
    zip: OpenZip,
    /// `None` when nothing is counted.
    transfers: Option<Transfers>,
    peer: IpAddr,
}

impl OpenZip {
    /// Bytes of the whole archive.
    pub fn length(&self) -> u64 {
        self.archive.length()
    }
}

impl Service {
    /// Opens files of the session's account to be packed; their passwords are not asked for. The ids may come in
    /// any order, and more than once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no ids and for more than [`ZIP_FILES`]; [`Error::TooMany`] while other archives take
    /// all the room; and for each file what [`Service::open_own`] says.
    pub fn open_zip(self: &Arc<Self>, session: &Session, ids: &[&str]) -> Result<OpenZip, Error> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > ZIP_FILES {
            return Err(Error::Invalid(format!(
                "too many files: a zip can have {ZIP_FILES} of them, and {} are named. Ask for several zips",
                ids.len()
            )));
        }
        let mut hold = Hold::new(self, ids.len()).ok_or(Error::TooMany(FULL))?;
        let mut names = Names::default();
        let mut files = Vec::with_capacity(ids.len());
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            let own = self.own_held(session, id, &mut hold)?;
            let label = label_of(&own)?;
            let OwnLink { link, keys } = own;
            entries.push(Entry {
                name: names.give(&label.name),
                size: link.size,
                modified: link.created,
            });
            files.push(Packed {
                link: link.lookup,
                blob: link.blob,
                format: link.format,
                size: link.size,
                content: keys.content,
                is_limited: !link.allowance.unlimited,
            });
        }
        let first = files
            .first()
            .ok_or_else(|| Error::Invalid("no files are named".into()))?;
        let first = self.open_packed(first)?;
        let archive = Archive::new(entries);
        let archive = archive.ok_or_else(|| Error::Invalid("too many bytes for a zip".into()))?;
        Ok(OpenZip {
            files,
            archive,
            first,
            hold,
        })
    }

    /// An own link whose bytes stay for as long as they are held.
    fn own_held(&self, session: &Session, id: &str, hold: &mut Hold) -> Result<OwnLink, Error> {
        for _ in 0..ATTEMPTS {
            let own = self.own_visible(session, id)?;
            if hold.has(&own.link.blob) {
                return Ok(own);
            }
            // What is held now may have gone just before: so it is looked at once more.
            hold.add(own.link.blob);
        }
        Err(changes_all_the_time())
    }

    fn open_packed(&self, file: &Packed) -> Result<Box<Source>, Error> {
        let stored = self.parts.store.open(&file.blob);
        let stored = stored.map_err(|error| not_opened(&file.link, error))?;
        source(stored, &file.link, file.format, file.size, &file.content)
    }

    /// Takes what it takes to send an archive: a download of each file that has a limit, if `counts` says that it
    /// counts.
    ///
    /// # Errors
    /// As [`Service::download`], for the first file that is not to be had; nothing is taken then.
    pub fn zip(
        self: &Arc<Self>,
        zip: OpenZip,
        counts: bool,
        peer: IpAddr,
    ) -> Result<ZipDownload, Error> {
        let transfers = match counts {
            false => None,
            true => {
                let wanted = zip.files.iter().map(Packed::cargo).collect();
                Some(Transfers::take(self, wanted, peer)?)
            }
        };
        Ok(ZipDownload {
            service: Arc::clone(self),
            zip,
            transfers,
            peer,
        })
    }
}

impl Packed {
    fn cargo(&self) -> Option<(Lookup, Cargo)> {
        let all = match self.size {
            0 => EMPTY_FILE,
            size => 0..size,
        };
        let cargo = Cargo {
            span: all.end,
            ranges: vec![all],
            blob: self.blob,
        };
        self.is_limited.then_some((self.link, cargo))
    }
}

impl ZipDownload {
    /// Sends it, waits for the acknowledgement, and settles what was delivered.
    ///
    /// # Errors
    /// What ended it early. What was sent then is no whole archive.
    pub fn send(self, output: &mut dyn Output) -> io::Result<()> {
        let Self {
            service,
            zip,
            mut transfers,
            peer,
        } = self;
        let OpenZip {
            files,
            archive,
            first,
            hold,
        } = zip;
        let sent = write(&service, &files, &archive, first, &mut transfers, output);
        let acknowledged = output.settle();
        // Nothing is read from here on.
        drop(hold);
        let delivered = |file: usize| {
            let place = archive.bytes_of(file);
            match place.is_empty() {
                true if acknowledged >= place.start => EMPTY_FILE,
                _ => 0..acknowledged.min(place.end).saturating_sub(place.start),
            }
        };
        for (n, file) in files.iter().enumerate() {
            if transfers.as_ref().is_some_and(|leases| leases.has(n)) {
                continue;
            }
            let delivered = delivered(n);
            if delivered.is_empty() {
                continue;
            }
            let complete = delivered.end == file.size.max(1);
            let counted = transfers.is_some() && complete;
            if counted {
                service.count_download(&file.link);
            }
            events::transferred(&file.link, complete, counted, peer);
        }
        if let Some(transfers) = transfers {
            transfers.finish(|file| vec![delivered(file)]);
        }
        sent?;
        match acknowledged >= archive.length() {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client went away before it had everything",
            )),
        }
    }
}

fn write(
    service: &Service,
    files: &[Packed],
    archive: &Archive,
    first: Box<Source>,
    transfers: &mut Option<Transfers>,
    output: &mut dyn Output,
) -> io::Result<()> {
    let mut writer = archive.writer();
    let mut first = Some(first);
    for (n, file) in files.iter().enumerate() {
        let mut source = match first.take() {
            Some(source) => source,
            None => service.open_packed(file).map_err(io::Error::other)?,
        };
        let until = closed_with(archive, files.len(), n);
        let leases = transfers.as_mut().filter(|leases| leases.has(n));
        write_file(
            &mut writer,
            file,
            &mut source,
            leases.map(|l| (l, n, until)),
            output,
        )?;
    }
    writer.finish(output)
}

/// The end of the row of files that are closed with this one.
fn closed_with(archive: &Archive, files: usize, file: usize) -> usize {
    let end = archive.bytes_of(file).end;
    let near = |next: &usize| archive.bytes_of(*next).end - end <= AHEAD;
    file + 1 + (file + 1..files).take_while(near).count()
}

fn write_file(
    writer: &mut Writer<'_>,
    file: &Packed,
    source: &mut Source,
    lease: Option<(&mut Transfers, usize, usize)>,
    output: &mut dyn Output,
) -> io::Result<()> {
    writer.file(output, |output| {
        let mut pass = |range: Range<u64>| match range.is_empty() {
            true => Ok(()),
            false => send(&file.link, source, range, output),
        };
        let Some((transfers, n, until)) = lease else {
            return pass(0..file.size);
        };
        let last_segment = file.size.saturating_sub(1) / SEGMENT as u64 * SEGMENT as u64;
        pass(0..last_segment)?;
        transfers.before_last(n, until)?;
        pass(last_segment..file.size)
    })
}
