//! What a download is, as clients see it.

use super::world::*;
use crate::service::lease_book::LEASES;

#[test]
fn a_link_serves_its_downloads_and_dies_with_its_bytes() {
    for size in [0, 1, 16 * 1024, 16 * 1024 + 1, MIB + 5] {
        let world = World::new();
        let bytes = content(size);
        let view = world.upload(&bytes, times(2));
        assert_eq!(world.fetch(&view).unwrap(), bytes);
        assert_eq!(world.left(&view), (1, 0, 1), "{size} bytes");
        assert_eq!(world.blobs().len(), 1);
        assert_eq!(world.fetch(&view).unwrap(), bytes);
        assert!(gone(&world.open(&view)), "{size} bytes");
        assert!(
            world.blobs().is_empty(),
            "the bytes go with the last download"
        );
    }
}

#[test]
fn nobody_else_gets_in_while_a_lease_holds_the_last_download() {
    let world = World::new();
    let view = world.upload(&content(MIB), times(1));
    let first = world.ask(&view, 0..view.size, None, HERE).unwrap();
    assert!(busy(&world.ask(&view, 0..view.size, None, THERE)));
    assert!(
        busy(&world.ask(&view, 0..view.size, None, HERE)),
        "same address, same bytes"
    );
    let mut client = Client::patient();
    first.send(&mut client).unwrap();
    assert!(gone(&world.ask(&view, 0..view.size, None, THERE)));
}

#[test]
fn an_aborted_download_is_resumed_with_its_cookie_from_anywhere() {
    let world = World::new();
    let bytes = content(MIB);
    let view = world.upload(&bytes, times(1));
    let first = world.ask(&view, 0..view.size, None, HERE).unwrap();
    let (cookie, life) = first.cookie.clone().unwrap();
    assert!(life >= 600);
    let mut client = Client::taking(300_000);
    assert!(first.send(&mut client).is_err());
    assert_eq!(
        world.left(&view),
        (0, 1, 0),
        "broken, and held for its client"
    );

    assert!(busy(&world.ask(
        &view,
        300_000..view.size,
        Some("forged"),
        THERE
    )));
    let rest = world
        .ask(&view, 300_000..view.size, Some(&cookie), THERE)
        .unwrap();
    let mut second = Client::patient();
    rest.send(&mut second).unwrap();
    assert_eq!([client.body, second.body].concat(), bytes);
    assert!(gone(&world.open(&view)));
}

#[test]
fn without_the_cookie_the_address_continues_what_was_not_handed_out() {
    let world = World::new();
    let size = 20 * MIB as u64;
    let bytes = content(20 * MIB);
    let view = world.upload(&bytes, times(1));
    let first = world.ask(&view, 0..size, None, HERE).unwrap();
    let broken_at = 15 * MIB as u64;
    assert!(first.send(&mut Client::taking(broken_at)).is_err());

    // Eight MiB before the break may not have been read; what is before them was.
    assert!(busy(&world.ask(&view, 0..size, None, HERE)));
    assert!(busy(&world.ask(
        &view,
        broken_at - 8 * MIB as u64 - 1..size,
        None,
        HERE
    )));
    assert!(busy(&world.ask(&view, broken_at..size, None, THERE)));
    let rest = world
        .ask(&view, broken_at - 8 * MIB as u64..size, None, HERE)
        .unwrap();
    assert!(
        rest.cookie.is_none(),
        "a neighbour does not become the owner"
    );
    let mut client = Client::patient();
    rest.send(&mut client).unwrap();
    assert_eq!(client.body, bytes[7 * MIB..]);
    assert!(gone(&world.open(&view)));
}

