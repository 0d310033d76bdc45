//! The clock in doubt, on a clock that is set by hand. What follows for links is told in
//! `service::tests::clock`.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;
const YEAR: i64 = 365 * DAY;

#[derive(Default)]
struct Hand {
    wall: AtomicI64,
    /// In milliseconds.
    boot: AtomicU64,
    /// Passes whenever the wall clock is read, in milliseconds.
    slow: AtomicU64,
    synchronised: AtomicBool,
    vouched: AtomicBool,
    id: AtomicU64,
}

impl Hand {
    fn at(wall: i64, boot: u64) -> Arc<Self> {
        let hand = Self::default();
        hand.wall.store(wall, Ordering::SeqCst);
        hand.boot.store(boot * 1000, Ordering::SeqCst);
        Arc::new(hand)
    }

    /// Both clocks go on.
    fn pass(&self, seconds: i64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.boot
            .fetch_add(seconds.unsigned_abs() * 1000, Ordering::SeqCst);
    }

    fn set(&self, wall: i64) {
        self.wall.store(wall, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        let slow = self.slow.load(Ordering::SeqCst);
        self.boot.fetch_add(slow, Ordering::SeqCst);
        Timestamp(self.wall.load(Ordering::SeqCst))
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.boot.load(Ordering::SeqCst))
    }
}

struct Said(Arc<Hand>);

impl Evidence for Said {
    fn boot(&self) -> Option<BootId> {
        let id = self.0.id.load(Ordering::SeqCst);
        (id > 0).then(|| BootId(u128::from(id).to_be_bytes()))
    }
    fn is_synchronised(&self, _: Timestamp) -> bool {
        self.0.synchronised.load(Ordering::SeqCst)
    }
    fn is_vouched(&self) -> bool {
        self.0.vouched.swap(false, Ordering::SeqCst)
    }
}

fn keeper(hand: &Arc<Hand>, row: Option<ClockRow>) -> Timekeeper {
    let said = Box::new(Said(Arc::clone(hand)));
    Timekeeper::new(hand.clone(), said, Timestamp(NOW - YEAR), row)
}

/// A mark of boot `boot` at `seconds` in it.
fn row(mark: i64, boot: Option<u128>, seconds: u64) -> ClockRow {
    ClockRow {
        mark: Timestamp(mark),
        at: Moment {
            boot: boot.map(|id| BootId(id.to_be_bytes())),
            seconds,
        },
        gaps: Vec::new(),
    }
}

fn look(keeper: &Timekeeper) {
    if let Some(turn) = keeper.look() {
        keeper.turn(&turn);
    }
}

#[test]
fn what_a_start_makes_of_clock_and_mark() {
    use Doubt::{Ahead, BeforeMade, Behind};
    // (this boot, its age, wall clock, mark, boot and age of the mark) → (doubt, time)
    let cases = [
        // No mark: nothing to compare with but the time of the making.
        (1, 100, NOW, None, None, NOW),
        (1, 100, NOW + 50 * YEAR, None, None, NOW + 50 * YEAR),
        (1, 100, 0, None, Some(BeforeMade), NOW - YEAR),
        // The same boot: the mark has gone on.
        (1, 100, NOW, Some((NOW - 60, Some(1), 40)), None, NOW),
        (1, 100, NOW - 3600, Some((NOW - 60, Some(1), 40)), None, NOW),
        (
            1,
            100,
            NOW - 3601,
            Some((NOW - 60, Some(1), 40)),
            Some(Behind),
            NOW,
        ),
        (
            1,
            100,
            0,
            Some((NOW - 60, Some(1), 40)),
            Some(BeforeMade),
            NOW,
        ),
        (
            1,
            100,
            NOW + YEAR,
            Some((NOW - 60, Some(1), 40)),
            None,
            NOW + YEAR,
        ),
        (
            1,
            100,
            NOW + YEAR + 1,
            Some((NOW - 60, Some(1), 40)),
            Some(Ahead),
            NOW + YEAR + 1,
        ),
        // An age that cannot be.
        (1, 100, NOW, Some((NOW, Some(1), 5000)), None, NOW),
        // Another boot: at least this one has passed.
        (2, 100, NOW, Some((NOW - 100, Some(1), 40)), None, NOW),
        (
            2,
            100,
            NOW - 3601,
            Some((NOW - 100, Some(1), 40)),
            Some(Behind),
            NOW,
        ),
        (
            2,
            100,
            NOW + DAY,
            Some((NOW - 100, Some(1), 40)),
            None,
            NOW + DAY,
        ),
        // Nobody knows which boot.
        (0, 100, NOW, Some((NOW - 100, Some(1), 40)), None, NOW),
        (2, 100, NOW - 3700, Some((NOW, None, 40)), Some(Behind), NOW),
        (0, 100, NOW - 3700, Some((NOW, None, 40)), Some(Behind), NOW),
    ];
    for case in cases {
        let (boot, age, wall, mark, doubt, now) = case;
        let hand = Hand::at(wall, age);
        hand.id.store(boot, Ordering::SeqCst);
        let mark = mark.map(|(mark, boot, age)| row(mark, boot, age));
        let keeper = keeper(&hand, mark);
        assert_eq!((keeper.doubt(), keeper.now().0), (doubt, now), "{case:?}");
        assert_eq!(keeper.watched().is_none(), doubt.is_some(), "{case:?}");
        assert_eq!(keeper.row().is_none(), doubt.is_some(), "{case:?}");
        assert!(keeper.stamp().1.is_some(), "{case:?}: nobody confirms it");
    }
}

