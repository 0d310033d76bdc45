//! Clocks that are wrong, that are set, and that are right in the end: nothing is lost by them, and
//! nothing comes back.

use super::fault_metadata::Fail;
use super::world::*;
use crate::model::{Doubt, VOUCHER};

pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;
const DAYS: i64 = 24 * 3600;

/// A link that ends so many days after the time of its upload.
pub(super) fn days(world: &World, days: i64) -> LinkWish {
    LinkWish {
        lifetime: Lifetime::Until(world.service.clock().now().plus(days * DAYS)),
        ..unlimited()
    }
}

/// Somebody sets the wall clock, and it is looked at.
pub(super) fn set(world: &World, seconds: i64) {
    world.clock.step(seconds);
    world.service.sweep().unwrap();
}

/// Time passes, with a sweep each half hour; each minute where it is a matter of hours: in the first
/// and in the last ones.
pub(super) fn pass(world: &World, seconds: u64) -> u64 {
    const HOURS: u64 = 3 * HOUR;
    let mut ended = 0;
    let mut left = seconds;
    while left > 0 {
        let minutes = left <= HOURS || seconds - left < HOURS;
        let step = left.min(if minutes { 60 } else { HOUR / 2 });
        world.clock.advance(step);
        ended += world.service.sweep().unwrap();
        left -= step;
    }
    ended
}

/// The machine was off for `off` seconds, and starts with a wall clock that is wrong by `step`.
pub(super) fn reboot(world: &mut World, off: u64, step: i64) {
    world.service.put_clock_away().unwrap();
    world.clock.reboot(off);
    world.clock.step(step);
    world.restart();
    world.service.sweep().unwrap();
}

fn doubt(world: &World) -> Option<Doubt> {
    world.service.parts.clock.doubt()
}

fn is_open(world: &World, view: &FileView) -> bool {
    let opened = world.open(view);
    assert!(opened.is_ok() || gone(&opened));
    opened.is_ok()
}

pub(super) fn links(world: &World) -> u64 {
    world.metadata.link_count().unwrap()
}

#[test]
fn a_machine_without_a_battery_loses_no_link_old_or_new() {
    let mut world = World::new();
    let week = world.upload(b"week", days(&world, 7));
    let long = world.upload(b"long", days(&world, 200));
    // Off for 90 days; then it believes that it is the time of its making.
    reboot(&mut world, 90 * DAY, -92 * DAYS - YEAR);
    assert_eq!(doubt(&world), Some(Doubt::BeforeMade));
    assert!(
        world
            .service
            .clock_remark()
            .unwrap()
            .contains("not trusted")
    );
    assert!(is_open(&world, &week), "nobody knows that it is over");
    let fresh = world.upload(b"fresh", days(&world, 1));
    assert_eq!(pass(&world, HOUR), 0);

    // The network is there, and with it the time.
    set(&world, 92 * DAYS + YEAR);
    assert_eq!(doubt(&world), None);
    assert!(!is_open(&world, &week) && is_open(&world, &long));
    assert!(is_open(&world, &fresh), "its day has hardly begun");
    assert_eq!(links(&world), 3, "nothing is removed at once");
    pass(&world, DAY - HOUR - 1);
    assert!(is_open(&world, &fresh));
    world.clock.advance(1);
    assert!(!is_open(&world, &fresh), "a day after its upload");
    assert_eq!(world.service.sweep().unwrap(), 1, "its end was watched");
    assert_eq!(
        pass(&world, 2 * HOUR),
        1,
        "more than a fifth of the files, an hour later"
    );
    assert_eq!(links(&world), 1);
    assert_eq!(world.blobs().len(), 1);
    world.service.sweep().unwrap();
    assert!(is_open(&world, &long));
}

#[test]
fn a_machine_that_starts_with_the_time_of_its_shutdown_loses_no_fresh_link() {
    for network in [false, true] {
        let mut world = World::new();
        let old = world.upload(b"old", days(&world, 10));
        reboot(&mut world, 15 * DAY, -15 * DAYS);
        assert_eq!(doubt(&world), None, "it may be true");
        let fresh = world.upload(b"fresh", days(&world, 14));
        assert!(is_open(&world, &old));
        world.clock.advance(10);
        world.said.synchronised.store(network, Ordering::SeqCst);
        set(&world, 15 * DAYS);
        assert!(!is_open(&world, &old) && is_open(&world, &fresh));
        pass(&world, 14 * DAY - 11);
        assert!(is_open(&world, &fresh));
        world.clock.advance(1);
        assert!(!is_open(&world, &fresh));
    }
}