#[test]
fn ranges_in_parallel_are_one_download() {
    let world = World::new();
    let bytes = content(MIB);
    let view = world.upload(&bytes, times(1));
    let quarter = view.size / 4;
    let first = world.ask(&view, 0..quarter, None, HERE).unwrap();
    let cookie = first.cookie.clone().unwrap().0;
    let others: Vec<_> = (1..4)
        .map(|i| {
            let range = i * quarter..(i + 1) * quarter;
            world.ask(&view, range, Some(&cookie), HERE).unwrap()
        })
        .collect();
    assert!(
        busy(&world.ask(&view, 0..1, Some(&cookie), HERE)),
        "these bytes are on their way"
    );
    let mut bodies = Vec::new();
    for download in others.into_iter().chain([first]).rev() {
        assert_eq!(world.left(&view), (0, 1, 0));
        let mut client = Client::patient();
        download.send(&mut client).unwrap();
        bodies.push(client.body);
    }
    let first = bodies.remove(0);
    bodies.reverse();
    assert_eq!([first, bodies.concat()].concat(), bytes);
    assert!(gone(&world.open(&view)));
}

#[test]
fn several_ranges_in_one_answer_are_accounted_behind_their_framing() {
    let world = World::new();
    let bytes = content(MIB);
    let view = world.upload(&bytes, times(1));
    let part = |range: Range<u64>| Part {
        lead: b"--framing--".to_vec(),
        range,
    };
    let half = view.size / 2;
    let wish = DownloadWish {
        parts: vec![part(half..view.size), part(0..half)],
        tail: b"--end--".to_vec(),
        cookie: None,
        peer: HERE,
    };
    let download = world
        .service
        .download(world.open(&view).unwrap(), wish)
        .unwrap();
    let cookie = download.cookie.clone().unwrap().0;
    let body = 11 + half + 11 + half;
    let mut client = Client::deaf_after(body - 1, body + 7);
    assert!(download.send(&mut client).is_err());
    assert_eq!(client.body.len() as u64, body + 7);
    assert_eq!(
        world.left(&view),
        (0, 1, 0),
        "one byte of the file is not acknowledged"
    );
    let last = world
        .ask(&view, half - 1..half, Some(&cookie), HERE)
        .unwrap();
    last.send(&mut Client::patient()).unwrap();
    assert!(gone(&world.open(&view)));
}

#[test]
fn what_nobody_acknowledged_was_no_download() {
    let world = World::new();
    let bytes = content(50_000);
    let view = world.upload(&bytes, times(1));
    let aborted = world.ask(&view, 0..view.size, None, HERE).unwrap();
    assert!(aborted.send(&mut Client::deaf_after(0, view.size)).is_err());
    assert_eq!(world.left(&view), (1, 0, 0), "back at once");
    drop(world.ask(&view, 0..view.size, None, HERE).unwrap());
    assert_eq!(world.left(&view), (1, 0, 0), "never sent");
    assert_eq!(world.fetch(&view).unwrap(), bytes);
}

#[test]
fn a_broken_download_goes_back_when_its_time_is_over() {
    let world = World::new();
    let view = world.upload(&content(MIB), times(1));
    let first = world.ask(&view, 0..view.size, None, HERE).unwrap();
    let cookie = first.cookie.clone().unwrap().0;
    world.clock.advance(3_600);
    world.service.sweep().unwrap();
    assert_eq!(
        world.left(&view),
        (0, 1, 0),
        "a transfer that runs is not silent"
    );
    assert!(first.send(&mut Client::taking(500_000)).is_err());
    world.clock.advance(599);
    world.service.sweep().unwrap();
    assert!(busy(&world.ask(&view, 0..view.size, None, THERE)));
    world.clock.advance(1);
    world.service.sweep().unwrap();
    assert_eq!(world.left(&view), (1, 0, 0));
    let other = world.ask(&view, 0..view.size, None, THERE).unwrap();
    assert!(busy(&world.ask(
        &view,
        500_000..view.size,
        Some(&cookie),
        HERE
    )));
    other.send(&mut Client::patient()).unwrap();
    assert!(gone(&world.open(&view)));
}

