//! Opens a stored file from a data directory and a link id alone, written against the description
//! of the format with other crates than the program's own: if both agree, the format is what the
//! documentation says, and nothing else in the process is needed to open it.

use super::Blobs;
use aes_gcm::Aes256Gcm;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use hkdf::Hkdf;
use redb::{Database, ReadableDatabase, TableDefinition, TableError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const SEGMENT: usize = 16 * 1024;
const TAG: usize = 16;
const HEADER: usize = 40;

/// A file as it was uploaded.
pub struct Opened {
    pub label: Vec<u8>,
    pub content: Vec<u8>,
}

/// What a link's row says, as far as opening needs it.
struct Row {
    blob: [u8; 16],
    size: u64,
    has_password: bool,
    by_link: Vec<u8>,
    label: Vec<u8>,
}

/// The database file of a data directory.
pub fn database(dir: &Path) -> PathBuf {
    let mut files = super::files_below(dir);
    files.retain(|p| p.extension().is_some_and(|e| e == "redb"));
    assert_eq!(files.len(), 1, "one database: {files:?}");
    files.remove(0)
}

/// Opens the file behind a link id. `None` when the id names or opens nothing here.
pub fn open(dir: &Path, id: &str) -> Option<Opened> {
    let lookup = lookup(id);
    let row = row(dir, &lookup)?;
    assert!(!row.has_password, "a password is needed besides the id");
    // Every wrap is bound to its row: the link's hash and the blob's name.
    let place = [&lookup[..], &row.blob[..]].concat();
    let key = unwrap(
        b"mayfly/1/wrap/content-by-link",
        &[id.as_bytes()],
        &place,
        &row.by_link,
    )?;
    let label = unwrap(b"mayfly/1/wrap/label", &[&key], &place, &row.label)?;
    let content = open_blob(&std::fs::read(blob_path(dir, row.blob)?).unwrap(), &key)?;
    assert_eq!(content.len() as u64, row.size);
    Some(Opened { label, content })
}

fn blob_path(dir: &Path, blob: [u8; 16]) -> Option<PathBuf> {
    let name = super::hex(&blob);
    let mut blobs = Blobs::in_dir(dir).published;
    blobs.retain(|p| p.file_name().is_some_and(|n| n == name.as_str()));
    blobs.pop()
}

/// The key of the row: a hash of the id, in a domain of its own.
pub fn lookup(id: &str) -> Vec<u8> {
    Sha256::new()
        .chain_update(b"mayfly/1/lookup/link\0")
        .chain_update(id)
        .finalize()
        .to_vec()
}

/// Every value of a table of the database, as raw bytes, key first. A table is made with its first row.
pub fn rows(dir: &Path, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    // On a copy: opening may repair, and the original belongs to the server.
    let copy = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(database(dir), copy.path()).unwrap();
    let database = Database::open(copy.path()).unwrap();
    let transaction = database.begin_read().unwrap();
    let definition: TableDefinition<&[u8], &[u8]> = TableDefinition::new(table);
    let table = match transaction.open_table(definition) {
        Err(TableError::TableDoesNotExist(_)) => return Vec::new(),
        table => table.unwrap(),
    };
    let rows = table.range::<&[u8]>(..).unwrap();
    rows.map(|row| {
        let (key, value) = row.unwrap();
        (key.value().to_vec(), value.value().to_vec())
    })
    .collect()
}

fn row(dir: &Path, lookup: &[u8]) -> Option<Row> {
    // The key: owner, time, hash.
    let rows = rows(dir, "links");
    let (_, value) = rows.into_iter().find(|(key, _)| key.ends_with(lookup))?;
    let mut rest = Fields(&value);
    assert_eq!(rest.number(1), 1, "the layout of the record");
    let blob = rest.take(16).try_into().unwrap();
    rest.number(1); // how the bytes are laid out
    let size = rest.number(8);
    rest.take(8 + 1); // end by time
    rest.take(4 + 4 + 1 + 8); // end by downloads
    if rest.number(1) == 1 {
        rest.take(8); // delayed deletion
    }
    let has_password = rest.number(1) == 1;
    if has_password {
        rest.take(16 + 4 + 4);
    }
    let by_link = rest.bytes().to_vec();
    rest.bytes(); // by owner
    let label = rest.bytes().to_vec();
    Some(Row {
        blob,
        size,
        has_password,
        by_link,
        label,
    })
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }

    fn number(&mut self, n: usize) -> u64 {
        let little_endian = self.take(n).iter().rev();
        little_endian.fold(0, |all, byte| all << 8 | u64::from(*byte))
    }

    fn bytes(&mut self) -> &'a [u8] {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.number(1);
            length |= (byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return self.take(usize::try_from(length).unwrap());
            }
        }
    }
}

/// A wrap is salt, ciphertext, tag; its key is derived from the secrets and the salt.
fn unwrap(purpose: &[u8], secrets: &[&[u8]], context: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
    let (salt, sealed) = wrapped.split_at_checked(16)?;
    let mut material = Vec::new();
    for secret in secrets {
        material.extend((secret.len() as u64).to_be_bytes());
        material.extend_from_slice(secret);
    }
    let key = derive(salt, &material, purpose);
    let sealed = Payload {
        msg: sealed,
        aad: context,
    };
    let cipher = ChaCha20Poly1305::new_from_slice(&key).unwrap();
    cipher.decrypt(&[0; 12].into(), sealed).ok()
}

fn derive(salt: &[u8], material: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), material)
        .expand(info, &mut key)
        .unwrap();
    key
}

/// Opens a sealed blob: header, then segments of 16 KiB, each with its tag.
pub fn open_blob(blob: &[u8], content_key: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = blob.split_at_checked(HEADER)?;
    assert_eq!(&header[..7], b"MAYFLY\x01");
    assert_eq!(header[8], 14, "segments of 2^14 bytes");
    assert_eq!(header[9..17], [0; 8]);
    let key = derive(&header[24..40], content_key, b"mayfly/1/segments");
    let aes = Aes256Gcm::new_from_slice(&key).unwrap();
    let chacha = ChaCha20Poly1305::new_from_slice(&key).unwrap();
    let count = body.len().div_ceil(SEGMENT + TAG);
    let mut content = Vec::new();
    for (number, segment) in body.chunks(SEGMENT + TAG).enumerate() {
        let mut nonce = [0; 12];
        nonce[..7].copy_from_slice(&header[17..24]);
        nonce[7..11].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        nonce[11] = u8::from(number + 1 == count);
        let sealed = Payload {
            msg: segment,
            aad: header,
        };
        let nonce = &nonce.into();
        let opened = match header[7] {
            1 => aes.decrypt(nonce, sealed),
            2 => chacha.decrypt(nonce, sealed),
            other => panic!("cipher {other}"),
        };
        content.extend(opened.ok()?);
    }
    Some(content)
}