#[test]
fn a_young_machine_whose_clock_is_right_keeps_ends_as_they_are() {
    let mut world = World::new();
    reboot(&mut world, 60, 0);
    let view = world.upload(b"x", days(&world, 1));
    pass(&world, DAY - 1);
    assert!(is_open(&world, &view));
    world.clock.advance(1);
    assert!(!is_open(&world, &view));
}

#[test]
fn a_clock_that_starts_in_1970_shows_no_time_before_this_program() {
    let mut world = World::new();
    let view = world.upload(b"x", days(&world, 1));
    let before = world.service.clock().now();
    reboot(&mut world, 60, -START);
    assert_eq!(doubt(&world), Some(Doubt::BeforeMade));
    let now = world.service.clock().now();
    assert!(now >= before, "{now:?} {before:?}");
    // Time goes on by what has passed, so ends come even now.
    world.clock.advance(DAY);
    assert!(!is_open(&world, &view));
    assert_eq!(pass(&world, 3 * DAY), 0, "but nothing is removed");
    assert_eq!((links(&world), world.blobs().len()), (1, 1));
}

#[test]
fn ten_years_ahead_refuse_and_remove_nothing() {
    let world = World::new();
    let view = world.upload(b"x", days(&world, 30));
    pass(&world, HOUR);
    set(&world, 10 * YEAR);
    assert_eq!(doubt(&world), Some(Doubt::Ahead));
    assert!(!is_open(&world, &view), "whoever is in doubt refuses");
    let fresh = world.upload(b"fresh", days(&world, 2));
    assert_eq!(pass(&world, 3 * DAY), 0);
    assert!(
        !is_open(&world, &fresh),
        "two days have passed, whatever the clock"
    );
    assert_eq!(links(&world), 2);
    let later = world.upload(b"later", days(&world, 2));
    set(&world, -10 * YEAR);
    assert_eq!(doubt(&world), None);
    assert!(
        is_open(&world, &view),
        "its end was never seen by a trusted clock"
    );
    assert!(!is_open(&world, &fresh) && is_open(&world, &later));
    pass(&world, 2 * DAY - 1);
    assert!(is_open(&world, &later));
    world.clock.advance(1);
    assert!(!is_open(&world, &later), "its end was moved along");
}

#[test]
fn a_year_and_a_month_ahead_is_in_doubt_ten_months_are_not() {
    for (step, doubted) in [(400 * DAYS, true), (300 * DAYS, false)] {
        let world = World::new();
        world.upload(b"x", days(&world, 30));
        pass(&world, HOUR);
        set(&world, step);
        assert_eq!(doubt(&world).is_some(), doubted, "{step}");
        assert_eq!(links(&world), 1);
        let kept = pass(&world, DAY - HOUR) == 0;
        assert!(kept, "a day to notice a mistake");
        let ended = pass(&world, 3 * HOUR);
        assert_eq!(ended, u64::from(!doubted));
    }
}

#[test]
fn what_has_ended_stays_ended_five_years_back_and_over_restarts() {
    let mut world = World::new();
    let over = world.upload(b"over", days(&world, 30));
    let stays = world.upload(b"stays", days(&world, 300));
    pass(&world, HOUR);
    set(&world, 31 * DAYS);
    assert!(!is_open(&world, &over), "the clock was trusted");
    let check = |world: &World| {
        assert!(!is_open(world, &over));
        assert!(is_open(world, &stays));
        assert_eq!(pass(world, 2 * DAY), 0, "nothing is removed");
        assert_eq!(links(world), 2);
    };
    set(&world, -5 * YEAR);
    assert!(doubt(&world).is_some());
    check(&world);
    world.restart();
    check(&world);
    reboot(&mut world, 60, 0);
    check(&world);
    // Even for a network that says so: time does not go back.
    world.said.synchronised.store(true, Ordering::SeqCst);
    world.service.sweep().unwrap();
    assert_eq!(doubt(&world), None);
    assert!(world.service.clock_remark().is_some());
    check(&world);
    reboot(&mut world, 60, 0);
    check(&world);
}

