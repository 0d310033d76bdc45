//! Chunked bodies: the same in any pieces, as the grammar has it, and back as they were.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mayfly::gate::fuzz::chunked(bytes));
