//! Machines that run for minutes at a time, with an orderly end or without: what they waited and what
//! they told adds up, and is kept without writing much.

use super::clock::*;
use super::world::*;

const MINUTE: u64 = 60;

/// `over` files that end on the first day, `of` in all.
fn stocked(over: u32, of: u32) -> World {
    let world = World::new();
    for n in 0..of {
        let end = if n < over { 1 } else { 900 };
        world.upload(&u32::to_be_bytes(n), days(&world, end));
    }
    world
}

/// The machine is off for a day, and runs for so many minutes. Returns how many links ended.
fn session(world: &mut World, minutes: u64, orderly: bool) -> u64 {
    world.clock.reboot(DAY + MINUTE);
    world.restart();
    let ended = pass(world, minutes * MINUTE);
    if orderly {
        world.service.put_clock_away().unwrap();
    }
    ended
}

/// How often the clock was kept while so many minutes passed, one look each.
fn kept(world: &World, minutes: u64) -> usize {
    world.metadata_faults.names();
    let looks = (0..minutes).filter(|_| {
        pass(world, MINUTE);
        world.metadata_faults.names().contains("save_clock")
    });
    looks.count()
}

/// A day after a gap was seen, with an hour of notice that has begun.
fn noticing(over: u32, of: u32) -> World {
    let mut world = stocked(over, of);
    reboot(&mut world, 2 * DAY, 0);
    assert_eq!(pass(&world, DAY), 0);
    world
}

#[test]
fn twenty_minutes_a_day_are_enough_in_the_end() {
    // With the plug pulled, up to ten minutes of each are lost.
    for (minutes, orderly) in [(20, true), (29, false)] {
        for (over, notice) in [(2, 0), (9, 3)] {
            let mut world = stocked(over, 10);
            // Three a day make an hour; the first look of the first session sees the gap.
            let waiting = 24 * 3 + notice;
            for n in 1..waiting {
                let ended = session(&mut world, minutes, orderly);
                assert_eq!(ended, 0, "{over} in session {n}, orderly {orderly}");
            }
            let ended: u64 = (0..4).map(|_| session(&mut world, minutes, orderly)).sum();
            assert_eq!(ended, u64::from(over), "orderly {orderly}");
            assert_eq!(links(&world), u64::from(10 - over));
            assert_eq!(world.metadata.clock().unwrap().unwrap().gaps, []);
        }
    }
}

#[test]
fn what_ends_on_each_day_holds_up_nothing_that_ended_before() {
    let mut world = World::new();
    for n in 0..40 {
        world.upload(&i64::to_be_bytes(n), days(&world, 1 + n / 10));
    }
    // While the notice for the first ten runs, the others ripen.
    let mut ended = Vec::new();
    for _ in 0..90 {
        ended.extend(Some(session(&mut world, 20, true)).filter(|ended| *ended > 0));
    }
    assert_eq!(ended, [10; 4]);
}

#[test]
fn a_notice_is_kept_every_ten_minutes_and_nothing_is_without_one() {
    let world = noticing(9, 10);
    let on_time = kept(&world, 59);
    assert!((5..=6).contains(&on_time), "{on_time}");
    assert_eq!(pass(&world, MINUTE), 9);
    assert_eq!(kept(&world, 100), 0, "nothing waits");

    // Bytes that wait for their day: often at first, then each hour.
    let mut world = stocked(1, 10);
    reboot(&mut world, 2 * DAY, 0);
    let early = kept(&world, 59);
    assert!((5..=6).contains(&early), "{early}");
    pass(&world, HOUR);
    assert!(kept(&world, 10 * 60) <= 10);
}

#[test]
fn nobody_reads_a_notice_while_the_machine_sleeps() {
    let world = noticing(9, 10);
    world.clock.advance(9 * HOUR);
    assert_eq!(world.service.sweep().unwrap(), 0);
    assert_eq!(pass(&world, 58 * MINUTE), 0);
    assert_eq!(pass(&world, MINUTE), 9);
}

#[test]
fn a_notice_that_a_step_has_ended_is_not_taken_up_by_the_next_process() {
    let mut world = noticing(9, 10);
    assert_eq!(pass(&world, 50 * MINUTE), 0);
    set(&world, 60);
    // Without an orderly end.
    world.restart();
    assert_eq!(pass(&world, HOUR - 1), 0);
    assert_eq!(pass(&world, 2 * MINUTE), 9);
}

#[test]
fn a_notice_from_before_the_operator_vouched_does_not_count_either() {
    let mut world = noticing(9, 10);
    assert_eq!(pass(&world, 50 * MINUTE), 0);
    world.service.put_clock_away().unwrap();
    world.said.vouched.store(true, Ordering::SeqCst);
    world.restart();
    assert_eq!(pass(&world, HOUR - 1), 0);
    assert_eq!(pass(&world, 2 * MINUTE), 9);
}

#[test]
fn a_restart_in_the_middle_of_a_notice_goes_on_with_it() {
    let mut world = noticing(9, 10);
    assert_eq!(pass(&world, 31 * MINUTE), 0);
    world.restart();
    assert_eq!(pass(&world, 29 * MINUTE), 0);
    assert_eq!(pass(&world, 2 * MINUTE), 9);
}