#[test]
fn links_that_are_made_while_the_clock_is_behind_live_their_time() {
    let mut world = World::new();
    pass(&world, HOUR);
    world.said.synchronised.store(true, Ordering::SeqCst);
    set(&world, -2 * DAYS);
    assert_eq!(doubt(&world), None);
    let view = world.upload(b"x", days(&world, 1));
    world.clock.advance(DAY - 1);
    assert!(is_open(&world, &view));
    world.clock.advance(1);
    assert!(!is_open(&world, &view), "a day has passed");
    reboot(&mut world, 60, 0);
    assert!(!is_open(&world, &view));
    assert_eq!(
        pass(&world, 2 * DAY),
        0,
        "the clock that is trusted says no"
    );
    assert_eq!(pass(&world, DAY + HOUR), 1);
}

#[test]
fn the_operator_can_say_that_the_clock_is_right() {
    // Ahead by two years, and so it was: the machine was in a drawer.
    let mut world = World::new();
    let view = world.upload(b"x", days(&world, 30));
    reboot(&mut world, 2 * 365 * DAY, 0);
    assert_eq!(doubt(&world), Some(Doubt::Ahead));
    world.said.vouched.store(true, Ordering::SeqCst);
    world.service.sweep().unwrap();
    assert_eq!((doubt(&world), world.service.clock_remark()), (None, None));
    assert!(!is_open(&world, &view));
    assert_eq!(pass(&world, DAY), 0);
    assert_eq!(pass(&world, 2 * HOUR), 1);

    // A month ahead by mistake, noticed in time.
    let mut world = World::new();
    let view = world.upload(b"x", days(&world, 14));
    pass(&world, HOUR);
    set(&world, 30 * DAYS);
    let wrong = world.upload(b"y", days(&world, 1));
    assert!(!is_open(&world, &view));
    pass(&world, 2 * HOUR);
    set(&world, -30 * DAYS);
    assert!(!is_open(&world, &view));
    world.said.vouched.store(true, Ordering::SeqCst);
    world.service.sweep().unwrap();
    assert!(
        is_open(&world, &view),
        "the only way back, and somebody asked for it"
    );
    world.restart();
    assert!(is_open(&world, &view) && is_open(&world, &wrong));
    assert_eq!(VOUCHER, "clock-is-right", "as the documents have it");
}

#[test]
fn what_the_operator_said_outlives_the_process() {
    // A network that was 30 days ahead; then the right time, in doubt or with a lead.
    for (lead, at_start) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut world = World::new();
        let view = world.upload(b"x", days(&world, 14));
        pass(&world, HOUR);
        set(&world, 30 * DAYS);
        // A mark waits for the next change.
        pass(&world, HOUR + HOUR / 2);
        world.said.synchronised.store(lead, Ordering::SeqCst);
        set(&world, -30 * DAYS);
        assert_eq!(doubt(&world).is_none(), lead);
        assert!(!is_open(&world, &view));
        if at_start {
            world.service.put_clock_away().unwrap();
            world.said.vouched.store(true, Ordering::SeqCst);
            world.restart();
        } else {
            // It is not used up by a failure.
            world.said.vouched.store(true, Ordering::SeqCst);
            world.metadata_faults.fail_after(0, Fail::Before);
            assert!(world.service.sweep().is_err());
            world.service.sweep().unwrap();
        }
        world.said.synchronised.store(false, Ordering::SeqCst);
        assert!(is_open(&world, &view));
        let row = world.metadata.clock().unwrap().unwrap();
        assert_eq!(row.mark, world.service.clock().now());
        // Without an orderly end.
        world.restart();
        assert!(is_open(&world, &view), "lead {lead}, start {at_start}");
        assert_eq!(world.service.clock_remark(), None);
    }
}

