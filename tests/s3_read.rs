//! Reading from a bucket that cuts, lies, fails and forgets: what comes is right, or an error.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::BlobId;
use mayfly::store::s3::S3Store;
use mayfly::store::{Store, StoreError, StoredBlob};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use support::scripted_bucket::{Act, Asked, ScriptedBucket};

const ID: BlobId = BlobId([7; 16]);
/// What a reader of sealed files reads at a time when there are many.
const SEGMENT: usize = 16_400;
/// What opening an object gets of it.
const HEAD: usize = 1024;

fn store(bucket: &ScriptedBucket, concurrency: usize) -> S3Store {
    support::s3::store(
        &bucket.settings(concurrency),
        "0123456789abcdef0123456789abcdef",
    )
}

/// Bytes in which no place is like another one nearby.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    (seed..)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
        .take(length)
        .collect()
}

/// A bucket with one object of that many bytes.
fn bucket(
    length: usize,
    script: impl Fn(&Asked) -> Act + Send + Sync + 'static,
) -> (ScriptedBucket, Vec<u8>) {
    let bucket = ScriptedBucket::start(script);
    let bytes = pattern(length, 1);
    bucket.put(&ID.to_hex(), bytes.clone());
    (bucket, bytes)
}

/// Reads all of a blob in steps.
fn read(blob: &dyn StoredBlob, step: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(blob.size()).unwrap()];
    let mut at = 0;
    for part in bytes.chunks_mut(step) {
        blob.read_exact_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(bytes)
}

fn ranges(bucket: &ScriptedBucket) -> Vec<(usize, usize)> {
    bucket.asked().iter().filter_map(|a| a.range).collect()
}

#[test]
fn a_small_object_is_one_request_and_a_larger_one_few_that_grow_to_four_mebibytes() {
    let (small, bytes) = bucket(HEAD, |_| Act::Serve);
    let blob = store(&small, 4).open(&ID).unwrap();
    assert_eq!(read(&*blob, 100).unwrap(), bytes);
    assert_eq!(ranges(&small), [(0, HEAD - 1)]);

    let (large, bytes) = bucket(20 << 20, |_| Act::Serve);
    let store = store(&large, 4);
    let blob = store.open(&ID).unwrap();
    assert!(read(&*blob, 8 * SEGMENT).unwrap() == bytes);
    let ranges = ranges(&large);
    let mut next = 0;
    for (first, last) in &ranges {
        assert_eq!(*first, next, "each goes on where the last one ended");
        next = last + 1;
    }
    assert_eq!(next, bytes.len());
    let lengths: Vec<_> = ranges
        .iter()
        .map(|(first, last)| last + 1 - first)
        .collect();
    assert!(lengths.iter().all(|length| *length <= 4 << 20));
    assert!(
        lengths.contains(&(4 << 20)) && lengths.len() < 15,
        "{lengths:?}"
    );
    assert!(large.asked()[1..].iter().all(|a| a.if_match.is_some()));
    assert_eq!(large.connections(), 1, "one connection for all of them");
    drop(blob);
    // A reader that wants a little from the middle gets little more than that.
    let blob = store.open(&ID).unwrap();
    let mut some = [0; 5000];
    blob.read_exact_at(&mut some, 10_000_000).unwrap();
    assert!(some == bytes[10_000_000..10_005_000]);
    assert_eq!(large.asked().last().unwrap().length(), 5000);
    assert_eq!(large.connections(), 1);
}

#[test]
fn an_answer_that_is_cut_off_is_continued_at_the_last_good_byte() {
    let (bucket, bytes) = bucket(300_000, |asked| match asked.number {
        1 => Act::Cut(5_000),
        2 => Act::Cut(0),
        4 => Act::Cut(60_001),
        _ => Act::Serve,
    });
    let blob = store(&bucket, 4).open(&ID).unwrap();
    assert!(read(&*blob, 100_000).unwrap() == bytes);
    let ranges = ranges(&bucket);
    let firsts: Vec<_> = ranges.iter().map(|(first, _)| *first).collect();
    assert_eq!(
        firsts,
        [0, HEAD, HEAD + 5_000, HEAD + 5_000, 100_000, 160_001]
    );
    let tags: Vec<_> = bucket
        .asked()
        .into_iter()
        .skip(1)
        .map(|a| a.if_match)
        .collect();
    assert!(tags.iter().all(|tag| tag.is_some() && *tag == tags[0]));
}