#[test]
fn when_all_leases_are_held_the_one_that_was_silent_longest_makes_room() {
    let world = World::new();
    let view = world.upload(&content(40_000), times(5_000));
    let (tell, told) = std::sync::mpsc::channel();
    // On a thread of its own: once, the book was locked twice here, and nobody was served any more.
    std::thread::spawn(move || {
        for n in 0..LEASES as u32 + 3 {
            let [_, _, high, low] = n.to_be_bytes();
            let there = std::net::IpAddr::from([10, 1, high, low]);
            let download = world.ask(&view, 0..view.size, None, there).unwrap();
            assert!(download.send(&mut Client::taking(20_000)).is_err());
        }
        tell.send(world.left(&view)).unwrap();
    });
    let left = told.recv_timeout(std::time::Duration::from_secs(600));
    let held = LEASES as u32;
    assert_eq!(left, Ok((5_000 - held, held, 0)));
}

#[test]
fn parts_from_several_leases_make_no_free_copy() {
    let world = World::new();
    let view = world.upload(&content(MIB), times(3));
    let half = view.size / 2;
    let head = world.ask(&view, 0..half, None, HERE).unwrap();
    head.send(&mut Client::patient()).unwrap();
    world.clock.advance(600);
    world.service.sweep().unwrap();
    assert_eq!(world.left(&view), (3, 0, 0));
    let tail = world.ask(&view, half..view.size, None, HERE).unwrap();
    tail.send(&mut Client::patient()).unwrap();
    world.clock.advance(600);
    world.service.sweep().unwrap();
    assert_eq!(
        world.left(&view),
        (2, 0, 1),
        "who has the last byte has been counted"
    );
}

#[test]
fn the_owner_downloads_without_a_lease_when_it_does_not_count() {
    let world = World::new();
    let bytes = content(100);
    let view = world.upload(&bytes, times(1));
    for counts in [false, false, true] {
        assert_eq!(world.left(&view), (1, 0, 0));
        let file = world
            .service
            .open_own(&world.owner, view.id.reveal(), counts)
            .unwrap();
        let download = world
            .service
            .download(file, wish(0..100, None, HERE))
            .unwrap();
        assert_eq!(download.cookie.is_some(), counts);
        let mut client = Client::patient();
        download.send(&mut client).unwrap();
        assert_eq!(client.body, bytes);
    }
    assert!(gone(&world.open(&view)));
}

#[test]
fn links_without_a_limit_count_whole_downloads_in_batches() {
    let world = World::new();
    let view = world.upload(&content(100), unlimited());
    let send = |range: Range<u64>, mut client: Client| {
        let download = world.ask(&view, range, None, HERE).unwrap();
        assert!(download.cookie.is_none());
        let _ = download.send(&mut client);
    };
    send(0..100, Client::patient());
    send(0..100, Client::taking(99));
    send(0..50, Client::patient());
    send(50..100, Client::patient());
    assert_eq!(world.left(&view).2, 2, "seen before it is written");
    world.service.flush_counts().unwrap();
    assert_eq!(world.left(&view).2, 2);
    world.service.flush_counts().unwrap();
    assert_eq!(world.left(&view).2, 2, "once");
}

#[test]
fn a_download_that_began_just_before_its_link_became_unlimited_is_counted() {
    let world = World::new();
    let view = world.upload(&content(100), times(1));
    let file = world.open(&view).unwrap();
    let changes = Changes {
        count: Some(Count::Unlimited),
        ..Changes::default()
    };
    let id = view.id.reveal();
    world.service.modify(&world.owner, id, changes).unwrap();
    let download = world.service.download(file, wish(0..100, None, HERE));
    download.unwrap().send(&mut Client::patient()).unwrap();
    assert_eq!(world.left(&view).2, 1);
}

#[test]
fn bytes_that_are_none_of_the_file_are_refused() {
    let world = World::new();
    let view = world.upload(&content(100), times(1));
    for range in [0..101, 100..100, 101..102] {
        let result = world.ask(&view, range.clone(), None, HERE);
        assert!(matches!(result, Err(Error::Invalid(_))), "{range:?}");
    }
    assert_eq!(world.left(&view), (1, 0, 0));
}
