//! What is known of a blob that comes in pieces, on the local disk: one file for each, of lines that are only
//! ever added to. Beside it lie the parts that are not whole yet.
//!
//! ```text
//! s3-ID          the size, the size of a part, the bucket and the upload; then what has become of the parts
//! s3-ID-NUMBER   the bytes of a part, as far as they have come
//! ```

use super::journal::OpenUpload;
use super::spool::SpoolDir;
use super::uploads::Live;
use crate::model::{BlobId, Timestamp};
use data_encoding::HEXLOWER;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

/// What the names of all of these files begin with.
pub const NAMES: &str = "s3-";
/// Longest line, in bytes: tags and names of uploads are bounded.
const LINE: u64 = 8 << 10;

/// SHA-256.
pub(super) type Sum = [u8; 32];

/// What is written first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Bytes of the blob.
    pub(super) size: u64,
    /// Bytes of each part but the last.
    pub(super) part: u64,
    /// The upload; without a name when the blob is empty and needs none.
    pub(super) open: OpenUpload,
}

/// What has become of a part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Row {
    /// These bytes of it are durable on the disk, or in the bucket.
    Came {
        number: u64,
        start: u64,
        end: u64,
        sum: Sum,
    },
    /// It is going to be sent with these bytes of it, which need not be durable.
    Meant {
        number: u64,
        start: u64,
        end: u64,
        sum: Sum,
    },
    /// It is going to be sent, with these bytes and no others.
    Sent { number: u64, sum: Sum },
    /// It is in the bucket.
    Stored { number: u64, tag: Box<str> },
}

/// The file of a blob.
pub(super) fn name(id: &BlobId) -> String {
    format!("{NAMES}{}", id.to_hex())
}

/// The file of a part of it.
pub(super) fn part_name(id: &BlobId, number: u64) -> String {
    format!("{}-{number}", name(id))
}

/// The blobs that have a file, in no order.
pub(super) fn all(spools: &SpoolDir) -> rustix::io::Result<Vec<BlobId>> {
    let mut ids = Vec::new();
    spools.each_name(|name| {
        ids.extend(name.strip_prefix(NAMES).and_then(BlobId::from_hex));
    })?;
    Ok(ids)
}

/// The uploads that wait for more pieces: no sweep ends them. For the start of a process.
pub(super) fn live(spools: &SpoolDir) -> io::Result<HashSet<Live>> {
    let mut live = HashSet::new();
    let ids = all(spools)?;
    remove_strays(spools, &ids)?;
    for id in ids {
        match open(spools, &id, |_| {}) {
            Ok((header, _)) => {
                live.insert((id, header.open.upload));
            }
            Err(error) => log::warn!("an unfinished upload cannot be gone on with: {error}"),
        }
    }
    Ok(live)
}

/// Removes parts of blobs that have no file any more: a piece was being written when they were given up.
fn remove_strays(spools: &SpoolDir, known: &[BlobId]) -> rustix::io::Result<()> {
    let mut strays = Vec::new();
    spools.each_name(|name| {
        let part = name.strip_prefix(NAMES).and_then(|n| n.split_once('-'));
        let id = part.and_then(|(id, _)| BlobId::from_hex(id));
        if id.is_some_and(|id| !known.contains(&id)) {
            strays.push(name.to_owned());
        }
    })?;
    strays.iter().try_for_each(|name| spools.remove(name))
}

/// Makes the file, durably.
pub(super) fn create(spools: &SpoolDir, header: &Header) -> rustix::io::Result<File> {
    let name = name(&header.open.id);
    let mut file = spools.named(&name, OFlags::CREATE | OFlags::EXCL | OFlags::APPEND)?;
    let open = &header.open;
    let line = format!(
        "{} {} {} {} {}.\n",
        header.size,
        header.part,
        HEXLOWER.encode(&open.place),
        open.begun.0,
        HEXLOWER.encode(open.upload.as_bytes()),
    );
    let written = file.write_all(line.as_bytes());
    let written = written.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
    let durable = written
        .and_then(|()| rustix::fs::fsync(&file))
        .and_then(|()| spools.sync());
    if durable.is_err() {
        let _ = spools.remove(&name);
    }
    durable.map(|()| file)
}

/// Opens the file, and reads what it says.
pub(super) fn open(
    spools: &SpoolDir,
    id: &BlobId,
    mut row: impl FnMut(Row),
) -> io::Result<(Header, File)> {
    let file = spools.named(&name(id), OFlags::APPEND)?;
    let mut lines = BufReader::new(&file);
    let (mut line, mut length) = (String::new(), 0);
    let mut header = None;
    loop {
        line.clear();
        let read = io::Read::take(&mut lines, LINE).read_line(&mut line)?;
        // The last one need not have been written whole.
        let Some(whole) = line.strip_suffix(".\n") else {
            break;
        };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a line of it is damaged");
        match &header {
            None => header = Some(header_in(id, whole).ok_or_else(damaged)?),
            Some(_) => row(row_in(whole).ok_or_else(damaged)?),
        }
        length += read as u64;
    }
    file.set_len(length)?;
    let header = header.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((header, file))
}