/// Every way to fail that may pass.
fn failures() -> [Act; 8] {
    [
        Act::Cut(0),
        Act::Cut(4_000),
        Act::Shorter(1),
        Act::Shifted(16),
        Act::Whole,
        Act::Fail(500, "InternalError"),
        Act::Fail(503, "SlowDown"),
        Act::HangUp,
    ]
}

#[test]
fn whatever_goes_wrong_once_is_tried_again_and_the_bytes_are_right() {
    thread::scope(|scope| {
        for (failing, act) in (0..3).flat_map(|n| failures().map(|act| (n, act))) {
            scope.spawn(move || {
                let once = act.clone();
                let (bucket, bytes) = bucket(100_000, move |asked| {
                    if asked.number == failing {
                        once.clone()
                    } else {
                        Act::Serve
                    }
                });
                let blob = store(&bucket, 4).open(&ID).unwrap();
                assert!(read(&*blob, SEGMENT).unwrap() == bytes, "{failing} {act:?}");
            });
        }
    });
}

#[test]
fn whatever_goes_wrong_for_ever_is_an_error_when_patience_ends_and_never_an_early_end() {
    thread::scope(|scope| {
        for act in failures() {
            scope.spawn(move || {
                let always = act.clone();
                let (bucket, bytes) = bucket(100_000, move |asked| {
                    if asked.range.is_some_and(|(first, _)| first > 50_000) {
                        always.clone()
                    } else {
                        Act::Serve
                    }
                });
                let store = store(&bucket, 4).with_patience(Duration::ZERO);
                let blob = store.open(&ID).unwrap();
                let mut all = vec![0; 50_000];
                blob.read_exact_at(&mut all, 0).unwrap();
                assert!(all == bytes[..50_000]);
                let asked = bucket.asked().len();
                let error = blob.read_exact_at(&mut [0; 20_000], 60_000).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::Other, "{act:?}: {error}");
                assert_eq!(bucket.asked().len() - asked, 4, "{act:?}: {error}");
            });
        }
    });
}

#[test]
fn an_object_that_was_replaced_or_deleted_or_is_forbidden_meanwhile_is_an_error_at_once() {
    for replaced in [true, false] {
        let (bucket, _) = bucket(100_000, |_| Act::Serve);
        let blob = store(&bucket, 4).open(&ID).unwrap();
        blob.read_exact_at(&mut [0; SEGMENT], 0).unwrap();
        if replaced {
            bucket.put("another", Vec::new());
            bucket.put(&ID.to_hex(), pattern(100_000, 99));
        } else {
            bucket.remove(&ID.to_hex());
        }
        let asked = bucket.asked().len();
        let error = blob.read_exact_at(&mut [0; SEGMENT], SEGMENT as u64);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(bucket.asked().len() - asked, 1, "{replaced}");
    }
    for act in [Act::OtherTag, Act::Fail(403, "AccessDenied")] {
        let later = act.clone();
        let (bucket, _) = bucket(100_000, move |asked| match asked.number {
            0 => Act::Serve,
            _ => later.clone(),
        });
        let blob = store(&bucket, 4).open(&ID).unwrap();
        assert!(blob.read_exact_at(&mut [0; 9], 2000).is_err(), "{act:?}");
        assert_eq!(bucket.asked().len(), 2, "{act:?}");
    }
}

