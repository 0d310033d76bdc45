//! Ranges lie in the file, hold no byte twice, and their framing has the length it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::http::range::{ByteRanges, Ranges, parse};

fuzz_target!(|input: (u64, &str)| {
    let (size, header) = input;
    let Ranges::Parts(parts) = parse(header, size) else {
        return;
    };
    assert!((1..=16).contains(&parts.len()));
    let mut sorted = parts.clone();
    sorted.sort_by_key(|r| r.start);
    assert!(parts.iter().all(|r| r.start < r.end && r.end <= size));
    assert!(sorted.windows(2).all(|w| w[0].end <= w[1].start));
    let framing = ByteRanges::new("b0", "text/plain", size, &parts);
    let sent: u64 = parts.iter().map(|r| r.end - r.start).sum();
    let frames: usize = framing.leads().iter().map(Vec::len).sum();
    let total = sent.saturating_add((frames + framing.tail().len()) as u64);
    assert_eq!(framing.total(), total);
});
