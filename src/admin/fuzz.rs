//! What has to hold for every line on the admin socket: for the fuzz target, and run over its corpus
//! by the tests.

use super::wire;
use serde::Serialize;
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Names that stand for themselves, and may be written as values or as keys.
const UNITS: [&str; 6] = ["Done", "More", "Master", "Wrong", "Later", "Failed"];

/// As many bytes arrive at once: of more, a line may be read whose end is where one piece ends.
const AT_ONCE: usize = 4096;

/// Bytes from the other side, as many as arrive at once: a whole line is read as it was sent, and nothing else is. As a request
/// and as an answer, it is refused, or understood without passing over anything, and always the same.
pub fn line(bytes: &[u8]) {
    if bytes.len() > AT_ONCE {
        return;
    }
    let read = read(bytes);
    match &read {
        Ok(line) => assert!(line == bytes && line.ends_with(b"\n")),
        Err(kind) => assert!(*kind == ErrorKind::UnexpectedEof && !bytes.ends_with(b"\n")),
    }
    understood(bytes, wire::request(bytes), wire::request);
    understood(bytes, wire::answer(bytes), wire::answer);
}

/// What arrives of these bytes.
fn read(bytes: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    #[allow(clippy::expect_used, reason = "only where it is tested")]
    let (mut near, far) = UnixStream::pair().expect("a pair of sockets");
    // More than fits would wait for a reader, who comes after.
    let sent = near.set_nonblocking(true).and(near.write_all(bytes));
    let ended = near.shutdown(Shutdown::Write);
    assert!(sent.and(ended).is_ok(), "inputs are small");
    let deadline = Instant::now() + Duration::from_secs(60);
    let line = wire::read_line(&far, deadline);
    line.map(|line| line.to_vec()).map_err(|e| e.kind())
}

fn understood<T: Serialize>(bytes: &[u8], said: Option<T>, again: fn(&[u8]) -> Option<T>) {
    let Some(said) = said else { return };
    let line = |said: &T| wire::to_line(said).map(|line| line.to_vec()).ok();
    let first = line(&said);
    let same = first.as_deref().and_then(again);
    assert!(first.is_some(), "it fits into a line");
    assert_eq!(same.as_ref().and_then(line), first, "it is read back");
    assert_eq!(first.as_deref().map(leaves), Some(leaves(bytes)));
}

/// Everything that a line says, whatever it is called and in whatever order.
fn leaves(line: &[u8]) -> Option<Vec<String>> {
    let mut open: Vec<Value> = vec![serde_json::from_slice(line).ok()?];
    let mut found = Vec::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Null => {}
            Value::String(text) if UNITS.contains(&text.as_str()) => {}
            Value::Array(values) => open.extend(values),
            Value::Object(pairs) => open.extend(pairs.into_iter().map(|(_, value)| value)),
            leaf => found.push(leaf.to_string()),
        }
    }
    found.sort();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn it_holds_up_to_the_size_of_a_piece_and_longer_inputs_are_passed_over() {
        let mut bytes = vec![b' '; AT_ONCE];
        bytes[AT_ONCE - 1] = b'\n';
        line(&bytes);
        bytes.extend(b"more");
        line(&bytes);
    }

    #[test]
    fn everything_holds_for_the_corpus() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/admin");
        let (mut requests, mut answers) = (0, 0);
        for entry in std::fs::read_dir(dir).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            line(&bytes);
            requests += usize::from(wire::request(&bytes).is_some());
            answers += usize::from(wire::answer(&bytes).is_some());
        }
        assert!(requests >= 10 && answers >= 9, "{requests} {answers}");
    }
}
