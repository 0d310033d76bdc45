//! Several files as one archive: what is counted, what stays, and what breaks it off.

use super::fault_metadata::Fail;
use super::world::*;
use crate::store::{Fault, Operation, Store};

impl World {
    fn open_zip(&self, files: &[&FileView]) -> Result<OpenZip, Error> {
        let ids: Vec<_> = files.iter().map(|view| view.id.reveal()).collect();
        self.service.open_zip(&self.owner, &ids)
    }

    fn zip(&self, files: &[&FileView], counts: bool) -> Result<ZipDownload, Error> {
        let zip = self.open_zip(files)?;
        self.service.zip(zip, counts, HERE)
    }

    /// Whether each file is in the archive that this makes, wherever that has it.
    fn zipped(&self, files: &[(&FileView, &[u8])]) -> bool {
        let views: Vec<_> = files.iter().map(|(view, _)| *view).collect();
        let zip = self.open_zip(&views).unwrap();
        let length = zip.length();
        let mut client = Client::patient();
        let download = self.service.zip(zip, false, HERE).unwrap();
        download.send(&mut client).unwrap();
        assert_eq!(client.body.len() as u64, length);
        let has = |bytes: &[u8]| {
            let mut windows = client.body.windows(bytes.len());
            windows.any(|window| window == bytes)
        };
        files.iter().all(|(_, bytes)| has(bytes))
    }
}

/// Links with so many downloads, each with other bytes.
fn several(world: &World, count: u32, each: usize, of: u8) -> Vec<FileView> {
    let upload = |n| world.upload(&vec![n; each], times(count));
    (0..of).map(upload).collect()
}

fn all(views: &[FileView]) -> Vec<&FileView> {
    // In the order in which they come.
    let mut all: Vec<_> = views.iter().collect();
    all.sort_by_key(|view| view.id.reveal());
    all
}

#[test]
fn files_of_every_kind_are_packed() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        let (large, small) = (content(MIB + 5), content(300));
        let one = world.upload(&large, times(1));
        let two = world.upload(&small, unlimited());
        assert!(world.zipped(&[(&one, &large), (&two, &small)]), "{mode:?}");
        // Twice the same bytes, kept once.
        let three = world.upload(&small, times(1));
        assert!(world.zipped(&[(&two, &small), (&three, &small)]));
        assert_eq!(world.left(&one), (1, 0, 0));
    }
}

#[test]
fn a_counted_zip_is_a_download_of_each_file_and_takes_few_commits() {
    let world = World::new();
    let views = several(&world, 2, 1_000, 100);
    let free = world.upload(b"free", unlimited());
    let mut files = all(&views);
    files.push(&free);
    let zip = world.open_zip(&files).unwrap();
    let calls = world.metadata_faults.calls();
    let download = world.service.zip(zip, true, HERE).unwrap();
    assert!(views.iter().all(|view| world.left(view) == (1, 1, 0)));
    let listing = 100;
    let mut client = Client::patient();
    download.send(&mut client).unwrap();
    let used = world.metadata_faults.calls() - calls - listing;
    assert!(used < 10, "{used} calls for a hundred files");
    assert!(views.iter().all(|view| world.left(view) == (1, 0, 1)));
    assert_eq!(world.left(&free).2, 1);
    world
        .zip(&all(&views), true)
        .unwrap()
        .send(&mut Client::patient())
        .unwrap();
    let over = |view: &FileView| gone(&world.service.file(&world.owner, view.id.reveal()));
    assert!(views.iter().all(over));
    world.service.sweep().unwrap();
    assert_eq!(world.blobs().len(), 1);
}

#[test]
fn all_downloads_are_had_or_none_is_taken() {
    let world = World::new();
    let views = several(&world, 1, 1_000, 5);
    let held = world.ask(&views[3], 0..1_000, None, THERE).unwrap();
    assert!(busy(&world.zip(&all(&views), true)));
    for (n, view) in views.iter().enumerate().filter(|(n, _)| *n != 3) {
        assert_eq!(world.left(view), (1, 0, 0), "{n}");
    }
    assert!(
        world.zip(&all(&views), false).is_ok(),
        "this one does not count"
    );
    drop(held);
    let unsent = world.zip(&all(&views), true).unwrap();
    assert!(busy(&world.ask(&views[0], 0..1_000, None, THERE)));
    drop(unsent);
    assert!(views.iter().all(|view| world.left(view) == (1, 0, 0)));
    world
        .service
        .delete(&world.owner, views[4].id.reveal(), 60)
        .unwrap();
    assert!(gone(&world.open_zip(&all(&views))));
}