#[test]
fn opening_tells_what_is_not_there_from_what_cannot_be_told() {
    let cases: [(u16, &'static str, Option<&str>); 5] = [
        (404, "NoSuchKey", None),
        (404, "NoSuchBucket", Some("Create the bucket")),
        (403, "AccessDenied", Some("rights")),
        (403, "InvalidAccessKeyId", Some("access key")),
        (301, "PermanentRedirect", Some("region")),
    ];
    for (status, code, remedy) in cases {
        let (bucket, _) = bucket(10, move |_| Act::Fail(status, code));
        let error = store(&bucket, 4).open(&ID).err().unwrap();
        match (error, remedy) {
            (StoreError::NotFound, None) => {}
            (StoreError::Refused(error), Some(remedy)) => {
                assert!(error.to_string().contains(remedy), "{code}: {error}");
            }
            (error, _) => panic!("{code}: {error:?}"),
        }
        assert_eq!(bucket.asked().len(), 1, "{code}");
    }
    // All of a small object, where a range of it was asked for.
    let (whole, bytes) = bucket(500, |_| Act::Whole);
    let blob = store(&whole, 4).open(&ID).unwrap();
    assert_eq!(read(&*blob, 99).unwrap(), bytes);
    let (bucket, _) = bucket(0, |_| Act::Serve);
    let blob = store(&bucket, 4).open(&ID).unwrap();
    assert_eq!(blob.size(), 0);
    blob.read_exact_at(&mut [], 0).unwrap();
    assert!(blob.read_exact_at(&mut [0], 0).is_err());
}

#[test]
fn what_is_being_read_is_not_deleted_and_nobody_asks_for_it() {
    let (bucket, bytes) = bucket(100_000, |_| Act::Serve);
    let store = store(&bucket, 4);
    let blob = store.open(&ID).unwrap();
    let asked = bucket.asked().len();
    assert!(matches!(store.delete(&ID), Err(StoreError::InUse)));
    assert_eq!(bucket.asked().len(), asked);
    assert!(read(&*blob, SEGMENT).unwrap() == bytes);
    drop(blob);
    store.delete(&ID).unwrap();
    assert_eq!(bucket.asked().last().unwrap().method, "DELETE");
    assert!(matches!(store.open(&ID), Err(StoreError::NotFound)));
}

#[test]
fn five_hundred_readers_that_stand_still_between_reads_share_four_connections() {
    const READERS: u8 = 250;
    const ROUNDS: usize = 5;
    let bucket = ScriptedBucket::start(|_| Act::Serve);
    let name = |n: u8| BlobId([n; 16]);
    for n in 0..READERS {
        bucket.put(&name(n).to_hex(), pattern(ROUNDS * SEGMENT, n.into()));
    }
    let store = store(&bucket, 4);
    // Nobody reads on before everybody has read.
    let round = Barrier::new(2 * usize::from(READERS));
    thread::scope(|scope| {
        for n in (0..READERS).chain(0..READERS) {
            let (store, round) = (&store, &round);
            let reader = thread::Builder::new().stack_size(256 << 10);
            let reading = move || {
                let blob = store.open(&name(n)).unwrap();
                let mut bytes = Vec::new();
                for at in 0..ROUNDS {
                    round.wait();
                    let mut segment = vec![0; SEGMENT];
                    blob.read_exact_at(&mut segment, (at * SEGMENT) as u64)
                        .unwrap();
                    bytes.extend(segment);
                }
                assert!(bytes == pattern(ROUNDS * SEGMENT, n.into()), "{n}");
            };
            reader.spawn_scoped(scope, reading).unwrap();
        }
    });
    let ever = bucket.connections();
    let requests = bucket.asked().len();
    let reads = 2 * usize::from(READERS) * ROUNDS;
    assert!(requests <= reads + 2 * usize::from(READERS), "{requests}");
    assert!(
        ever < requests / 4,
        "{ever} connections for {requests} requests"
    );
}

#[test]
fn whoever_waited_for_its_turn_reads_next_and_gives_back_what_it_does_not_need() {
    let (bucket, bytes) = bucket(300_000, |_| Act::Serve);
    let store = store(&bucket, 1);
    let (first, second) = (store.open(&ID).unwrap(), store.open(&ID).unwrap());
    for blob in [&first, &second, &first] {
        blob.ready();
        // It came when the object was opened.
        let mut start = [0; 100];
        blob.read_exact_at(&mut start, 0).unwrap();
        assert!(start == bytes[..100]);
    }
    second.ready();
    second.ready();
    assert!(read(&*second, 50_000).unwrap() == bytes);
    first.ready();
    // It goes away with the only turn.
    drop(first);
    assert!(read(&*second, 50_000).unwrap() == bytes);
}

#[test]
fn a_reader_that_stands_still_loses_its_request_to_one_that_waits_and_reads_on_later() {
    let (bucket, bytes) = bucket(30 << 20, |_| Act::Serve);
    let store = store(&bucket, 2);
    let blobs = [(); 5].map(|()| store.open(&ID).unwrap());
    let mut at = [0; 5];
    // Each reads until it has long windows, and stands still in the middle of one.
    for round in 0..3 {
        for (blob, at) in blobs.iter().zip(&mut at) {
            for _ in 0..30 {
                let mut segments = vec![0; 8 * SEGMENT];
                blob.read_exact_at(&mut segments, *at as u64).unwrap();
                assert!(segments == bytes[*at..*at + segments.len()], "{round} {at}");
                *at += segments.len();
            }
        }
    }
    let ever = bucket.connections();
    assert!(ever > 5, "{ever} connections: nobody lost one");
    // Whoever had lost its request went on where it had been.
    for (blob, at) in blobs.iter().zip(at) {
        let mut rest = vec![0; bytes.len() - at];
        blob.read_exact_at(&mut rest, at as u64).unwrap();
        assert!(rest == bytes[at..]);
    }
}

#[test]
fn a_server_that_is_away_takes_no_blob_and_is_used_again_when_it_is_back() {
    let away = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&away);
    let (bucket, bytes) = bucket(10, move |_| {
        if seen.load(Ordering::SeqCst) {
            Act::Fail(500, "InternalError")
        } else {
            Act::Serve
        }
    });
    let store = store(&bucket, 4);
    let name = BlobId([8; 16]);
    assert!(store.stage(&name, None).is_ok());
    let asked = bucket.asked().len();
    assert!(store.stage(&name, None).is_ok());
    assert_eq!(bucket.asked().len(), asked, "all is well: no question");
    assert!(store.problem().is_none());
    away.store(true, Ordering::SeqCst);
    assert!(matches!(store.open(&ID), Err(StoreError::Refused(_))));
    assert!(store.problem().is_some());
    assert!(matches!(
        store.stage(&name, None),
        Err(StoreError::Refused(_))
    ));
    away.store(false, Ordering::SeqCst);
    let minute = Duration::from_secs(60);
    assert!(support::within(minute, || store.stage(&name, None).is_ok()));
    assert!(store.problem().is_none());
    let blob = store.open(&ID).unwrap();
    assert_eq!(read(&*blob, 10).unwrap(), bytes);
}

