//! Many clients at once that are slow.

use super::{Conn, Payload, Server, Uploaded};
use std::time::{Duration, Instant};

/// How long they go on.
const READING: Duration = Duration::from_secs(15);

/// `count` clients that take 16 KiB of a file, again and again, and check what they get. Others must not notice.
pub fn slow_readers(server: &Server, file: &Uploaded, payload: &Payload, count: usize) {
    let mut conns: Vec<Conn> = (0..count)
        .map(|_| {
            let mut conn = Conn::open_narrow(server.address, 64 * 1024).unwrap();
            conn.patience(Duration::from_secs(240));
            conn.ask("GET", &file.target(), &[]).unwrap();
            conn
        })
        .collect();
    for conn in &mut conns {
        assert_eq!(conn.head().unwrap().status, 200);
    }
    let mut offsets = vec![0u64; conns.len()];
    let mut buffer = vec![0; 16 * 1024];
    let until = Instant::now() + READING;
    while Instant::now() < until {
        for (conn, offset) in conns.iter_mut().zip(&mut offsets) {
            let n = conn.read(&mut buffer).unwrap();
            assert!(n > 0, "cut at {offset}");
            let end = *offset + n as u64;
            assert!(
                buffer[..n] == payload.part(*offset, end),
                "wrong bytes at {offset}"
            );
            *offset = end;
        }
        assert!(server.probe().is_some_and(|t| t < Duration::from_secs(1)));
    }
    let slowest = offsets.iter().min().unwrap() / 1024;
    eprintln!("the slowest of {count} got {slowest} KiB");
}
