//! Lines on the admin socket: read whole, and refused or understood without passing over anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mayfly::admin::fuzz::line(bytes));
