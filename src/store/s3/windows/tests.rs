//! Requests in turn: single cases, everything that readers can do in any order, and a crowd of slow
//! readers in simulated time.

use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn as_many_as_allowed_open_and_the_next_waits_for_the_first_to_leave() {
    let mut windows = Windows::<&str>::new(2);
    assert_eq!(windows.enter(1, MS(0)), Turn::Open);
    assert_eq!(windows.enter(2, MS(0)), Turn::Open);
    assert_eq!(windows.enter(3, MS(0)), Turn::Wait);
    assert_eq!(windows.enter(4, MS(0)), Turn::Wait);
    assert_eq!(windows.evicts_at(), None);
    assert_eq!(windows.evict(MS(90_000)), None, "both are in use");
    windows.leave(2, MS(90_000));
    assert!(windows.has_turn(3) && !windows.has_turn(4));
    windows.rest(3, "three", MS(90_000));
    assert_eq!(windows.enter(3, MS(90_001)), Turn::Continue("three"));
    windows.leave(4, MS(90_002));
    windows.leave(3, MS(90_002));
    assert_eq!(windows.first(), None);
    assert_eq!(windows.enter(5, MS(90_002)), Turn::Open);
}

#[test]
fn who_waits_gets_the_request_that_was_used_least_recently_once_it_lies_idle_for_long() {
    let mut windows = Windows::new(3);
    for reader in 1..=3 {
        assert_eq!(windows.enter(reader, MS(0)), Turn::Open);
    }
    windows.rest(2, "two", MS(10));
    windows.rest(1, "one", MS(20));
    assert_eq!(windows.enter(2, MS(30)), Turn::Continue("two"));
    windows.rest(2, "two again", MS(30));
    assert_eq!(windows.evict(MS(10_000)), None, "nobody waits");
    assert_eq!(windows.enter(4, MS(35)), Turn::Wait);
    assert_eq!(windows.evicts_at(), Some(MS(70)));
    assert_eq!(windows.evict(MS(69)), None);
    assert_eq!(windows.evict(MS(70)), Some("one"));
    assert!(windows.has_turn(4) && !windows.has_turn(1));
    assert_eq!(windows.enter(1, MS(71)), Turn::Wait);
    windows.leave(4, MS(72));
    assert!(windows.has_turn(1));
}

#[test]
fn a_reader_that_goes_away_leaves_its_idle_request_to_be_closed() {
    let mut windows = Windows::new(1);
    assert_eq!(windows.enter(1, MS(0)), Turn::Open);
    windows.rest(1, "one", MS(0));
    assert_eq!(windows.enter(2, MS(0)), Turn::Wait);
    assert_eq!(windows.close(1), Some("one"));
    assert_eq!(windows.evict(MS(1000)), None, "it is on its way");
    windows.leave(1, MS(1000));
    assert!(windows.has_turn(2));
}

#[test]
fn the_more_wait_the_shorter_a_fair_window_is() {
    let mut windows = Windows::<()>::new(4);
    for reader in 0..4 {
        windows.enter(reader, MS(0));
    }
    assert_eq!(windows.room(), LONGEST);
    assert!(!windows.is_scarce(MS(0)));
    for reader in 4..16 {
        windows.enter(reader, MS(7));
    }
    assert_eq!(windows.room(), LONGEST / 4);
    for reader in 0..16 {
        windows.leave(reader, MS(8));
    }
    assert!(windows.is_scarce(MS(10_007)), "who waited was served at 8");
    assert!(!windows.is_scarce(MS(10_008)));
}