#[test]
fn what_a_young_machine_writes_down_can_be_put_right_until_its_clock_is_confirmed() {
    let settled = |keeper: &Timekeeper| {
        look(keeper);
        assert_eq!(keeper.doubt(), None);
        assert_eq!(keeper.stamp().1.is_none(), keeper.rebase().is_some());
        keeper.rebase().is_some()
    };
    for row in [None, Some(row(NOW - 60, None, 40))] {
        // By the network, while it is right.
        let hand = Hand::at(NOW, 20);
        let first = keeper(&hand, row.clone());
        assert!(!settled(&first));
        hand.synchronised.store(true, Ordering::SeqCst);
        assert!(settled(&first));
        assert!(settled(&keeper(&hand, row.clone())));
        // By somebody who sets it.
        let hand = Hand::at(NOW, 20);
        let second = keeper(&hand, row.clone());
        let (_, birth) = second.stamp();
        hand.pass(10);
        hand.set(NOW + 15 * DAY);
        assert!(second.rebase().is_none());
        assert!(settled(&second));
        let born = second.rebase().unwrap().time_of(&birth.unwrap());
        assert_eq!(born.0, NOW + 15 * DAY - 10);
        // By nobody.
        let hand = Hand::at(NOW, 899);
        let third = keeper(&hand, row.clone());
        assert!(!settled(&third));
        hand.pass(1);
        assert!(settled(&third));
        // By the operator.
        let hand = Hand::at(NOW, 20);
        hand.vouched.store(true, Ordering::SeqCst);
        assert!(settled(&keeper(&hand, row)));
    }
}

#[test]
fn a_start_in_the_same_boot_without_a_step_has_watched_all_the_time() {
    for (boot, wall, watched) in [(1, NOW, true), (1, NOW + 60, false), (2, NOW + 100, false)] {
        let hand = Hand::at(wall, 1000);
        hand.id.store(boot, Ordering::SeqCst);
        let keeper = keeper(&hand, Some(row(NOW - 900, Some(1), 100)));
        let after = if watched { NOW - 900 } else { wall };
        assert_eq!(keeper.watched().unwrap().after.0, after);
        assert_eq!(keeper.watched().unwrap().until.0, wall);
    }
}

#[test]
fn a_synchronised_clock_is_trusted_and_time_does_not_go_back_for_it() {
    let hand = Hand::at(NOW - 9 * DAY, 1000);
    hand.synchronised.store(true, Ordering::SeqCst);
    let keeper = keeper(&hand, Some(row(NOW, None, 0)));
    assert_eq!((keeper.doubt(), keeper.now().0), (None, NOW));
    assert_eq!(keeper.lead(), Some(9 * DAY));
    assert_eq!(keeper.watched().unwrap().until.0, NOW - 9 * DAY);
    // It goes on neither faster nor slower, however often it is looked at.
    for _ in 0..1000 {
        hand.boot.fetch_add(1700, Ordering::SeqCst);
        hand.wall.store(
            NOW - 9 * DAY + (hand.boot.load(Ordering::SeqCst) / 1000).cast_signed() - 1000,
            Ordering::SeqCst,
        );
        look(&keeper);
    }
    assert_eq!(keeper.now().0, NOW + 1700);
    assert_eq!(keeper.row().unwrap().mark.0, NOW + 1700);
}

#[test]
fn a_small_step_back_stops_time_until_the_clock_has_caught_up() {
    let hand = Hand::at(NOW, 1000);
    let keeper = keeper(&hand, None);
    hand.set(NOW - 600);
    look(&keeper);
    assert_eq!((keeper.doubt(), keeper.now().0), (None, NOW));
    for _ in 0..6 {
        hand.pass(100);
        look(&keeper);
        assert_eq!(keeper.now().0, NOW);
    }
    hand.pass(1);
    assert_eq!(keeper.now().0, NOW + 1);
    assert_eq!(
        keeper.watched().unwrap().after.0,
        NOW,
        "a step back ends nothing"
    );
}

