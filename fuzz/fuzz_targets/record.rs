//! Rows of the database: what a decoder takes, it writes the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::metadata::decode_any;

fuzz_target!(|bytes: &[u8]| {
    let Some((&key, rest)) = bytes.split_first() else {
        return;
    };
    let (key, body) = rest.split_at(usize::from(key).min(rest.len()));
    assert!(decode_any(key, body), "two encodings of one record");
    // The only layout that there is, so that the fields are looked at.
    let layout = [&[1], body].concat();
    assert!(decode_any(key, &layout), "two encodings of one record");
});
