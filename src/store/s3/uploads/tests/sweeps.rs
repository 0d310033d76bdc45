//! What becomes of uploads that nobody ended.

use super::*;

/// The document of a listing of uploads.
fn listing(entries: &[(&str, &str)]) -> String {
    let time = "2001-09-09T01:46:39.000Z";
    let entry = |(key, upload): &(&str, &str)| {
        format!(
            "<Upload><Key>{key}</Key><UploadId>{upload}</UploadId><Initiated>{time}</Initiated></Upload>"
        )
    };
    let entries: String = entries.iter().map(entry).collect();
    format!(
        "<ListMultipartUploadsResult>{entries}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
    )
}

#[test]
fn who_may_not_list_uploads_is_told_the_name_of_the_right() {
    let world = world(&[(Op::List, Fault::Early)]);
    let why = reason(world.uploads.sweep_old(DAY).map(drop));
    assert!(why.contains("s3:ListBucketMultipartUploads"), "{why}");
}

#[test]
fn an_upload_that_could_not_be_given_up_is_ended_by_the_next_sweep() {
    let fault = Fault::Status(500, "InternalError", None);
    let plan = [(Op::Abort, fault); 4];
    let world = world(&plan);
    let mut stage = world.uploads.stage(&ID, Some(LENGTH as u64)).unwrap();
    stage.write(&bytes()).unwrap();
    drop(stage);
    until(|| world.server.count(Op::Abort) == 4 && world.uploads.context.live().is_empty());
    assert_eq!((world.server.uploads(), world.open()), (1, 1));
    assert_eq!(world.uploads.sweep().unwrap(), 1);
    assert_eq!((world.server.uploads(), world.open()), (0, 0));
    assert_eq!(world.uploads.sweep().unwrap(), 0);
}

#[test]
fn what_an_earlier_process_left_is_ended_also_when_it_is_gone() {
    let world = world(&[]);
    let upload = world
        .uploads
        .context
        .bucket
        .begin(&world.key(), &Patient)
        .name
        .unwrap();
    world.journal.begun(&world.upload(ID, &upload)).unwrap();
    for n in 0..200 {
        let gone = world.upload(BlobId([n; 16]), "gone");
        world.journal.begun(&gone).unwrap();
    }
    assert_eq!(world.uploads.sweep().unwrap(), 201);
    assert_eq!((world.server.uploads(), world.open()), (0, 0));
}

#[test]
fn one_upload_that_cannot_be_ended_keeps_no_other_from_it() {
    let world = world(&[(Op::Abort, Fault::Early)]);
    for n in 1..=3 {
        let gone = world.upload(BlobId([n; 16]), "gone");
        world.journal.begun(&gone).unwrap();
    }
    let why = reason(world.uploads.sweep().map(drop));
    assert!(why.contains("rights"), "{why}");
    assert_eq!(world.open(), 1);
    assert_eq!(world.uploads.sweep().unwrap(), 1);
}

#[test]
fn uploads_that_no_journal_knows_are_ended_a_day_later_where_they_can_be_listed() {
    let world = world(&[]);
    assert_eq!(
        world.uploads.sweep_old(DAY).unwrap(),
        0,
        "it cannot be listed"
    );
    let begin = |id: &BlobId| {
        let bucket = &world.uploads.context.bucket;
        bucket.begin(&bucket.key(id), &Patient).name.unwrap()
    };
    let (old, young, alive) = (begin(&ID), begin(&BlobId([2; 16])), begin(&BlobId([3; 16])));
    let own = world.upload(BlobId([3; 16]), &alive);
    world.uploads.context.live().insert(live(&own));
    let entry = |key: &str, upload: &str, time: &str| {
        format!(
            "<Upload><Key>{key}</Key><UploadId>{upload}</UploadId><Initiated>{time}</Initiated></Upload>"
        )
    };
    let long_ago = "2001-09-08T01:46:39.000Z";
    let key = |id: BlobId| format!("files/{}", id.to_hex());
    let entries = [
        entry(&world.key(), &old, long_ago),
        entry(&key(BlobId([2; 16])), &young, "2001-09-08T01:46:41.000Z"),
        entry(&key(BlobId([3; 16])), &alive, long_ago),
        entry("files/of-somebody-else", &young, long_ago),
    ];
    world.server.list(format!(
        "<ListMultipartUploadsResult>{}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        entries.concat()
    ));
    assert_eq!(world.uploads.sweep_old(DAY).unwrap(), 1);
    assert_eq!(
        (world.server.uploads(), world.server.count(Op::Abort)),
        (2, 1)
    );
}

#[test]
fn a_blob_that_is_tried_again_leaves_nothing_of_the_first_try() {
    // Giving the first try up fails; the second goes on while the sweep runs.
    let fault = Fault::Status(500, "InternalError", None);
    let world = world_of(1, &[(Op::Abort, fault); 4]);
    let begin = || {
        let mut stage = world.uploads.stage(&ID, Some(LENGTH as u64)).unwrap();
        stage.write(&bytes()).unwrap();
        stage
    };
    drop(begin());
    until(|| world.server.count(Op::Abort) == 4 && world.uploads.context.live().is_empty());
    let second = begin();
    assert_eq!((world.server.uploads(), world.open()), (2, 2));
    assert_eq!(world.uploads.sweep().unwrap(), 1, "the first");
    assert_eq!((world.server.uploads(), world.open()), (1, 1));
    second.commit().unwrap();
    assert!(world.holds(&bytes()));
    assert_eq!((world.server.uploads(), world.open()), (0, 0));
}

