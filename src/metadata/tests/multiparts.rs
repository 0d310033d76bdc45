//! What is known of uploads in parts.

use super::*;

#[test]
fn what_has_begun_and_not_ended_is_told_in_order_and_in_pages() {
    let db = fresh();
    assert_eq!(db.multiparts(None, 10).unwrap(), []);
    db.multipart_ended(&blob_id(9)).unwrap();
    for n in [3, 1, 2] {
        db.multipart_begun(&blob_id(n), &format!("upload-{n}"))
            .unwrap();
    }
    // The same blob begun again is one upload: the last.
    db.multipart_begun(&blob_id(1), "another").unwrap();
    let first = db.multiparts(None, 2).unwrap();
    let expected = [(1, "another"), (2, "upload-2")].map(|(n, u)| (blob_id(n), u.to_owned()));
    assert_eq!(first, expected);
    let rest = db.multiparts(Some(&first[1].0), 2).unwrap();
    assert_eq!(rest, [(blob_id(3), "upload-3".to_owned())]);
    for n in [1, 2, 3, 3] {
        db.multipart_ended(&blob_id(n)).unwrap();
    }
    assert_eq!(db.multiparts(None, 10).unwrap(), []);
    db.verify().unwrap();
}

#[test]
fn they_survive_the_process_and_a_file_without_them_opens_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mayfly.redb");
    let fatal: OnFatal = Arc::new(|_| {});
    let db = RedbMetadata::create(&path, Arc::clone(&fatal)).unwrap();
    assert_eq!(db.multiparts(None, 1).unwrap(), []);
    db.verify().unwrap();
    drop(db);
    let db = RedbMetadata::open(&path, Arc::clone(&fatal)).unwrap();
    db.multipart_begun(&blob_id(1), "upload").unwrap();
    drop(db);
    let db = RedbMetadata::open(&path, fatal).unwrap();
    let open = db.multiparts(None, 10).unwrap();
    assert_eq!(open, [(blob_id(1), "upload".to_owned())]);
    db.verify().unwrap();
}
