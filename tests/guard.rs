//! The path of the bytes costs no more than its parts: each figure is a ratio of two measurements of
//! one run on one machine, so that it means the same everywhere. Fails when the path gets slower
//! than its bar.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::http::multipart::Multipart;
use mayfly::model::Secret;
use mayfly::pipeline::seal::Cipher;
use mayfly::pipeline::{Layout, Output, Source, receive};
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;
use support::media::{Blob, Kept, Nowhere};
use support::{MIB, slow};

const SIZE: usize = 64 << 20;
const SEGMENT: usize = 16 * 1024;

/// These run code of the library within this process: only its own build counts.
fn figures_say_nothing(test: &str) -> bool {
    let leave = cfg!(debug_assertions) && !slow();
    if leave {
        eprintln!("LEFT OUT: {test}: needs cargo test --release");
    }
    leave
}

/// Processor time of this thread that `work` takes: the best of several runs.
fn cost(mut work: impl FnMut()) -> Duration {
    let now = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(t.tv_sec).unwrap(),
            u32::try_from(t.tv_nsec).unwrap(),
        )
    };
    work();
    let runs = (0..5).map(|_| {
        let began = now();
        work();
        now() - began
    });
    runs.min().unwrap()
}

fn rate(cost: Duration) -> f64 {
    SIZE as f64 / MIB as f64 / cost.as_secs_f64()
}

/// Compares a path with the sum of its parts.
fn hold(what: &str, path: Duration, parts: &[(&str, Duration)], bar: f64) {
    let sum: Duration = parts.iter().map(|(_, c)| *c).sum();
    let ratio = path.as_secs_f64() / sum.as_secs_f64();
    let parts: Vec<String> = parts
        .iter()
        .map(|(n, c)| format!("{n} {:.0} MiB/s", rate(*c)))
        .collect();
    eprintln!(
        "{what}: {:.0} MiB/s, {ratio:.2} x its parts ({})",
        rate(path),
        parts.join(", ")
    );
    assert!(
        ratio <= bar,
        "{what}: {ratio:.2} x its parts, the bar is {bar}"
    );
}

struct Discard(u64);

impl Output for Discard {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        std::hint::black_box(bytes);
        self.0 += bytes.len() as u64;
        Ok(())
    }

    fn send_file(&mut self, _: &File, _: u64, length: u64) -> io::Result<()> {
        self.0 += length;
        Ok(())
    }

    fn settle(&mut self) -> u64 {
        self.0
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn data() -> Vec<u8> {
    support::Payload::new(1, SIZE as u64).bytes()
}

fn copying(data: &[u8]) -> Duration {
    let mut buffer = vec![0; 64 * 1024];
    cost(|| {
        let mut input = data;
        while let Ok(n) = input.read(&mut buffer) {
            std::hint::black_box(&buffer);
            if n == 0 {
                break;
            }
        }
    })
}

fn hashing(data: &[u8]) -> Duration {
    cost(|| {
        std::hint::black_box(ring::digest::digest(&ring::digest::SHA256, data));
    })
}

fn sealing(data: &[u8], cipher: Cipher) -> Duration {
    let algorithm = match cipher {
        Cipher::Aes256Gcm => &ring::aead::AES_256_GCM,
        Cipher::ChaCha20Poly1305 => &ring::aead::CHACHA20_POLY1305,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[1; 32]).unwrap());
    let mut segment = [0; SEGMENT];
    cost(|| {
        for (n, piece) in data.chunks_exact(SEGMENT).enumerate() {
            segment.copy_from_slice(piece);
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&(n as u64).to_le_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from([0; 40]), &mut segment);
            std::hint::black_box(tag.unwrap().as_ref());
        }
    })
}

#[test]
fn receiving_costs_no_more_than_its_parts() {
    if figures_say_nothing("the guard of the path in") {
        return;
    }
    let data = data();
    let (copy, hash) = (copying(&data), hashing(&data));
    let key = Secret::new([3; 32]);
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        let path = cost(|| {
            let layout = Layout::Sealed { cipher, key: &key };
            let intake = receive(&mut &data[..], &mut Nowhere, &layout, u64::MAX);
            assert_eq!(intake.unwrap().size, SIZE as u64);
        });
        let seal = sealing(&data, cipher);
        let parts = [("copy", copy), ("SHA-256", hash), ("seal", seal)];
        hold(&format!("receive, {cipher:?}"), path, &parts, 1.15);
    }
    let path = cost(|| {
        let intake = receive(&mut &data[..], &mut Nowhere, &Layout::Plain, u64::MAX);
        assert_eq!(intake.unwrap().size, SIZE as u64);
    });
    hold(
        "receive, plain",
        path,
        &[("copy", copy), ("SHA-256", hash)],
        1.15,
    );
}

#[test]
fn sending_costs_no_more_than_its_parts() {
    if figures_say_nothing("the guard of the path out") {
        return;
    }
    let data = data();
    let key = Secret::new([3; 32]);
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        let kept = Kept::default();
        let layout = Layout::Sealed { cipher, key: &key };
        receive(&mut &data[..], &mut kept.clone(), &layout, u64::MAX).unwrap();
        let blob = std::sync::Arc::new(std::mem::take(&mut *kept.0.lock().unwrap()));
        let path = cost(|| {
            let blob = Box::new(Blob(blob.clone()));
            let mut source = Source::sealed(blob, SIZE as u64, &key).unwrap();
            let mut output = Discard(0);
            source.send(0..SIZE as u64, &mut output).unwrap();
            assert_eq!(output.0, SIZE as u64);
        });
        // Opening costs what sealing costs.
        let parts = [("copy", copying(&data)), ("open", sealing(&data, cipher))];
        hold(&format!("send, {cipher:?}"), path, &parts, 1.25);
    }
}

#[test]
fn the_form_around_a_file_costs_next_to_nothing() {
    if figures_say_nothing("the guard of multipart") {
        return;
    }
    let data = data();
    let mut form =
        b"--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
            .to_vec();
    form.extend_from_slice(&data);
    form.extend_from_slice(b"\r\n--frontier--\r\n");
    let mut buffer = vec![0; 64 * 1024];
    let path = cost(|| {
        let mut input = &form[..];
        let mut parts =
            Multipart::new("multipart/form-data; boundary=frontier", &mut input).unwrap();
        let mut part = parts.next_part().unwrap().unwrap();
        let mut size = 0;
        loop {
            let n = part.read(&mut buffer).unwrap();
            if n == 0 {
                break;
            }
            size += n;
            std::hint::black_box(&buffer[..n]);
        }
        assert_eq!(size, SIZE);
    });
    let finder = memchr::memmem::Finder::new(b"\r\n--frontier");
    let scan = cost(|| {
        std::hint::black_box(finder.find(&data));
    });
    hold(
        "multipart",
        path,
        &[("copy", copying(&data)), ("search", scan)],
        1.5,
    );
    let share = path.as_secs_f64() / hashing(&data).as_secs_f64();
    eprintln!("multipart: {share:.3} of one SHA-256");
    assert!(share <= 0.4, "{share:.2} of one SHA-256");
}
