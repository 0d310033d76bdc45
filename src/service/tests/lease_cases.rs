//! The lease book, case by case.

use crate::model::{BlobId, LeaseId, Lookup};
use crate::service::lease_book::{Bearer, Cargo, Claim, End, LEASES, LeaseBook};
use std::ops::Range;
use std::time::Duration;

const LINK: Lookup = Lookup([7; 32]);
const FILE: BlobId = BlobId([3; 16]);
const PATIENCE: Duration = Duration::from_secs(600);

fn claim(n: u16) -> Claim {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    Claim {
        link: LINK,
        client: [1; 16],
        id: LeaseId(id),
    }
}

fn bytes(range: Range<u64>) -> Cargo {
    Cargo {
        ranges: vec![range],
        span: 1_000_000,
        blob: FILE,
    }
}

/// A lease of a file of a million bytes, on which its owner got the first 10 and broke off.
fn broken_off(book: &mut LeaseBook) {
    let cargo = bytes(0..1_000_000);
    book.enter(claim(1), &cargo, false, 0, Duration::ZERO);
    let only = 0..10;
    let end = book.finish(&claim(1), Bearer::Owner, &cargo, &[only], Duration::ZERO);
    assert_eq!(end, None);
}

#[test]
fn who_has_only_the_address_keeps_the_last_byte_from_the_owner() {
    let mut book = LeaseBook::default();
    let now = Duration::ZERO;
    broken_off(&mut book);
    let tail = bytes(500_000..1_000_000);
    assert!(
        book.continue_as_neighbour(&LINK, &[1; 16], &tail, now)
            .is_some()
    );
    book.finish(&claim(1), Bearer::Neighbour, &tail, &tail.ranges, now);
    assert!(!book.continue_as_owner(&claim(1), &tail, now));
    assert!(book.continue_as_owner(&claim(1), &bytes(10..999_999), now));
}

#[test]
fn the_last_byte_goes_to_one_neighbour_even_when_its_transfer_breaks_later() {
    for first in [Bearer::Neighbour, Bearer::Owner] {
        let mut book = LeaseBook::default();
        let now = Duration::ZERO;
        broken_off(&mut book);
        let backwards = Cargo {
            ranges: vec![500_000..1_000_000, 10..500_000],
            span: 1_000_000,
            blob: FILE,
        };
        match first {
            Bearer::Owner => assert!(book.continue_as_owner(&claim(1), &backwards, now)),
            Bearer::Neighbour => {
                let found = book.continue_as_neighbour(&LINK, &[1; 16], &backwards, now);
                assert_eq!(found, Some(claim(1)));
            }
        }
        let delivered = [500_000..1_000_000, 10..20];
        assert_eq!(
            book.finish(&claim(1), first, &backwards, &delivered, now),
            None
        );
        let tail = bytes(900_000..1_000_000);
        assert_eq!(
            book.continue_as_neighbour(&LINK, &[1; 16], &tail, now),
            None
        );
        let rest = bytes(20..900_000);
        assert!(
            book.continue_as_neighbour(&LINK, &[1; 16], &rest, now)
                .is_some()
        );
    }
}

#[test]
fn a_full_book_ends_the_lease_that_was_silent_longest() {
    let mut book = LeaseBook::default();
    let cargo = bytes(0..1);
    for n in 0..LEASES as u16 {
        let now = Duration::from_secs(u64::from(n));
        assert_eq!(book.make_room(), Ok(None));
        book.enter(claim(n), &cargo, false, 0, now);
    }
    assert_eq!(book.make_room(), Err(()), "every one of them is busy");
    let now = Duration::from_secs(5_000);
    for n in [7, 3] {
        let end = book.finish(&claim(n), Bearer::Owner, &cargo, &cargo.ranges, now);
        assert_eq!(end, None);
    }
    let end = book.finish(
        &claim(5),
        Bearer::Owner,
        &cargo,
        &cargo.ranges,
        now - PATIENCE,
    );
    assert_eq!(end, None);
    assert_eq!(book.make_room(), Ok(Some((claim(5), End::Return))));
    book.forget(&claim(5));
    assert_eq!(book.len(), LEASES - 1);
    assert_eq!(book.make_room(), Ok(None));
}

#[test]
fn a_lease_cannot_be_cut_into_dust() {
    let mut book = LeaseBook::default();
    let now = Duration::ZERO;
    book.enter(claim(1), &bytes(0..1), false, 0, now);
    let mut granted = 0;
    for i in 1..1_000 {
        granted += u32::from(book.continue_as_owner(&claim(1), &bytes(2 * i..2 * i + 1), now));
    }
    assert!((100..200).contains(&granted), "{granted}");
}

#[test]
fn a_lease_that_is_always_used_ends_after_a_day() {
    let mut book = LeaseBook::default();
    let mut now = Duration::ZERO;
    book.enter(claim(1), &bytes(0..1), false, 0, now);
    let mut hours = 0;
    loop {
        let cargo = bytes(0..1);
        book.finish(&claim(1), Bearer::Owner, &cargo, &cargo.ranges, now);
        now += Duration::from_secs(3_599);
        if !book.continue_as_owner(&claim(1), &bytes(0..1), now) {
            break;
        }
        hours += 1;
    }
    assert_eq!(hours, 24);
    assert_eq!(book.over(PATIENCE, now), [(claim(1), End::Return)]);
}

#[test]
fn a_lease_that_was_taken_back_before_it_was_entered_is_doubted() {
    let mut book = LeaseBook::default();
    let doubts = book.doubts();
    book.enter(claim(1), &bytes(0..1), false, doubts, Duration::ZERO);
    assert!(!book.is_doubted(&claim(1)));
    book.doubt(&LINK);
    assert!(book.is_doubted(&claim(1)));
    book.enter(claim(2), &bytes(0..1), false, doubts, Duration::ZERO);
    assert!(book.is_doubted(&claim(2)));
    book.enter(claim(3), &bytes(0..1), false, book.doubts(), Duration::ZERO);
    assert!(!book.is_doubted(&claim(3)));
    book.doubt(&Lookup([8; 32]));
    assert!(!book.is_doubted(&claim(3)), "another link");
}

#[test]
fn a_lease_is_about_one_file_even_when_its_link_has_another_by_now() {
    let mut book = LeaseBook::default();
    let now = Duration::ZERO;
    broken_off(&mut book);
    let other = Cargo {
        blob: BlobId([4; 16]),
        ..bytes(10..1_000_000)
    };
    assert!(!book.continue_as_owner(&claim(1), &other, now));
    assert_eq!(
        book.continue_as_neighbour(&LINK, &[1; 16], &other, now),
        None
    );
    assert!(book.continue_as_owner(&claim(1), &bytes(10..1_000_000), now));
    // What was delivered before a restart is not known, nor of which file.
    book.adopt(claim(2), now);
    assert!(book.continue_as_owner(&claim(2), &other, now));
    assert!(!book.continue_as_owner(&claim(2), &bytes(0..10), now));
}