#[test]
fn a_client_that_goes_away_has_what_was_acknowledged_and_no_more() {
    let world = World::new();
    let each = 2 * MIB;
    let views = several(&world, 1, each, 5);
    let files = all(&views);
    let download = world.zip(&files, true).unwrap();
    // Two whole files, and a part of the third.
    let mut client = Client::taking(2 * each as u64 + 500_000);
    assert!(download.send(&mut client).is_err());
    assert!(gone(&world.open(files[0])) && gone(&world.open(files[1])));
    assert_eq!(
        world.left(files[2]),
        (0, 1, 0),
        "it may come back for the rest"
    );
    assert_eq!(world.left(files[3]), (1, 0, 0));
    assert_eq!(world.left(files[4]), (1, 0, 0));
    // From the same address it is continued, and then it is the one download.
    let rest = world.ask(files[2], 0..each as u64, None, HERE).unwrap();
    rest.send(&mut Client::patient()).unwrap();
    assert!(gone(&world.open(files[2])));
}

#[test]
fn what_was_sent_and_not_acknowledged_does_not_count() {
    let world = World::new();
    let views = several(&world, 1, 1_000, 3);
    let files = all(&views);
    let zip = world.open_zip(&files).unwrap();
    let length = zip.length();
    let download = world.service.zip(zip, true, HERE).unwrap();
    let mut client = Client::deaf_after(1_200, length);
    assert!(download.send(&mut client).is_err());
    assert!(gone(&world.open(files[0])));
    assert_eq!(world.left(files[2]), (1, 0, 0));
}

#[test]
fn an_empty_file_in_a_zip_counts_when_it_is_reached() {
    let world = World::new();
    let one = world.upload(b"", times(1));
    let two = world.upload(b"", times(1));
    let files = [&one, &two];
    let broken = world.zip(&files, true).unwrap();
    assert!(broken.send(&mut Client::taking(10)).is_err());
    assert!(world.open(&one).is_ok() && world.open(&two).is_ok());
    world
        .zip(&files, true)
        .unwrap()
        .send(&mut Client::patient())
        .unwrap();
    assert!(gone(&world.open(&one)) && gone(&world.open(&two)));
}

#[test]
fn a_file_that_ends_while_it_waits_to_be_packed_is_packed() {
    let world = World::new();
    let (first, second) = (content(50_000), content(60_000));
    let one = world.upload(&first, times(1));
    let two = world.upload(&second, times(1));
    let download = world.zip(&[&one, &two], true).unwrap();
    for view in [&one, &two] {
        world
            .service
            .delete(&world.owner, view.id.reveal(), 0)
            .unwrap();
    }
    world.service.sweep().unwrap();
    assert_eq!(world.blobs().len(), 2, "they are on their way to somebody");
    let mut client = Client::patient();
    download.send(&mut client).unwrap();
    for bytes in [&first, &second] {
        assert!(
            client
                .body
                .windows(bytes.len())
                .any(|window| window == bytes)
        );
    }
    world.service.sweep().unwrap();
    assert!(world.blobs().is_empty());
}

#[test]
fn a_damaged_file_breaks_the_zip_off_and_its_download_does_not_count() {
    for first in [true, false] {
        let world = World::new();
        let views = several(&world, 1, 100_000, 2);
        let files = all(&views);
        let damaged = if first { files[0] } else { files[1] };
        let lookup = crate::pipeline::seal::keys::lookup(
            crate::pipeline::seal::keys::TokenKind::Link,
            &damaged.id,
        );
        let blob = world.metadata.link(&lookup).unwrap().unwrap().blob;
        world.store.delete(&blob).unwrap();
        match world.zip(&files, true) {
            Err(Error::Damaged) => assert!(first, "told before the first byte"),
            Ok(download) => {
                let mut client = Client::patient();
                assert!(download.send(&mut client).is_err());
                assert!(!first && client.body.len() > 100_000);
                assert!(gone(&world.open(files[0])), "this one was delivered");
            }
            Err(other) => panic!("{other}"),
        }
        assert_eq!(world.left(damaged), (1, 0, 0));
    }
}