#[test]
fn what_ends_after_a_step_was_taken_back_waits_its_own_day() {
    for (lead, of) in [(true, 10), (false, 10), (true, 0), (false, 0)] {
        let mut world = World::new();
        for n in 0..of {
            world.upload(&[n], days(&world, 300));
        }
        world.upload(b"x", days(&world, 20));
        world.upload(b"y", days(&world, 5));
        pass(&world, HOUR);
        set(&world, 30 * DAYS);
        // Taken back with a lead, or by the operator's word.
        world.said.synchronised.store(lead, Ordering::SeqCst);
        world.said.vouched.store(!lead, Ordering::SeqCst);
        set(&world, -30 * DAYS);
        assert_eq!(doubt(&world), None);
        assert_eq!(world.service.parts.clock.lead().is_some(), lead);
        // The gap of that step is ripe long since, and one ends while the machine is off.
        pass(&world, DAY + HOUR);
        reboot(&mut world, 6 * DAY, 0);
        assert_eq!(pass(&world, DAY - 1), 0, "lead {lead}, {of} others");
        assert_eq!(links(&world), u64::from(of) + 2);
        pass(&world, 3 * HOUR);
        assert_eq!(links(&world), u64::from(of) + 1, "lead {lead}, {of} others");
    }
}

#[test]
fn a_restart_at_the_next_boot_is_a_gap_and_one_in_the_same_boot_is_none() {
    for (boot, at_once) in [(false, true), (true, false)] {
        let mut world = World::new();
        for n in 0..10 {
            world.upload(&[n], days(&world, 100));
        }
        let view = world.upload(b"x", days(&world, 1));
        world.service.put_clock_away().unwrap();
        if boot {
            world.clock.reboot(2 * DAY);
        } else {
            world.clock.advance(2 * DAY);
        }
        world.restart();
        assert_eq!(doubt(&world), None);
        assert!(!is_open(&world, &view));
        let ended = world.service.sweep().unwrap();
        assert_eq!(ended == 1, at_once, "the time between is known, or not");
        let left = u64::from(!at_once);
        assert_eq!(pass(&world, DAY - 1), 0);
        assert_eq!(pass(&world, 1), left);
    }
}

#[test]
fn the_waiting_goes_on_over_boots_and_is_kept_once_an_hour() {
    let mut world = World::new();
    for n in 0..10 {
        world.upload(&[n], days(&world, 100));
    }
    world.upload(b"x", days(&world, 1));
    reboot(&mut world, 2 * DAY, 0);
    for _ in 0..23 {
        assert_eq!(pass(&world, HOUR), 0);
        // Without an orderly end.
        let kept = world.metadata.clock().unwrap().unwrap();
        assert_eq!(kept.gaps.len(), 1);
        world.clock.reboot(60);
        world.restart();
    }
    let waited = world.metadata.clock().unwrap().unwrap().gaps[0].waited;
    assert_eq!(waited, 23 * HOUR);
    assert_eq!(pass(&world, HOUR - 1), 0);
    assert_eq!(pass(&world, 1), 1);
    assert_eq!(world.metadata.clock().unwrap().unwrap().gaps, []);
}

#[test]
fn an_idle_service_keeps_no_time_until_it_ends() {
    let world = World::new();
    world.upload(b"x", days(&world, 100));
    world.upload(b"y", days(&world, 100));
    let kept = world.metadata.clock().unwrap();
    pass(&world, 50 * DAY);
    assert_eq!(world.metadata.clock().unwrap(), kept);
    // It goes along with what is written anyway.
    world.upload(b"z", days(&world, 100));
    let now = world.service.clock().now();
    let row = world.metadata.clock().unwrap().unwrap();
    assert_eq!(row.mark, now);
    // Not with each, and at the end.
    pass(&world, 59);
    world.upload(b"z", days(&world, 100));
    assert_eq!(world.metadata.clock().unwrap(), Some(row));
    pass(&world, 1);
    world.service.put_clock_away().unwrap();
    let row = world.metadata.clock().unwrap().unwrap();
    assert_eq!(row.mark, now.plus(60));
}

#[test]
fn the_first_change_of_a_new_database_goes_with_a_mark() {
    let world = World::new();
    let row = world.metadata.clock().unwrap().unwrap();
    assert_eq!(row.mark, Timestamp(START), "the first account");
}

