//! How a record becomes bytes, and how it is known that they are still the same bytes.
//!
//! ```text
//! record = layout (1 byte) · fields · check (8 bytes)
//! check  = SHA-256(context · table · key · layout · fields), first 8 bytes
//! ```
//!
//! The engine does not look at its page checksums when it reads, so each record carries its own.
//! The check covers the table and the key: a record that turns up in another place is damaged, too.
//! Numbers are little-endian. Fields that are in the key are not repeated. Decoding never panics,
//! and takes nothing that encoding would not have written.

use super::MetadataError;
use crate::model::{BlobFormat, PasswordParams, Timestamp};
use ring::digest;
use std::fmt;

/// Bytes of the check at the end of a record.
const CHECK: usize = 8;

/// Keeps these hashes apart from all others.
const CONTEXT: &[u8] = b"mayfly metadata record 1";

/// Something that is the value of a row.
pub(super) trait Record: Sized {
    /// Tells the forms of one record kind in different schemas apart.
    const LAYOUT: u8 = 1;

    /// Appends the fields that are not in the key.
    fn put(&self, to: &mut Encoder);
    /// Reads them back. `None` when they are not what [`Record::put`] writes.
    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self>;
}

/// The value of a row of `table` under `key`.
pub(super) fn seal<R: Record>(table: &str, key: &[u8], record: &R) -> Vec<u8> {
    let mut bytes = write(record);
    let check = check(table, key, &bytes);
    bytes.extend_from_slice(&check);
    bytes
}

/// Reads a row back.
///
/// # Errors
/// [`MetadataError::Corrupt`], which names the table and the start of the key.
pub(super) fn open<R: Record>(table: &str, key: &[u8], value: &[u8]) -> Result<R, MetadataError> {
    let verified = || {
        let (body, found) = value.split_last_chunk::<CHECK>()?;
        if check(table, key, body) != *found {
            return None;
        }
        read(key, body)
    };
    verified().ok_or_else(|| damaged(table, key))
}

/// Layout and fields of a record, without the check.
pub(super) fn write<R: Record>(record: &R) -> Vec<u8> {
    let mut encoder = Encoder(vec![R::LAYOUT]);
    record.put(&mut encoder);
    encoder.0
}

/// Reads [`write()`] back. `None` unless `body` is exactly what it writes.
pub(super) fn read<R: Record>(key: &[u8], body: &[u8]) -> Option<R> {
    let (layout, fields) = body.split_first()?;
    if *layout != R::LAYOUT {
        return None;
    }
    let mut decoder = Decoder(fields);
    let record = R::take(key, &mut decoder)?;
    decoder.0.is_empty().then_some(record)
}

/// The error for a row that does not check out.
pub(super) fn damaged(table: &str, key: &[u8]) -> MetadataError {
    MetadataError::Corrupt(format!("record {} of table {table}", ShortKey(key)))
}

/// Four bytes of a key: enough to find the row, too little to open anything. Most long keys end in
/// the hash of a link; then they are those that other log lines name the link by.
struct ShortKey<'a>(&'a [u8]);

impl fmt::Display for ShortKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.0.last_chunk::<32>().map_or(self.0, |hash| &hash[..]);
        hash.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

fn check(table: &str, key: &[u8], body: &[u8]) -> [u8; CHECK] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(CONTEXT);
    // Table and key with their lengths, so that no two different triples hash alike.
    for part in [table.as_bytes(), key] {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.update(&length.to_le_bytes());
        hash.update(part);
    }
    hash.update(body);
    let digest = hash.finish();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest.as_ref()[..CHECK]);
    check
}

/// Collects the fields of a record.
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.array(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.array(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.array(&value.to_le_bytes());
    }

    pub(super) fn time(&mut self, value: Timestamp) {
        self.array(&value.0.to_le_bytes());
    }

    pub(super) fn array<const N: usize>(&mut self, value: &[u8; N]) {
        self.0.extend_from_slice(value);
    }

    /// A length in 1 to 10 bytes, seven bits each, low ones first, then the bytes.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        let mut rest = value.len();
        while rest >= 0x80 {
            self.u8((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        self.u8(rest as u8);
        self.0.extend_from_slice(value);
    }

    pub(super) fn option<T>(&mut self, value: Option<&T>, put: impl FnOnce(&mut Self, &T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    pub(super) fn format(&mut self, value: BlobFormat) {
        self.u8(match value {
            BlobFormat::Plain => 0,
            BlobFormat::Sealed => 1,
        });
    }

    pub(super) fn password(&mut self, value: &PasswordParams) {
        self.array(&value.salt);
        self.u32(value.memory_kib);
        self.u32(value.passes);
    }
}

/// Hands out the fields of a record; `None` from the first one that is not there.
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_le_bytes).map(Timestamp)
    }

    /// Borrowed, so that a length that lies allocates nothing.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let mut length = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            length |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                // The shortest form only: one record has one encoding.
                if byte == 0 && shift > 0 {
                    return None;
                }
                let (value, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
                self.0 = rest;
                return Some(value);
            }
        }
        None
    }

    pub(super) fn vec(&mut self) -> Option<Vec<u8>> {
        self.bytes().map(<[u8]>::to_vec)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.vec()?).ok()
    }

    /// The outer `None` says that the record is damaged, the inner one that there is no value.
    #[allow(clippy::option_option, reason = "damaged and absent are not the same")]
    pub(super) fn option<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.bool()? {
            take(self).map(Some)
        } else {
            Some(None)
        }
    }

    pub(super) fn format(&mut self) -> Option<BlobFormat> {
        match self.u8()? {
            0 => Some(BlobFormat::Plain),
            1 => Some(BlobFormat::Sealed),
            _ => None,
        }
    }

    pub(super) fn password(&mut self) -> Option<PasswordParams> {
        Some(PasswordParams {
            salt: self.array()?,
            memory_kib: self.u32()?,
            passes: self.u32()?,
        })
    }
}
