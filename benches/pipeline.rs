//! How fast the path of the bytes is: hash, seal, open, the form around a file, and the whole way
//! into a store that keeps nothing. `cargo bench`; `tests/guard.rs` holds the bars.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark, not an interface"
)]

#[path = "../tests/support/media.rs"]
mod media;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mayfly::http::multipart::Multipart;
use mayfly::model::Secret;
use mayfly::pipeline::seal::Cipher;
use mayfly::pipeline::{Layout, Output, Source, receive};
use media::{Blob, Kept, Nowhere};
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::sync::Arc;

const SIZE: usize = 16 << 20;

fn data() -> Vec<u8> {
    let mut state = 1u64;
    let mut data = Vec::with_capacity(SIZE);
    while data.len() < SIZE {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        data.extend_from_slice(&state.to_le_bytes());
    }
    data
}

fn form(data: &[u8]) -> Vec<u8> {
    let mut form =
        b"--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
            .to_vec();
    form.extend_from_slice(data);
    form.extend_from_slice(b"\r\n--frontier--\r\n");
    form
}

struct Discard;

impl Output for Discard {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        black_box(bytes);
        Ok(())
    }

    fn send_file(&mut self, _: &File, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn settle(&mut self) -> u64 {
        0
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pipeline(c: &mut Criterion) {
    let data = data();
    let key = Secret::new([5; 32]);
    let ciphers = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];
    let mut group = c.benchmark_group("pipeline");
    group
        .throughput(Throughput::Bytes(SIZE as u64))
        .sample_size(20);

    group.bench_function("hash", |b| {
        b.iter(|| ring::digest::digest(&ring::digest::SHA256, &data));
    });
    group.bench_function("receive/plain", |b| {
        b.iter(|| receive(&mut &data[..], &mut Nowhere, &Layout::Plain, u64::MAX).unwrap());
    });
    for cipher in ciphers {
        let layout = Layout::Sealed { cipher, key: &key };
        group.bench_function(format!("receive/{cipher:?}"), |b| {
            b.iter(|| receive(&mut &data[..], &mut Nowhere, &layout, u64::MAX).unwrap());
        });
        let kept = Kept::default();
        receive(&mut &data[..], &mut kept.clone(), &layout, u64::MAX).unwrap();
        let blob = Arc::new(std::mem::take(&mut *kept.0.lock().unwrap()));
        group.bench_function(format!("open/{cipher:?}"), |b| {
            b.iter(|| {
                let blob = Box::new(Blob(blob.clone()));
                let mut source = Source::sealed(blob, SIZE as u64, &key).unwrap();
                source.send(0..SIZE as u64, &mut Discard).unwrap();
            });
        });
    }

    let form = form(&data);
    let mut buffer = vec![0; 64 * 1024];
    group.bench_function("multipart", |b| {
        b.iter(|| {
            let mut input = &form[..];
            let mut parts =
                Multipart::new("multipart/form-data; boundary=frontier", &mut input).unwrap();
            let mut part = parts.next_part().unwrap().unwrap();
            while part.read(&mut buffer).unwrap() > 0 {}
        });
    });
    group.bench_function("whole path in", |b| {
        let cipher = Cipher::for_this_cpu();
        b.iter(|| {
            let mut input = &form[..];
            let mut parts =
                Multipart::new("multipart/form-data; boundary=frontier", &mut input).unwrap();
            let mut part = parts.next_part().unwrap().unwrap();
            let layout = Layout::Sealed { cipher, key: &key };
            receive(&mut part, &mut Nowhere, &layout, u64::MAX).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