#[test]
fn windows_grow_for_who_reads_on_and_shrink_for_who_stands_still_while_others_wait() {
    let mut pace = Pace::default();
    assert_eq!(pace.length(16_400, LONGEST), 16_400);
    let mut lengths = Vec::new();
    for _ in 0..6 {
        pace.read_through(false);
        lengths.push(pace.length(16_400, LONGEST) >> 10);
    }
    assert_eq!(lengths, [256, 512, 1024, 2048, 4096, 4096]);
    assert_eq!(pace.length(16_400, 1 << 20), 1 << 20);
    assert_eq!(pace.length(16_400, SHORTEST - 1), SHORTEST, "never less");
    assert_eq!(pace.length(100 << 20, LONGEST), LONGEST);
    // Slow, but nobody minds; then somebody does.
    pace.inside(MS(10));
    pace.outside(MS(1000));
    pace.read_through(false);
    assert_eq!(pace.length(1, LONGEST), LONGEST);
    pace.inside(MS(10));
    pace.outside(MS(1000));
    pace.read_through(true);
    assert_eq!(pace.length(1, LONGEST), 1);
    // Fast, however many wait.
    pace.inside(MS(10));
    pace.outside(MS(20));
    pace.read_through(true);
    assert_eq!(pace.length(1, LONGEST), SHORTEST);
    pace.interrupted();
    assert_eq!(pace.length(1, LONGEST), 1);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(Reader),
    Rest(Reader),
    Leave(Reader),
    Evict,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reader = 0..9u64;
    let step = prop_oneof![
        4 => reader.clone().prop_map(Step::Enter),
        3 => reader.clone().prop_map(Step::Rest),
        2 => reader.prop_map(Step::Leave),
        3 => Just(Step::Evict),
        3 => (0..80u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..200)
}

/// What is known from outside.
#[derive(Default)]
struct Model {
    now: u64,
    next: u32,
    /// Readers that use a request.
    using: BTreeSet<Reader>,
    /// Readers whose request lies idle: which, since when.
    idle: BTreeMap<Reader, (u32, u64)>,
    queue: VecDeque<Reader>,
}

impl Model {
    fn take_turn(&mut self, most: usize) {
        if self.using.len() + self.idle.len() < most
            && let Some(first) = self.queue.pop_front()
        {
            self.using.insert(first);
        }
    }

    fn step(&mut self, windows: &mut Windows<u32>, most: usize, step: Step) {
        let now = MS(self.now);
        match step {
            Step::Pass(time) => self.now += time,
            Step::Enter(reader) if !self.using.contains(&reader) && !self.waits(reader) => {
                let turn = windows.enter(reader, now);
                if let Some((window, _)) = self.idle.remove(&reader) {
                    assert_eq!(turn, Turn::Continue(window));
                    self.using.insert(reader);
                } else if self.using.len() + self.idle.len() < most {
                    assert_eq!(turn, Turn::Open);
                    self.using.insert(reader);
                } else {
                    assert_eq!(turn, Turn::Wait);
                    self.queue.push_back(reader);
                }
            }
            Step::Rest(reader) if self.using.remove(&reader) => {
                self.next += 1;
                windows.rest(reader, self.next, now);
                self.idle.insert(reader, (self.next, self.now));
            }
            Step::Leave(reader) => {
                let left = windows.close(reader);
                assert_eq!(left, self.idle.remove(&reader).map(|(window, _)| window));
                windows.leave(reader, now);
                self.using.remove(&reader);
                self.queue.retain(|waiting| *waiting != reader);
                self.take_turn(most);
            }
            Step::Evict => {
                let oldest = self.idle.values().map(|(_, since)| *since).min();
                let evicted = windows.evict(now);
                let due = oldest.is_some_and(|since| MS(since) + IDLE <= now);
                assert_eq!(evicted.is_some(), due && !self.queue.is_empty());
                if let Some(window) = evicted {
                    let mut idle = self.idle.iter();
                    let (loser, (_, since)) = idle.find(|(_, (w, _))| *w == window).unwrap();
                    assert_eq!(Some(*since), oldest);
                    let loser = *loser;
                    self.idle.remove(&loser);
                    self.take_turn(most);
                }
            }
            Step::Enter(_) | Step::Rest(_) => {}
        }
    }

    fn waits(&self, reader: Reader) -> bool {
        self.queue.contains(&reader)
    }
}

proptest! {
    #[test]
    fn whatever_readers_do_few_requests_are_open_none_is_lost_and_all_have_their_turn(
        most in 1..5usize,
        steps in steps(),
    ) {
        let mut windows = Windows::new(most);
        let mut model = Model::default();
        for step in steps {
            model.step(&mut windows, most, step);
            prop_assert!(windows.held.len() <= most);
            prop_assert_eq!(windows.held.len(), model.using.len() + model.idle.len());
            for reader in 0..9 {
                let has = model.using.contains(&reader) || model.idle.contains_key(&reader);
                prop_assert_eq!(windows.has_turn(reader), has);
            }
            prop_assert_eq!(windows.first(), model.queue.front().copied());
            prop_assert!(windows.queue.is_empty() || windows.held.len() == most);
            let least = model.idle.values().map(|(_, since)| MS(*since) + IDLE).min();
            prop_assert_eq!(windows.evicts_at(), least);
        }
        // Whoever still waits is served as soon as the others leave or stand still for long enough.
        while let Some(first) = windows.first() {
            model.step(&mut windows, most, Step::Pass(50));
            match model.using.first().copied() {
                Some(reader) if model.idle.is_empty() => {
                    model.step(&mut windows, most, Step::Leave(reader));
                }
                _ => model.step(&mut windows, most, Step::Evict),
            }
            prop_assert!(windows.has_turn(first));
        }
    }
}

/// Readers in simulated time: each reads segments and then stands still while its client takes
/// them. To open costs a round trip, a byte costs its share of a connection.
struct Crowd {
    windows: Windows<u64>,
    readers: Vec<Simulated>,
    waiting: VecDeque<usize>,
    /// When the first in the queue looks next.
    looks_at: Option<u64>,
    /// What happens when: (time in µs, reader, what).
    events: BinaryHeap<Reverse<(u64, usize, u8)>>,
    requests: u64,
    broken_off: u64,
    worst_wait: u64,
    /// When the last of them had read all, in µs.
    ended: u64,
}

struct Simulated {
    left: u64,
    pace: Pace,
    /// Time of the client for a read.
    client: u64,
    since: u64,
    asked: u64,
    had_window: bool,
    window: u64,
}

const NEED: u64 = 16_400;
const WANTS: u8 = 0;
const HAS_READ: u8 = 1;
const LOOKS: u8 = 2;

impl Crowd {
    fn run(most: usize, clients: &[u64], reads: u64) -> Self {
        let reader = |client: &u64| Simulated {
            left: reads * NEED,
            pace: Pace::default(),
            client: *client,
            since: 0,
            asked: 0,
            had_window: false,
            window: 0,
        };
        let mut crowd = Self {
            windows: Windows::new(most),
            readers: clients.iter().map(reader).collect(),
            waiting: VecDeque::new(),
            looks_at: None,
            events: (0..clients.len()).map(|n| Reverse((0, n, WANTS))).collect(),
            requests: 0,
            broken_off: 0,
            worst_wait: 0,
            ended: 0,
        };
        while let Some(Reverse((now, n, what))) = crowd.events.pop() {
            assert!(now < 3_600_000_000, "an hour has passed");
            crowd.ended = now;
            match what {
                WANTS => crowd.wants(n, now),
                HAS_READ => crowd.has_read(n, now),
                _ => crowd.look(now),
            }
        }
        assert!(crowd.readers.iter().all(|reader| reader.left == 0));
        assert!(crowd.windows.first().is_none());
        crowd
    }

    fn wants(&mut self, n: usize, now: u64) {
        let time = Duration::from_micros(now);
        let reader = &mut self.readers[n];
        reader.asked = now;
        reader
            .pace
            .outside(Duration::from_micros(now - reader.since));
        match self.windows.enter(n as u64, time) {
            Turn::Continue(left) => {
                reader.window = left;
                let took = NEED / 10;
                self.read(n, now, took);
            }
            Turn::Open => self.open(n, now),
            Turn::Wait => {
                self.waiting.push_back(n);
                self.look(now);
            }
        }
    }

    fn open(&mut self, n: usize, now: u64) {
        let room = self.windows.room();
        let reader = &mut self.readers[n];
        self.worst_wait = self.worst_wait.max(now - reader.asked);
        if reader.had_window {
            reader.pace.interrupted();
            self.broken_off += 1;
        }
        reader.window = reader.pace.length(NEED, room).min(reader.left);
        self.requests += 1;
        // 10 bytes a µs, and 20 ms for the first.
        self.read(n, now, 20_000 + NEED / 10);
    }

    fn read(&mut self, n: usize, now: u64, took: u64) {
        self.readers[n].pace.inside(Duration::from_micros(took));
        self.events.push(Reverse((now + took, n, HAS_READ)));
    }

    fn has_read(&mut self, n: usize, now: u64) {
        let time = Duration::from_micros(now);
        let reader = &mut self.readers[n];
        let got = NEED.min(reader.window);
        reader.left -= got;
        reader.window -= got;
        reader.since = now;
        reader.had_window = reader.window > 0;
        if reader.window == 0 {
            reader.pace.read_through(self.windows.is_scarce(time));
            self.windows.leave(n as u64, time);
            self.start_whose_turn_it_is(now);
        } else {
            self.windows.rest(n as u64, reader.window, time);
        }
        let reader = &self.readers[n];
        if reader.left > 0 {
            self.events.push(Reverse((now + reader.client, n, WANTS)));
        } else {
            self.windows.leave(n as u64, time);
            self.start_whose_turn_it_is(now);
        }
        self.look(now);
    }

    /// The turn may have come to the one that waits for longest.
    fn start_whose_turn_it_is(&mut self, now: u64) {
        if let Some(n) = self.waiting.front().copied()
            && self.windows.has_turn(n as u64)
        {
            self.waiting.pop_front();
            self.open(n, now);
        }
    }

    /// What the first in the queue does when it looks.
    fn look(&mut self, now: u64) {
        let Some(first) = self.windows.first() else {
            return;
        };
        if self.windows.evict(Duration::from_micros(now)).is_some() {
            assert_eq!(self.waiting.front().map(|n| *n as u64), Some(first));
            self.start_whose_turn_it_is(now);
        } else if let Some(at) = self.windows.evicts_at() {
            let at = u64::try_from(at.as_micros()).unwrap().max(now + 1);
            if self.looks_at.is_none_or(|known| at < known || known <= now) {
                self.looks_at = Some(at);
                self.events.push(Reverse((at, 0, LOOKS)));
            }
        }
    }
}

#[test]
fn five_hundred_slow_readers_share_four_requests_and_hardly_break_any_off() {
    // 16 KB/s each, twice as much as four connections could give with a handshake for each read.
    let crowd = Crowd::run(4, &[1_000_000; 500], 30);
    let reads = 500 * 30;
    assert!(crowd.requests <= reads, "{}", crowd.requests);
    assert!(crowd.broken_off <= 500, "{}", crowd.broken_off);
    assert!(crowd.worst_wait < 30_000_000, "{} us", crowd.worst_wait);
}

#[test]
fn a_fast_reader_gets_on_among_slow_ones_and_takes_nothing_from_them() {
    let mut clients = vec![1_000_000; 40];
    clients.push(100);
    let crowd = Crowd::run(4, &clients, 200);
    // All of its own requests are long: few in all.
    let slow = 40 * 200;
    assert!(crowd.requests < slow + 40, "{}", crowd.requests);
    assert!(crowd.worst_wait < 2_000_000, "{} us", crowd.worst_wait);
}

#[test]
fn readers_as_fast_as_the_store_have_long_windows_and_lose_none() {
    let crowd = Crowd::run(4, &[100; 5], 2000);
    assert_eq!(crowd.broken_off, 0);
    assert!(crowd.requests < 5 * 40, "{}", crowd.requests);
    // Alone, nobody loses anything either, however slow.
    let alone = Crowd::run(4, &[1_000_000; 4], 300);
    assert_eq!((alone.broken_off, alone.worst_wait), (0, 0));
}

#[test]
fn a_crowd_that_reads_on_gets_what_the_connections_can_give() {
    // 500 readers that take what comes, and a line that gives each of four connections 10 MB/s after
    // 20 ms: 5.7 MB/s with the shortest windows that there are for who reads on.
    let (readers, reads) = (500, 100);
    let crowd = Crowd::run(4, &vec![1_000; readers], reads);
    let bytes = readers as u64 * reads * NEED;
    let window = 20_000 + SHORTEST / 10;
    let could = bytes * window / SHORTEST / 4;
    assert!(crowd.ended < 2 * could, "{} of {could} us", crowd.ended);
}