#[test]
fn a_crash_counts_what_was_near_its_last_byte_and_nothing_else() {
    let mut world = World::new();
    let near = several(&world, 1, 1_000, 10);
    let far = world.upload(&content(MIB), times(1));
    let farther: Vec<_> = (0..3)
        .map(|n| world.upload(&content(MIB + 1 + n), times(1)))
        .collect();
    let files: Vec<_> = near.iter().chain([&far]).chain(&farther).collect();
    let download = world.zip(&files, true).unwrap();
    // The process ends before a byte has left.
    std::mem::forget(download);
    world.restart();
    world.clock.advance(600);
    world.service.sweep().unwrap();
    for view in &files {
        assert_eq!(world.left(view), (1, 0, 0), "nothing was on its way");
    }
    // It ends in the middle of the database's work.
    for after in 0..6 {
        let mut world = World::new();
        let views = several(&world, 1, 300_000, 3);
        let zip = world.open_zip(&all(&views)).unwrap();
        world.metadata_faults.fail_after(after, Fail::Gone);
        let mut client = Client::patient();
        if let Ok(download) = world.service.zip(zip, true, HERE) {
            let _ = download.send(&mut client);
        }
        let size = 300_000;
        world.restart();
        world.clock.advance(601);
        world.service.sweep().unwrap();
        for (n, view) in views.iter().enumerate() {
            let byte = u8::try_from(n).unwrap();
            let got = client.body.iter().filter(|b| **b == byte).count() >= size
                && client
                    .body
                    .windows(size)
                    .any(|w| w.iter().all(|b| *b == byte));
            let open = world.open(view).is_ok();
            assert!(!(got && open), "{after}: a second copy of {n}");
        }
    }
}

#[test]
fn an_owner_who_takes_downloads_back_ends_the_zip() {
    let world = World::new();
    let views = several(&world, 1, 200_000, 2);
    let files = all(&views);
    let download = world.zip(&files, true).unwrap();
    let changes = Changes {
        count: Some(Count::Limited(0)),
        ..Changes::default()
    };
    let id = files[1].id.reveal();
    world.service.modify(&world.owner, id, changes).unwrap();
    let mut client = Client::patient();
    assert!(download.send(&mut client).is_err());
    assert!(client.body.len() < 400_000);
}

#[test]
fn others_files_are_not_packed() {
    let world = World::new();
    let mine = world.upload(b"mine", times(1));
    let other = world.another("mallory");
    let mut input = &b"theirs"[..];
    let received = world.service.receive(&other, &mut input, None).unwrap();
    let theirs = world.service.publish(&other, received, times(1)).unwrap();
    let ids = [theirs.id.reveal(), mine.id.reveal()];
    for session in [&other, &world.owner] {
        let refused = world.service.open_zip(session, &ids);
        assert!(matches!(refused, Err(Error::Forbidden)));
    }
}

#[test]
fn all_zips_together_take_bounded_room_and_give_it_back() {
    let world = World::new();
    let view = world.upload(b"x", unlimited());
    let many = several(&world, 1, 10, 250);
    let files = all(&many);
    let mut open = Vec::new();
    let refused = loop {
        match world.open_zip(&files) {
            Ok(zip) => open.push(zip),
            Err(error) => break error,
        }
        assert!(open.len() < 1_000);
    };
    assert!(matches!(refused, Error::TooMany(wait) if wait.as_secs() > 0));
    assert_eq!(open.len(), 8_192 / 250);
    drop(open.pop());
    assert!(world.open_zip(&[&view]).is_ok());
    assert!(world.open_zip(&files).is_ok());
    let unknown = "0123456789012345678901";
    let ids: Vec<_> = (0..1_024).map(|n| format!("{unknown}{n}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    assert!(gone(&world.service.open_zip(&world.owner, &ids[..10])));
    assert!(world.open_zip(&files).is_ok(), "what failed holds nothing");
}

#[test]
fn a_store_that_fails_in_the_middle_breaks_the_zip_off() {
    let world = World::new();
    let views = several(&world, 1, 300_000, 3);
    let files = all(&views);
    let download = world.zip(&files, true).unwrap();
    world
        .faults
        .fail_after_only(Operation::Open, 0, Fault::Unavailable);
    let mut client = Client::patient();
    assert!(download.send(&mut client).is_err());
    assert!(gone(&world.open(files[0])) && world.left(files[2]) == (1, 0, 0));
}