/// Adds rows, durably.
pub(super) fn add(mut file: &File, rows: &[Row]) -> io::Result<()> {
    let lines: String = rows.iter().map(line_of).collect();
    let before = file.metadata()?.len();
    let added = file.write_all(lines.as_bytes()).and_then(|()| {
        rustix::fs::fdatasync(file)?;
        Ok(())
    });
    if added.is_err() {
        // Half of a line would be in the way of the next one.
        let _ = file.set_len(before);
    }
    added
}

fn line_of(row: &Row) -> String {
    match row {
        Row::Came {
            number,
            start,
            end,
            sum,
        } => format!("came {number} {start} {end} {}.\n", HEXLOWER.encode(sum)),
        Row::Meant {
            number,
            start,
            end,
            sum,
        } => format!("meant {number} {start} {end} {}.\n", HEXLOWER.encode(sum)),
        Row::Sent { number, sum } => format!("sent {number} {}.\n", HEXLOWER.encode(sum)),
        Row::Stored { number, tag } => {
            format!("stored {number} {}.\n", HEXLOWER.encode(tag.as_bytes()))
        }
    }
}

fn header_in(id: &BlobId, line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse().ok();
    let (size, part) = (number()?, number()?);
    let place = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
    let begun = Timestamp(words.next()?.parse().ok()?);
    let upload = text_in(words.next()?)?;
    let open = OpenUpload {
        id: *id,
        place: place.try_into().ok()?,
        upload,
        begun,
    };
    Some(Header { size, part, open }).filter(|header| header.part > 0)
}

fn row_in(line: &str) -> Option<Row> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let number = words.next()?.parse().ok()?;
    let row = match kind {
        "came" => Row::Came {
            number,
            start: words.next()?.parse().ok()?,
            end: words.next()?.parse().ok()?,
            sum: sum_in(words.next()?)?,
        },
        "meant" => Row::Meant {
            number,
            start: words.next()?.parse().ok()?,
            end: words.next()?.parse().ok()?,
            sum: sum_in(words.next()?)?,
        },
        "sent" => Row::Sent {
            number,
            sum: sum_in(words.next()?)?,
        },
        "stored" => Row::Stored {
            number,
            tag: text_in(words.next()?)?.into_boxed_str(),
        },
        _ => return None,
    };
    words.next().is_none().then_some(row)
}

fn sum_in(word: &str) -> Option<Sum> {
    HEXLOWER.decode(word.as_bytes()).ok()?.try_into().ok()
}

fn text_in(word: &str) -> Option<String> {
    String::from_utf8(HEXLOWER.decode(word.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_half_of_a_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let spools = SpoolDir::open(dir.path(), 0).unwrap();
        let id = BlobId([7; 16]);
        let open_upload = OpenUpload {
            id,
            place: [3; 16],
            upload: "a name/with+signs".into(),
            begun: Timestamp(77),
        };
        let header = Header {
            size: 100,
            part: 60,
            open: open_upload,
        };
        let rows = [
            Row::Came {
                number: 1,
                start: 0,
                end: 9,
                sum: [9; 32],
            },
            Row::Meant {
                number: 1,
                start: 9,
                end: 60,
                sum: [7; 32],
            },
            Row::Sent {
                number: 1,
                sum: [8; 32],
            },
            Row::Stored {
                number: 1,
                tag: "\"tag\"".into(),
            },
        ];
        let file = create(&spools, &header).unwrap();
        assert!(create(&spools, &header).is_err(), "there is one");
        add(&file, &rows).unwrap();
        (&file).write_all(b"stored 2 abc").unwrap();
        for _ in 0..2 {
            let mut read = Vec::new();
            let (found, file) = open(&spools, &id, |row| read.push(row)).unwrap();
            assert_eq!(found, header);
            assert_eq!(read, rows);
            // The next line is whole.
            add(&file, &[]).unwrap();
        }
        assert_eq!(all(&spools).unwrap(), [id]);
        let part = spools.named(&part_name(&id, 2), OFlags::CREATE).unwrap();
        let stray = part_name(&BlobId([8; 16]), 2);
        spools.named(&stray, OFlags::CREATE).unwrap();
        let live = live(&spools).unwrap();
        assert!(!dir.path().join(stray).exists());
        assert!(dir.path().join(part_name(&id, 2)).exists());
        drop(part);
        assert!(live.contains(&(id, "a name/with+signs".into())));
    }
}
