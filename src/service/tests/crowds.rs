//! Downloads across crashes and in crowds: never more copies than the link allows.

use super::fault_metadata::{Fail, MetadataFaults};
use super::world::*;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn a_restart_continues_open_leases_and_counts_closing_ones() {
    let mut world = World::new();
    let bytes = content(MIB);
    let open = world.upload(&bytes, times(1));
    let closing = world.upload(&content(MIB + 1), times(1));

    let download = world.ask(&open, 0..open.size, None, HERE).unwrap();
    let cookie = download.cookie.clone().unwrap().0;
    assert!(download.send(&mut Client::taking(400_000)).is_err());
    let download = world.ask(&closing, 0..closing.size, None, HERE).unwrap();
    let size = closing.size;
    assert!(
        download
            .send(&mut Client::deaf_after(size - 1, size))
            .is_err()
    );

    world.restart();
    assert!(gone(&world.open(&closing)), "nobody can tell, so it counts");
    assert_eq!(world.left(&open), (0, 1, 0));
    assert!(busy(&world.ask(&open, 0..open.size, None, THERE)));
    let rest = world
        .ask(&open, 400_000..open.size, Some(&cookie), THERE)
        .unwrap();
    let mut client = Client::patient();
    rest.send(&mut client).unwrap();
    assert_eq!(client.body, bytes[400_000..]);
    assert!(
        gone(&world.open(&open)),
        "the last byte completes a lease of an earlier process"
    );
}

#[test]
fn a_start_settles_any_number_of_small_downloads_in_one_change() {
    let mut world = World::new();
    let views: Vec<_> = (0..15u8).map(|n| world.upload(&[n; 9], times(1))).collect();
    for view in &views {
        let download = world.ask(view, 0..view.size, None, HERE).unwrap();
        // The process ends before it knows what became of it.
        std::mem::forget(download);
    }
    world.restart();
    let calls = world.metadata_faults.calls();
    assert_eq!(calls, 5, "the clock twice, is it new, settle, what is open");
    assert!(views.iter().all(|view| gone(&world.open(view))));
    assert!(world.blobs().is_empty());
}

#[test]
fn a_lease_of_an_earlier_process_goes_back_in_time() {
    let mut world = World::new();
    let view = world.upload(&content(MIB), times(1));
    let download = world.ask(&view, 0..view.size, None, HERE).unwrap();
    assert!(download.send(&mut Client::taking(400_000)).is_err());
    world.restart();
    world.service.sweep().unwrap();
    assert_eq!(world.left(&view), (0, 1, 0));
    world.clock.advance(600);
    world.service.sweep().unwrap();
    assert_eq!(world.left(&view), (1, 0, 0));
}

#[test]
fn a_crash_in_the_middle_never_gives_a_second_copy() {
    // The process dies at every 16 KiB of the body: the client has what left until then.
    let bytes = content(10 * 16 * 1024 + 7);
    let size = bytes.len() as u64;
    for died_at in (0..=size).step_by(16 * 1024).chain([size]) {
        let mut world = World::new();
        let view = world.upload(&bytes, times(1));
        let download = world.ask(&view, 0..size, None, HERE).unwrap();
        let mut dying = Dying {
            client: Client::taking(died_at),
            process: &world.metadata_faults,
        };
        let _ = download.send(&mut dying);
        let had_all = dying.client.body.len() as u64 == size;
        world.restart();
        match world.ask(&view, 0..size, None, HERE) {
            Ok(again) => {
                assert!(!had_all, "died at {died_at}");
                again.send(&mut Client::patient()).unwrap();
                assert!(gone(&world.open(&view)));
            }
            Err(Error::NotFound) => {}
            Err(error) => panic!("died at {died_at}: {error}"),
        }
    }
}

/// The output of a process that is killed at the last byte that its client takes: nothing of what
/// it does afterwards reaches the database.
struct Dying<'a> {
    client: Client,
    process: &'a MetadataFaults,
}

impl Output for Dying<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let taken = self.client.write_all(bytes);
        if taken.is_err() {
            self.process.fail_after(0, Fail::Gone);
        }
        taken
    }

    fn send_file(&mut self, _: &std::fs::File, _: u64, _: u64) -> std::io::Result<()> {
        unreachable!("a store in memory has no files")
    }

    fn settle(&mut self) -> u64 {
        self.process.fail_after(0, Fail::Gone);
        0
    }

    fn ready(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn one_download_and_many_clients_that_abort_give_one_whole_copy() {
    const CLIENTS: u64 = 16;
    for round in 0..12u64 {
        let world = World::new();
        let bytes = content(200_000 + usize::try_from(round).unwrap());
        let view = world.upload(&bytes, times(1));
        let whole = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (world, view, whole) = (&world, &view, &whole);
                scope.spawn(move || {
                    let mut seed = round * CLIENTS + client + 1;
                    for _ in 0..6 {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let stops = if seed >> 62 == 0 {
                            u64::MAX
                        } else {
                            (seed >> 33) % view.size
                        };
                        let peer = if client % 2 == 0 { HERE } else { THERE };
                        let Ok(download) = world.ask(view, 0..view.size, None, peer) else {
                            continue;
                        };
                        let mut output = Client::taking(stops);
                        let sent = download.send(&mut output);
                        assert_eq!(sent.is_ok(), output.body.len() as u64 == view.size);
                        if sent.is_ok() {
                            whole.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        match whole.into_inner() {
            0 => {
                world.clock.advance(600);
                world.service.sweep().unwrap();
                assert_eq!(world.fetch(&view).unwrap(), bytes, "usable again");
            }
            1 => assert_eq!(world.metadata.link_count().unwrap(), 0),
            n => panic!("{n} whole copies in round {round}"),
        }
    }
}

#[test]
fn n_downloads_are_n_whatever_the_number_of_clients() {
    let world = World::new();
    let view = world.upload(&content(70_000), times(5));
    let whole = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                if world.fetch(&view).is_ok() {
                    whole.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let served = whole.into_inner();
    assert!(served <= 5, "{served}");
    for _ in served..5 {
        world.fetch(&view).unwrap();
    }
    assert_eq!(world.metadata.link_count().unwrap(), 0);
}