#[test]
fn a_clock_in_doubt_leaves_no_mark() {
    let world = World::new();
    pass(&world, HOUR);
    world.upload(b"x", days(&world, 1));
    let kept = world.metadata.clock().unwrap();
    set(&world, 5 * YEAR);
    world.upload(b"y", days(&world, 1));
    pass(&world, 2 * DAY);
    world.service.put_clock_away().unwrap();
    assert_eq!(world.metadata.clock().unwrap(), kept);
}

#[test]
fn more_than_a_fifth_of_the_files_goes_only_after_an_hour_of_notice() {
    for (over, of, delay) in [
        (20, 100, 0),
        (21, 100, HOUR),
        (300, 301, HOUR),
        (1, 1, HOUR),
    ] {
        let world = World::new();
        for n in 0..of {
            let end = if n < over { 10 } else { 900 };
            world.upload(&u32::to_be_bytes(n), days(&world, end));
        }
        pass(&world, HOUR);
        set(&world, 11 * DAYS);
        assert_eq!(pass(&world, DAY - 1), 0);
        world.clock.advance(1);
        let at_once = world.service.sweep().unwrap();
        assert_eq!(at_once, if delay == 0 { u64::from(over) } else { 0 });
        if delay > 0 {
            assert_eq!(pass(&world, delay - 1), 0, "{over} of {of}");
            assert_eq!(pass(&world, 1), u64::from(over));
        }
        assert_eq!(links(&world), u64::from(of - over));
    }
}

#[test]
fn a_step_during_the_notice_starts_it_anew() {
    let world = World::new();
    let view = world.upload(b"x", days(&world, 10));
    pass(&world, HOUR);
    set(&world, 11 * DAYS);
    assert_eq!(pass(&world, DAY + HOUR / 2), 0);
    set(&world, 60);
    assert_eq!(pass(&world, HOUR - 1), 0);
    set(&world, -12 * DAYS);
    assert_eq!(
        pass(&world, 5 * HOUR),
        0,
        "the clock itself says that it is not over"
    );
    assert_eq!(links(&world), 1);
    assert!(!is_open(&world, &view), "and it stays refused");
}

#[test]
fn a_step_in_the_middle_of_a_download_or_an_upload_breaks_neither() {
    for step in [-START, -5 * YEAR, 40 * DAYS, 10 * YEAR] {
        let world = World::new();
        let limited = LinkWish {
            count: Count::Limited(1),
            ..days(&world, 30)
        };
        let view = world.upload(&content(100_000), limited);
        let download = world.ask(&view, 0..view.size, None, HERE).unwrap();
        let mut input = &b"an upload"[..];
        let received = world.service.receive(&world.owner, &mut input, None);
        set(&world, step);

        let mut client = Client::patient();
        download.send(&mut client).unwrap();
        assert_eq!(client.body.len(), 100_000);
        assert_eq!(links(&world), 0, "its last download was counted");

        let wish = days(&world, 3);
        let upload = world.service.publish(&world.owner, received.unwrap(), wish);
        let upload = upload.unwrap();
        assert!(is_open(&world, &upload));
        set(&world, -step);
        assert!(is_open(&world, &upload) || step == 40 * DAYS);
        pass(&world, 3 * DAY);
        assert!(!is_open(&world, &upload), "{step}");
    }
}

#[test]
fn between_two_looks_a_step_changes_nothing() {
    let world = World::new();
    let view = world.upload(b"x", days(&world, 1));
    world.clock.step(2 * DAYS);
    assert!(is_open(&world, &view), "nobody has looked yet");
    world.clock.step(-2 * DAYS);
    world.service.sweep().unwrap();
    assert!(is_open(&world, &view));
}

#[test]
fn what_has_no_downloads_left_goes_whatever_the_clock_shows() {
    let world = World::new();
    let view = world.upload(b"x", times(1));
    set(&world, 10 * YEAR);
    assert!(doubt(&world).is_some());
    assert_eq!(world.fetch(&view).unwrap(), b"x");
    assert_eq!((links(&world), world.blobs().len()), (0, 0));
}

