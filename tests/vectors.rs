//! The sealed format against the vectors of a second implementation (`tests/vectors/generate.py`):
//! what it sealed opens here, what is sealed here is what it sealed, and nothing else opens.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mayfly::model::{BlobId, Secret};
use mayfly::pipeline::seal::keys::{self, Purpose};
use mayfly::pipeline::seal::{Cipher, HEADER, Header, open_all, plaintext_len, seal_all};
use mayfly::pipeline::{Output, SendError, Source};
use mayfly::store::{MemoryStore, Stage, Store};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io;

#[derive(Deserialize)]
struct Vectors {
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
    wraps: Vec<Wrap>,
}

#[derive(Deserialize)]
struct Wrap {
    purpose: String,
    secrets: Vec<String>,
    context: String,
    plaintext: String,
    wrapped: String,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    cipher: String,
    content_key: String,
    nonce_prefix: String,
    salt: String,
    size: u64,
    sealed_sha256: String,
    sealed: Option<String>,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    of: String,
    content_key: String,
    pieces: Vec<Piece>,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Literal { hex: String },
    Copy { of: String, from: usize, to: usize },
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/sealed.json")).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn secret(hex: &str) -> Secret {
    Secret::from_slice(&unhex(hex)).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

fn plaintext(size: u64) -> Vec<u8> {
    let byte = |i: u64| ((i * 167 + (i >> 8)) & 255) as u8;
    (0..size).map(byte).collect()
}

/// Seals a valid vector here.
fn seal(vector: &Valid) -> Vec<u8> {
    let header = Header {
        cipher: match vector.cipher.as_str() {
            "aes-256-gcm" => Cipher::Aes256Gcm,
            "chacha20-poly1305" => Cipher::ChaCha20Poly1305,
            other => panic!("unknown cipher {other}"),
        },
        prefix: unhex(&vector.nonce_prefix).try_into().unwrap(),
        salt: unhex(&vector.salt).try_into().unwrap(),
    };
    let key = secret(&vector.content_key);
    seal_all(&plaintext(vector.size), &key, &header).unwrap()
}

#[derive(Default)]
struct Collect(Vec<u8>);

impl Output for Collect {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn send_file(&mut self, _: &File, _: u64, _: u64) -> io::Result<()> {
        panic!("sealed bytes were sent as they are");
    }
    fn settle(&mut self) -> u64 {
        self.0.len() as u64
    }

    fn ready(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Opens a blob as a download does. Returns what left, and how it ended.
fn download(blob: &[u8], size: u64, key: &Secret) -> (Vec<u8>, Result<(), SendError>) {
    let store = MemoryStore::new(None);
    let id = BlobId([0; 16]);
    let mut stage: Box<dyn Stage> = store.stage(&id, None).unwrap();
    stage.write(blob).unwrap();
    stage.commit().unwrap();
    let mut sent = Collect::default();
    let result = Source::sealed(store.open(&id).unwrap(), size, key)
        .and_then(|mut source| source.send(0..size, &mut sent));
    (sent.0, result)
}

#[test]
fn valid_vectors_seal_to_the_same_bytes_and_open() {
    let vectors = vectors();
    assert!(vectors.valid.len() >= 28);
    for vector in &vectors.valid {
        let blob = seal(vector);
        if let Some(sealed) = &vector.sealed {
            assert!(blob == unhex(sealed), "{}", vector.name);
        }
        assert_eq!(sha256(&blob), vector.sealed_sha256, "{}", vector.name);
        let key = secret(&vector.content_key);
        let expected = plaintext(vector.size);
        assert!(
            *open_all(&blob, &key).unwrap() == expected,
            "{}",
            vector.name
        );
        let (sent, result) = download(&blob, vector.size, &key);
        result.unwrap();
        assert!(sent == expected, "{}", vector.name);
    }
}

#[test]
fn invalid_vectors_are_errors_and_let_only_authentic_bytes_out() {
    let vectors = vectors();
    let valid: HashMap<&str, (&Valid, Vec<u8>)> = vectors
        .valid
        .iter()
        .map(|v| (v.name.as_str(), (v, seal(v))))
        .collect();
    assert!(vectors.invalid.len() >= 156);
    for vector in &vectors.invalid {
        let mut blob = Vec::new();
        for piece in &vector.pieces {
            match piece {
                Piece::Literal { hex } => blob.extend(unhex(hex)),
                Piece::Copy { of, from, to } => blob.extend(&valid[of.as_str()].1[*from..*to]),
            }
        }
        assert_eq!(sha256(&blob), vector.sha256, "{}", vector.name);
        let key = secret(&vector.content_key);
        assert!(open_all(&blob, &key).is_err(), "{}", vector.name);

        let original = valid[vector.of.as_str()].0;
        let whole = plaintext(original.size);
        // The length that the database would say, and the one that fits the changed blob.
        let fitting = plaintext_len(blob.len() as u64);
        for size in [Some(original.size), fitting].into_iter().flatten() {
            let (sent, result) = download(&blob, size, &key);
            assert!(
                matches!(result, Err(SendError::Damaged)),
                "{}: {result:?}",
                vector.name
            );
            assert!(
                whole.starts_with(&sent) && sent.len() < whole.len().max(1),
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn wraps_open() {
    let vectors = vectors();
    let purposes = [
        Purpose::ContentByLink,
        Purpose::ContentByHotlink,
        Purpose::ContentByPlaintext,
        Purpose::LinkByOwner,
        Purpose::Label,
        Purpose::AccountByApiKey,
        Purpose::AccountByPassword,
        Purpose::AccountByMaster,
        Purpose::AccountByRecovery,
        Purpose::Cookie,
    ];
    assert_eq!(vectors.wraps.len(), 2 * purposes.len());
    for vector in &vectors.wraps {
        let secrets: Vec<Vec<u8>> = vector.secrets.iter().map(|s| unhex(s)).collect();
        let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        for purpose in purposes {
            let (context, wrapped) = (unhex(&vector.context), unhex(&vector.wrapped));
            let opened = keys::unwrap(purpose, &secrets, &context, &wrapped);
            let expected = format!("{purpose:?}") == vector.purpose;
            assert_eq!(
                opened.map(|p| p.to_vec()),
                expected.then(|| vector.plaintext.clone().into_bytes()),
                "{} as {purpose:?}",
                vector.purpose
            );
        }
    }
}

#[test]
fn every_bit_of_a_blob_counts() {
    let vectors = vectors();
    for vector in vectors.valid.iter().filter(|v| v.size == 17) {
        let blob = seal(vector);
        let key = secret(&vector.content_key);
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open_all(&changed, &key).is_err(), "bit {bit}");
        }
        assert!(blob.len() > HEADER);
    }
}