#[test]
fn what_is_open_in_another_bucket_is_neither_ended_here_nor_forgotten() {
    let world = world(&[]);
    let elsewhere = OpenUpload {
        place: [1; 16],
        ..world.upload(ID, "elsewhere")
    };
    world.journal.begun(&elsewhere).unwrap();
    assert_eq!(world.uploads.sweep().unwrap(), 0);
    assert_eq!((world.open(), world.server.count(Op::Abort)), (1, 0));
}

#[test]
fn one_listed_upload_that_cannot_be_ended_keeps_no_other_from_it() {
    let world = world(&[(Op::Abort, Fault::Early)]);
    let entries: String = [4, 5]
        .map(|n| {
            let id = BlobId([n; 16]);
            let bucket = &world.uploads.context.bucket;
            let upload = bucket.begin(&bucket.key(&id), &Patient).name.unwrap();
            let key = bucket.key(&id);
            let time = "2001-09-08T01:46:39.000Z";
            format!("<Upload><Key>{key}</Key><UploadId>{upload}</UploadId><Initiated>{time}</Initiated></Upload>")
        })
        .concat();
    world.server.list(format!(
        "<ListMultipartUploadsResult>{entries}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
    ));
    let why = reason(world.uploads.sweep_old(DAY).map(drop));
    assert!(why.contains("rights"), "{why}");
    assert_eq!(
        (world.server.uploads(), world.server.count(Op::Abort)),
        (1, 2)
    );
}

#[test]
fn an_upload_whose_beginning_had_no_answer_is_found_by_its_key() {
    let bytes = bytes();
    let world = world(&[(Op::Begin, Fault::LostAnswer)]);
    let mut stage = world.uploads.stage(&ID, Some(LENGTH as u64)).unwrap();
    stage.write(&bytes).unwrap();
    // One that nobody knows, and the one that goes on.
    assert_eq!(world.server.uploads(), 2);
    let key = world.key();
    world
        .server
        .list(listing(&[(&key, "upload-1"), (&key, "upload-2")]));
    assert_eq!(world.uploads.sweep().unwrap(), 1);
    assert_eq!(world.server.uploads(), 1);
    stage.commit().unwrap();
    assert!(world.holds(&bytes));
    assert_eq!((world.server.uploads(), world.open()), (0, 0));
}

#[test]
fn what_was_taken_down_before_its_beginning_is_gone_when_there_was_none() {
    let world = world(&[(Op::Begin, Fault::Early)]);
    reason(world.put(&bytes()));
    assert_eq!((world.server.uploads(), world.open()), (0, 0));
    // And is left when nobody knows.
    let plan = [(Op::Begin, Fault::LostAnswer); 4];
    let world = world_of(1, &plan);
    reason(world.put(&bytes()));
    assert_eq!((world.server.uploads(), world.open()), (4, 1));
    let key = world.key();
    let names = ["upload-1", "upload-2", "upload-3", "upload-4"];
    world.server.list(listing(&names.map(|name| (&*key, name))));
    assert_eq!(world.uploads.sweep().unwrap(), 1);
    assert_eq!((world.server.uploads(), world.open()), (0, 0));
}

#[test]
fn an_upload_that_the_server_never_ends_is_forgotten_after_two_weeks() {
    let world = world(&[(Op::Abort, Fault::Early), (Op::Abort, Fault::Early)]);
    for (n, days) in [(1, 13), (2, 14)] {
        let old = OpenUpload {
            begun: NOW.plus(-days * 86_400),
            ..world.upload(BlobId([n; 16]), "stays")
        };
        world.journal.begun(&old).unwrap();
    }
    reason(world.uploads.sweep().map(drop));
    assert_eq!(world.open(), 1);
}

#[test]
fn a_sweep_that_failed_is_repeated_in_half_an_hour_and_not_before() {
    let world = world(&[(Op::Abort, Fault::Early)]);
    world.journal.begun(&world.upload(ID, "gone")).unwrap();
    world.uploads.end_abandoned();
    world.uploads.look_again();
    world.clock.0.fetch_add(29 * 60, Ordering::SeqCst);
    world.uploads.look_again();
    assert_eq!((world.open(), world.server.count(Op::Abort)), (1, 1));
    world.clock.0.fetch_add(60, Ordering::SeqCst);
    world.uploads.look_again();
    until(|| world.open() == 0);
    world.uploads.look_again();
    assert_eq!(world.server.count(Op::Abort), 2);
}

#[test]
fn a_server_that_lists_uploads_of_whole_names_only_is_asked_for_all_of_them() {
    let world = world(&[]);
    world.server.list(listing(&[]));
    assert_eq!(world.uploads.sweep_old(Duration::ZERO).unwrap(), 0);
    assert_eq!(world.server.count(Op::List), 2);
    let id = BlobId([7; 16]);
    let key = world.uploads.context.bucket.key(&id);
    world
        .server
        .list(listing(&[(&key, "old"), ("files/x", "other")]));
    assert_eq!(world.uploads.sweep_old(Duration::ZERO).unwrap(), 1);
    assert_eq!(world.server.count(Op::List), 3);
}
