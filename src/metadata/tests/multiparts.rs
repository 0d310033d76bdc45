//! What is known of uploads in parts.

use super::*;

fn upload(n: u64, name: &str) -> Multipart {
    Multipart {
        id: blob_id(n),
        place: [7; 16],
        upload: name.to_owned(),
        begun: Timestamp(1_700_000_000),
    }
}

#[test]
fn what_has_begun_and_not_ended_is_told_in_the_order_of_blobs_and_in_pages() {
    let db = fresh();
    assert_eq!(db.multiparts(None, 10).unwrap(), []);
    db.multipart_ended(&upload(9, "none")).unwrap();
    for n in [3, 1, 2, 1] {
        db.multipart_begun(&upload(n, "upload")).unwrap();
    }
    let first = db.multiparts(None, 2).unwrap();
    assert_eq!(first, [1, 2].map(|n| upload(n, "upload")));
    let rest = db.multiparts(Some(&first[1]), 2).unwrap();
    assert_eq!(rest, [upload(3, "upload")]);
    for n in [1, 2, 3, 3] {
        db.multipart_ended(&upload(n, "upload")).unwrap();
    }
    assert_eq!(db.multiparts(None, 10).unwrap(), []);
    db.verify().unwrap();
}

#[test]
fn a_blob_that_is_begun_again_does_not_make_its_first_upload_forgotten() {
    let db = fresh();
    let elsewhere = Multipart {
        place: [8; 16],
        ..upload(1, "first")
    };
    let all = [upload(1, "first"), upload(1, "second"), elsewhere];
    all.iter().for_each(|u| db.multipart_begun(u).unwrap());
    assert_eq!(db.multiparts(None, 10).unwrap().len(), 3);
    // A page may end between two uploads of one blob.
    let mut open = db.multiparts(None, 1).unwrap();
    for _ in 0..2 {
        open.extend(db.multiparts(open.last(), 1).unwrap());
    }
    assert!(all.iter().all(|upload| open.contains(upload)));
    db.multipart_ended(&all[0]).unwrap();
    let left = db.multiparts(None, 10).unwrap();
    assert!(left.len() == 2 && !left.contains(&all[0]));
    db.verify().unwrap();
}

#[test]
fn an_upload_gets_its_name_in_one_step() {
    let db = fresh();
    db.multipart_begun(&upload(1, "")).unwrap();
    assert_eq!(db.multiparts(None, 10).unwrap(), [upload(1, "")]);
    db.multipart_named(&upload(1, ""), &upload(1, "name"))
        .unwrap();
    assert_eq!(db.multiparts(None, 10).unwrap(), [upload(1, "name")]);
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
    db.multipart_begun(&upload(1, "upload")).unwrap();
    drop(db);
    let db = RedbMetadata::open(&path, fatal).unwrap();
    let open = db.multiparts(None, 10).unwrap();
    assert_eq!(open, [upload(1, "upload")]);
    db.verify().unwrap();
}
