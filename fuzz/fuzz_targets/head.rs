//! Request heads: the same in any pieces, the same to another parser, never ambiguous.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mayfly::gate::fuzz::head(bytes));