#[test]
fn a_doubt_ends_when_the_clock_is_set_right_or_somebody_vouches_for_it() {
    let hand = Hand::at(NOW, 1000);
    let keeper = keeper(&hand, None);
    hand.set(NOW + 10 * YEAR);
    let turn = keeper.look().unwrap();
    assert_eq!((turn.was, turn.is), (None, Some(Doubt::Ahead)));
    assert!(turn.rebase.is_none());
    assert_eq!(keeper.now().0, NOW, "not before the turn");
    keeper.turn(&turn);
    assert_eq!(keeper.now().0, NOW + 10 * YEAR);
    for _ in 0..10 {
        hand.pass(DAY);
        assert!(keeper.look().is_none(), "a doubt is told once");
    }
    hand.set(NOW + 10 * DAY);
    let turn = keeper.look().unwrap();
    assert_eq!((turn.was, turn.is), (Some(Doubt::Ahead), None));
    keeper.turn(&turn);
    assert_eq!(keeper.now().0, NOW + 10 * DAY);

    for synchronised in [true, false] {
        hand.set(NOW + 20 * YEAR);
        look(&keeper);
        assert_eq!(keeper.doubt().is_some(), synchronised);
        hand.synchronised.store(true, Ordering::SeqCst);
        look(&keeper);
        assert_eq!(keeper.doubt(), None);
        assert_eq!(keeper.watched().unwrap().after.0, NOW + 20 * YEAR);
    }

    hand.synchronised.store(false, Ordering::SeqCst);
    hand.set(NOW);
    look(&keeper);
    assert_eq!(keeper.doubt(), Some(Doubt::Behind));
    hand.vouched.store(true, Ordering::SeqCst);
    look(&keeper);
    assert_eq!((keeper.doubt(), keeper.now().0), (None, NOW));
    assert_eq!((keeper.lead(), keeper.look().is_none()), (None, true));
}

#[test]
fn a_machine_that_is_slow_to_read_its_clocks_sees_no_steps() {
    let hand = Hand::at(NOW, 1000);
    let keeper = keeper(&hand, None);
    // Reading one clock takes a second and a half: more cannot be hidden in a whole second.
    hand.slow.store(1500, Ordering::SeqCst);
    let before = hand.boot.load(Ordering::SeqCst);
    let _ = keeper.look();
    let tries = (hand.boot.load(Ordering::SeqCst) - before) / 1500;
    assert_eq!(tries, 5, "and it is not tried for ever");
}

#[test]
fn clocks_at_the_ends_of_the_world_do_no_harm() {
    for wall in [i64::MIN, -1, 0, i64::MAX] {
        let hand = Hand::at(wall, 0);
        let fresh = keeper(&hand, None);
        fresh.now();
        let keeper = keeper(&hand, Some(row(NOW, None, 0)));
        assert!(keeper.doubt().is_some());
        hand.set(NOW);
        look(&keeper);
        assert_eq!((keeper.doubt(), keeper.now().0), (None, NOW), "{wall}");
    }
    let hand = Hand::at(NOW, 0);
    let keeper = keeper(&hand, Some(row(i64::MAX, None, u64::MAX)));
    assert_eq!(keeper.doubt(), Some(Doubt::Behind));
    look(&keeper);
    assert_eq!(keeper.now().0, i64::MAX);
}

#[test]
fn a_moment_in_doubt_gets_its_time_as_late_as_it_can_have_been() {
    let boot = |n: u128| Some(BootId(n.to_be_bytes()));
    let time_of = |this, then, seconds| {
        let at = Moment {
            boot: this,
            seconds: 1000,
        };
        let rebase = Rebase::new(Timestamp(NOW), at, 900);
        rebase.time_of(&Moment {
            boot: then,
            seconds,
        })
    };
    assert_eq!(time_of(boot(1), boot(1), 400).0, NOW - 600);
    assert_eq!(time_of(boot(1), boot(1), 4000).0, NOW);
    assert_eq!(
        time_of(boot(1), boot(2), 400).0,
        NOW - 1000,
        "before this boot"
    );
    assert_eq!(
        time_of(boot(1), None, 400).0,
        NOW - 100,
        "before this process"
    );
    assert_eq!(time_of(None, None, 400).0, NOW - 100);
}

/// Milliseconds since the epoch and since the boot.
struct Fine(AtomicI64, AtomicU64);

impl Clock for Fine {
    fn now(&self) -> Timestamp {
        self.precisely().0
    }
    fn precisely(&self) -> (Timestamp, Duration) {
        let wall = Duration::from_millis(self.0.load(Ordering::SeqCst).unsigned_abs());
        let part = Duration::from_nanos(wall.subsec_nanos().into());
        (Timestamp(0).after(wall), part)
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.1.load(Ordering::SeqCst))
    }
}

#[test]
fn a_second_begins_when_it_begins_on_the_wall_clock() {
    // A link must not open again for the rest of a second, because a restart lost a part of it.
    let fine = Arc::new(Fine(
        AtomicI64::new(1_900_000_000_900),
        AtomicU64::new(50_300),
    ));
    let keeper = Timekeeper::unquestioned(Arc::clone(&fine) as Arc<dyn Clock>);
    assert_eq!(keeper.now(), Timestamp(1_900_000_000));
    fine.0.fetch_add(150, Ordering::SeqCst);
    fine.1.fetch_add(150, Ordering::SeqCst);
    assert_eq!(keeper.now(), Timestamp(1_900_000_001));
}