#[test]
fn an_end_that_is_named_in_doubt_is_neither_moved_nor_acted_upon() {
    let world = World::new();
    pass(&world, HOUR);
    let truth = world.service.clock().now();
    set(&world, 10 * YEAR);
    let view = world.upload(b"x", days(&world, 1));
    let named = Lifetime::Until(truth.plus(3 * DAYS));
    let changes = Changes {
        lifetime: Some(named),
        ..Changes::default()
    };
    world
        .service
        .modify(&world.owner, view.id.reveal(), changes)
        .unwrap();
    assert!(!is_open(&world, &view), "over by the clock as it is");
    assert_eq!(links(&world), 1);
    set(&world, -10 * YEAR);
    assert!(is_open(&world, &view));
    pass(&world, 3 * DAY - 1);
    assert!(is_open(&world, &view));
    pass(&world, 1);
    assert!(!is_open(&world, &view));
}

#[test]
fn a_delayed_deletion_in_doubt_keeps_its_delay() {
    let mut world = World::new();
    reboot(&mut world, 90 * DAY, -90 * DAYS);
    // As far as it knows, no time has passed; the true time comes later.
    world.said.synchronised.store(false, Ordering::SeqCst);
    set(&world, -2 * YEAR);
    assert!(doubt(&world).is_some());
    let view = world.upload(b"x", days(&world, 1));
    let id = view.id.reveal();
    world.service.delete(&world.owner, id, HOUR).unwrap();
    set(&world, 2 * YEAR + 90 * DAYS);
    assert_eq!(doubt(&world), None);
    assert!(world.service.restore(&world.owner, id).is_ok());
    assert!(is_open(&world, &view));
}

#[test]
fn a_link_made_in_doubt_before_another_boot_is_not_lost_either() {
    let mut world = World::new();
    reboot(&mut world, 90 * DAY, -90 * DAYS - YEAR - DAYS);
    let view = world.upload(b"x", days(&world, 1));
    assert!(doubt(&world).is_some());
    reboot(&mut world, 10 * DAY, 0);
    assert!(doubt(&world).is_some());
    set(&world, 100 * DAYS + YEAR + DAYS);
    assert_eq!(doubt(&world), None);
    assert!(is_open(&world, &view), "it may be as young as this boot");
    pass(&world, DAY);
    assert!(!is_open(&world, &view));
}

#[test]
fn a_million_ended_links_are_counted_without_being_held() {
    // What is asked for is bounded by a fifth and one more; the rest is not read.
    let world = World::new();
    for n in 0..50u8 {
        world.upload(&[n], days(&world, 1));
    }
    let (min, max) = (Timestamp::MIN, Timestamp(i64::MAX));
    assert_eq!(world.metadata.count_due(min, max, 11).unwrap(), 11);
    assert_eq!(world.metadata.count_due(min, max, 100).unwrap(), 50);
    assert_eq!(world.metadata.count_due(max, min, 100).unwrap(), 0);
}

#[test]
fn a_copy_made_in_doubt_ends_with_the_file_that_it_is_made_of() {
    let mut world = World::new();
    let right = world.upload(b"x", days(&world, 200));
    reboot(&mut world, 90 * DAY, -90 * DAYS);
    world.said.synchronised.store(false, Ordering::SeqCst);
    set(&world, -2 * YEAR);
    assert!(doubt(&world).is_some());
    let doubtful = world.upload(b"y", days(&world, 10));
    let copies = [&right, &doubtful].map(|of| {
        let id = of.id.reveal();
        let copy = world.service.copy(&world.owner, id, &CopyWish::default());
        copy.unwrap()
    });
    set(&world, 2 * YEAR + 90 * DAYS);
    assert_eq!(doubt(&world), None);
    let end = |view: &FileView| {
        let file = world.service.file(&world.owner, view.id.reveal());
        file.unwrap().expiry.at
    };
    assert_eq!(end(&right), right.expiry.at, "it was right");
    assert!(end(&doubtful) != doubtful.expiry.at, "it was put right");
    assert_eq!(
        [end(&copies[0]), end(&copies[1])],
        [end(&right), end(&doubtful)]
    );
}
