//! Parts that wait: read again and again, beside the reserve, and never with other bytes.

use super::*;

fn directory(min_free: u64) -> (tempfile::TempDir, SpoolDir) {
    let dir = tempfile::tempdir().unwrap();
    let spools = SpoolDir::open(dir.path(), min_free).unwrap();
    (dir, spools)
}

fn read(part: &Part) -> Vec<u8> {
    let mut bytes = Vec::new();
    part.reader(&|| false).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_part_can_be_read_again_and_again_and_has_no_name() {
    let (dir, spools) = directory(0);
    let mut spool = spools.spool(true).unwrap();
    spool.append(b"some", &spools).unwrap();
    spool.append(b" bytes", &spools).unwrap();
    assert_eq!(spool.length(), 10);
    let part = spool.finish();
    assert_eq!(read(&part), b"some bytes");
    assert_eq!(read(&part), b"some bytes");
    assert_eq!(part.length(), 10);
    let sum = ring::digest::digest(&SHA256, b"some bytes");
    assert_eq!(part.sha256().unwrap(), sum.as_ref());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_part_that_the_disk_has_changed_is_never_sent_whole() {
    let (_dir, spools) = directory(0);
    let bytes = vec![7; 100_000];
    let mut spool = spools.spool(false).unwrap();
    spool.append(&bytes, &spools).unwrap();
    let part = spool.finish();
    assert_eq!(read(&part), bytes);
    let file = part.file.as_ref().unwrap();
    // As after a failed write: the page is empty.
    file.write_at(&[0; 4096], 8192).unwrap();
    let (mut seen, mut reader) = (Vec::new(), part.reader(&|| false));
    assert!(reader.read_to_end(&mut seen).is_err());
    assert!(seen.len() < bytes.len());
    file.write_at(&[7; 4096], 8192).unwrap();
    assert_eq!(read(&part), bytes);
    file.set_len(99_999).unwrap();
    assert!(part.reader(&|| false).read_to_end(&mut seen).is_err());
}

#[test]
fn nothing_is_hashed_that_nobody_asks_for_and_nothing_has_its_hash() {
    let (_dir, spools) = directory(0);
    assert!(spools.spool(false).unwrap().finish().sha256().is_none());
    assert!(Part::empty(false).sha256().is_none());
    let empty = spools.spool(true).unwrap().finish();
    assert_eq!(empty.sha256(), Part::empty(true).sha256());
    assert_eq!(read(&Part::empty(true)), b"");
}

#[test]
fn a_part_that_nobody_wants_any_more_fails_to_be_read() {
    let (_dir, spools) = directory(0);
    let mut spool = spools.spool(false).unwrap();
    spool.append(&[7; 100], &spools).unwrap();
    let part = spool.finish();
    let ended = std::cell::Cell::new(false);
    let is_ended = || ended.get();
    let mut reader = part.reader(&is_ended);
    let mut buffer = [0; 10];
    reader.read_exact(&mut buffer).unwrap();
    ended.set(true);
    assert!(reader.read(&mut buffer).is_err());
}

#[test]
fn the_reserve_of_the_disk_is_not_touched() {
    let (_dir, spools) = directory(u64::MAX);
    let mut spool = spools.spool(false).unwrap();
    let error = spool.append(b"x", &spools).unwrap_err();
    let StoreError::Full { needed, available } = error else {
        panic!("not full but {error}");
    };
    assert_eq!((needed, available), (1, 0));
}

#[test]
fn what_one_spool_was_granted_no_other_is_given_and_it_comes_back() {
    let (_dir, spools) = directory(0);
    let promised = || *lock(&spools.promised);
    let mut held: Vec<_> = (0..3).map(|_| spools.spool(false).unwrap()).collect();
    for spool in &mut held {
        spool.append(&[1; 1000], &spools).unwrap();
        spool.append(&[1; 24], &spools).unwrap();
    }
    assert_eq!(promised(), 3 * (GRANT - 24));
    // The rest of a disk that has but a little more is for nobody else.
    let all = u64::MAX / 2;
    *lock(&spools.promised) += all;
    let error = spools.spool(false).unwrap().append(b"x", &spools);
    assert!(matches!(error, Err(StoreError::Full { available: 0, .. })));
    // Who was granted goes on.
    held[0].append(&[1; 1 << 20], &spools).unwrap();
    *lock(&spools.promised) -= all;
    // A complete part takes no more.
    let part = held.pop().map(Spool::finish);
    assert_eq!(promised(), 2 * (GRANT - 24) - (1 << 20));
    drop((part, held));
    assert_eq!(promised(), 0);
}
