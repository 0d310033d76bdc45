//! Byte ranges against tables and against a naive reading of the standard.
#![allow(
    clippy::single_range_in_vec_init,
    reason = "lists of ranges are what is tested"
)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn single_ranges_over_a_file_of_ten_bytes() {
    let part = |r: Range<u64>| Ranges::Parts(vec![r]);
    let cases = [
        ("bytes=0-0", part(0..1)),
        ("bytes=2-4", part(2..5)),
        ("bytes=2-", part(2..10)),
        ("bytes=9-", part(9..10)),
        ("bytes=10-", Ranges::Unsatisfiable),
        ("bytes=-3", part(7..10)),
        ("bytes=-10", part(0..10)),
        ("bytes=-99", part(0..10)),
        ("bytes=-0", Ranges::Unsatisfiable),
        ("bytes=5-4", Ranges::Whole),
        ("bytes=0-18446744073709551615", part(0..10)),
        ("bytes=0-99999999999999999999999999", part(0..10)),
        ("bytes=-99999999999999999999999999", part(0..10)),
        ("bytes=99999999999999999999999999-", Ranges::Unsatisfiable),
        ("bytes=18446744073709551615-", Ranges::Unsatisfiable),
        ("bytes=00000000000000000000000000002-0004", part(2..5)),
        ("BYTES=1-2", part(1..3)),
        (" bytes= 1-2 ", part(1..3)),
    ];
    for (header, wanted) in cases {
        assert_eq!(parse(header, 10), wanted, "{header}");
    }
}

#[test]
fn what_is_no_byte_range_set_is_ignored() {
    for header in [
        "",
        "bytes",
        "bytes=",
        "bytes=,,",
        "bytes=-",
        "bytes=--1",
        "bytes=a-b",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=1-2-3",
        "bytes=1-2,x",
        "bytes=1-2;3-4",
        "bytes=0x1-2",
        "bytes=١-٢",
        "bytes 1-2",
        "bytes =1-2",
        "lines=1-2",
        "seconds=1-2",
    ] {
        assert_eq!(parse(header, 10), Ranges::Whole, "{header}");
    }
}

#[test]
fn several_ranges_keep_their_order_unless_they_overlap() {
    let cases: [(&str, &[Range<u64>]); 6] = [
        ("bytes=7-8,0-1", &[7..9, 0..2]),
        ("bytes=0-1 ,\t4-5,,", &[0..2, 4..6]),
        ("bytes=4-6,0-1,5-8", &[0..2, 4..9]),
        ("bytes=0-4,5-", &[0..10]),
        ("bytes=0-,0-,0-", &[0..10]),
        ("bytes=20-30,1-1,-0", &[1..2]),
    ];
    for (header, wanted) in cases {
        assert_eq!(
            parse(header, 10),
            Ranges::Parts(wanted.to_vec()),
            "{header}"
        );
    }
    assert_eq!(parse("bytes=10-,11-12", 10), Ranges::Unsatisfiable);
}

#[test]
fn more_than_sixteen_ranges_are_refused() {
    let many = |n: usize| {
        let set: Vec<_> = (0..n).map(|i| format!("{0}-{0}", i * 2)).collect();
        format!("bytes={}", set.join(","))
    };
    let sixteen = (0..16).map(|i| i * 2..i * 2 + 1).collect();
    assert_eq!(parse(&many(16), 40), Ranges::Parts(sixteen));
    assert_eq!(parse(&many(17), 40), Ranges::Unsatisfiable);
    assert_eq!(parse(&many(1_000), 40), Ranges::Unsatisfiable);
    assert_eq!(parse(&many(1_000), 0), Ranges::Unsatisfiable);
}

#[test]
fn an_empty_file_has_no_ranges() {
    assert_eq!(parse("bytes=0-", 0), Ranges::Unsatisfiable);
    assert_eq!(parse("bytes=0-0", 0), Ranges::Unsatisfiable);
    assert_eq!(parse("bytes=-0", 0), Ranges::Unsatisfiable);
    assert_eq!(parse("bytes=-5", 0), Ranges::Whole);
}

#[test]
fn offsets_do_not_end_at_four_gibibytes() {
    let size = u64::MAX;
    assert_eq!(
        parse("bytes=18446744073709551613-", size),
        Ranges::Parts(vec![u64::MAX - 2..u64::MAX])
    );
    assert_eq!(
        content_range(&(5..u64::MAX), size),
        format!("bytes 5-{}/{size}", size - 1)
    );
    assert_eq!(unsatisfied_range(10), "bytes */10");
}

#[test]
fn byteranges_frame_every_part() {
    let framing = ByteRanges::new("b0", "text/plain", 10, &[0..2, 5..9]);
    let data = b"0123456789";
    let mut body = Vec::new();
    for (lead, part) in framing.leads().iter().zip([0..2, 5..9]) {
        body.extend_from_slice(lead);
        body.extend_from_slice(&data[part]);
    }
    body.extend_from_slice(&framing.tail());
    assert_eq!(framing.total(), body.len() as u64);
    assert_eq!(framing.content_type(), "multipart/byteranges; boundary=b0");
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "\r\n--b0\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--b0\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-8/10\r\n\r\n5678\
         \r\n--b0--\r\n"
    );
}

/// The bytes that a set of well-formed ranges names, one by one.
fn naive(specs: &[(Option<u64>, Option<u64>)], size: u64) -> BTreeSet<u64> {
    let holds = |at: u64| {
        specs.iter().any(|spec| match *spec {
            (Some(first), Some(last)) => first <= at && at <= last,
            (Some(first), None) => first <= at,
            (None, Some(suffix)) => size - at <= suffix,
            (None, None) => false,
        })
    };
    (0..size).filter(|at| holds(*at)).collect()
}

fn spec() -> impl Strategy<Value = (Option<u64>, Option<u64>)> {
    prop_oneof![
        (0..40u64, 0..40u64).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b)))),
        (0..40u64).prop_map(|a| (Some(a), None)),
        (0..40u64).prop_map(|b| (None, Some(b))),
    ]
}

proptest! {
    #[test]
    fn the_parts_hold_exactly_the_bytes_asked_for(
        specs in prop::collection::vec(spec(), 1..=16),
        size in 1..32u64,
    ) {
        let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let set: Vec<_> = specs.iter().map(|(a, b)| format!("{}-{}", text(*a), text(*b))).collect();
        let wanted = naive(&specs, size);
        match parse(&format!("bytes={}", set.join(", ")), size) {
            Ranges::Whole => prop_assert!(false, "a valid set was ignored"),
            Ranges::Unsatisfiable => prop_assert!(wanted.is_empty()),
            Ranges::Parts(parts) => {
                let total: u64 = parts.iter().map(|r| r.end - r.start).sum();
                prop_assert!(parts.iter().all(|r| r.start < r.end && r.end <= size));
                let got: BTreeSet<u64> = parts.into_iter().flatten().collect();
                prop_assert_eq!(total, got.len() as u64, "a byte is sent twice");
                prop_assert_eq!(got, wanted);
            }
        }
    }

    #[test]
    fn no_header_breaks_the_promises(header in "(bytes=)?[-0-9, =a]{0,60}", size in any::<u64>()) {
        if let Ranges::Parts(parts) = parse(&header, size) {
            prop_assert!(!parts.is_empty() && parts.len() <= RANGE_LIMIT);
            prop_assert!(parts.iter().all(|r| r.start < r.end && r.end <= size));
        }
    }
}
