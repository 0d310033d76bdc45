//! Parameters of calls: read as Go reads them, and faults name them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mayfly::api::gokapi::fuzz::params(bytes));