#[test]
fn a_bucket_that_is_only_read_is_a_problem_until_something_can_be_stored_again() {
    let read_only = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&read_only);
    let (bucket, _) = bucket(10, move |asked| {
        if seen.load(Ordering::SeqCst) && asked.method == "PUT" {
            Act::Fail(403, "AccessDenied")
        } else {
            Act::Serve
        }
    });
    let store = store(&bucket, 4);
    store.look_for_mark().unwrap();
    let stage = store.stage(&BlobId([8; 16]), None).unwrap();
    read_only.store(true, Ordering::SeqCst);
    assert!(stage.commit().is_err());
    assert!(store.open(&ID).is_ok());
    assert!(store.problem().unwrap().contains("write"));
    assert!(store.look_for_mark().is_err());
    let refused = store.stage(&BlobId([9; 16]), None);
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    read_only.store(false, Ordering::SeqCst);
    store.look_for_mark().unwrap();
    assert!(store.problem().is_none());
}

#[test]
fn many_readers_at_once_get_through_a_server_that_fails_now_and_then() {
    let (bucket, bytes) = bucket(3 << 20, |asked| match asked.number % 17 {
        3 => Act::Cut(asked.number * 37 % 100_000),
        9 => Act::Fail(503, "SlowDown"),
        14 => Act::HangUp,
        _ => Act::Serve,
    });
    let store = store(&bucket, 3);
    thread::scope(|scope| {
        for n in 1..=24 {
            let (store, bytes) = (&store, &bytes);
            scope.spawn(move || {
                let blob = store.open(&ID).unwrap();
                assert!(read(&*blob, n * SEGMENT).unwrap() == *bytes, "{n}");
            });
        }
    });
    bucket.connections();
}
