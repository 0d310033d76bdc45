//! The form parser must give the same parts however the bytes arrive and however they are read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::http::multipart::Multipart;
use std::io::{self, Read};

const TYPE: &str = "multipart/form-data; boundary=\"b0\"";
/// Room enough to be read into without a copy.
const WHOLE: usize = 8 * 1024;

/// Hands out at most `size` bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.1.min(out.len());
        self.0.read(&mut out[..most])
    }
}

/// Name, file name, type and data of a part.
type Whole = (String, Option<String>, Option<String>, Vec<u8>);

/// The parts before the first error, and the error.
fn read(body: &[u8], size: usize, out: &mut [u8]) -> (Vec<Whole>, Option<String>) {
    let mut wholes = Vec::new();
    let mut input = Pieces(body, size);
    let mut form = Multipart::new(TYPE, &mut input).expect("a valid type");
    loop {
        let mut part = match form.next_part() {
            Ok(Some(part)) => part,
            Ok(None) => return (wholes, None),
            Err(e) => return (wholes, Some(e.to_string())),
        };
        let mut data = Vec::new();
        loop {
            match part.read(out) {
                Ok(0) => break,
                Ok(n) => data.extend_from_slice(&out[..n]),
                Err(e) => return (wholes, Some(e.to_string())),
            }
        }
        wholes.push((
            part.name().to_owned(),
            part.file_name().map(str::to_owned),
            part.content_type().map(str::to_owned),
            data,
        ));
    }
}

fuzz_target!(|input: &[u8]| {
    let [size, room, body @ ..] = input else {
        return;
    };
    let whole = read(body, usize::MAX, &mut vec![0; WHOLE]);
    let room = usize::from(*room) * 64 + 1;
    let split = read(body, usize::from(*size) + 1, &mut vec![0; room]);
    assert_eq!(whole, split);
    let ended = || body.windows(6).any(|w| w == b"--b0--");
    assert!(whole.1.is_some() || ended(), "a form without an end");
});
