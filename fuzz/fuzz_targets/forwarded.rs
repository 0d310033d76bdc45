//! `X-Forwarded-For`: nobody becomes who he says he is.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mayfly::gate::fuzz::forwarded(bytes));
