//! The lease book against random clients: the account of bytes on its own, without bytes.

use crate::model::{BlobId, LeaseId, Lookup};
use crate::service::lease_book::{Bearer, Cargo, Claim, End, LeaseBook};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

const LINK: Lookup = Lookup([7; 32]);
const PATIENCE: Duration = Duration::from_secs(600);

/// What a client does. Clients 0 and 1 share an address, 2 has another.
#[derive(Clone, Debug)]
enum Step {
    /// Asks for these bytes, with the last cookie that it got or without one.
    Ask {
        client: usize,
        ranges: Vec<(u64, u64)>,
        with_cookie: bool,
    },
    /// One of the running transfers ends after so many of 100 parts.
    End { which: usize, percent: u64 },
    /// Time goes by, and the sweep comes.
    Wait(u64),
    /// The process is killed. Running transfers may have delivered what had left.
    Crash { percent: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (
        0usize..3,
        prop::collection::vec((0u64..=24, 0u64..=24), 1..3),
        any::<bool>(),
    )
        .prop_map(|(client, ranges, with_cookie)| Step::Ask {
            client,
            ranges,
            with_cookie,
        });
    let whole = (0usize..3, any::<bool>()).prop_map(|(client, with_cookie)| Step::Ask {
        client,
        ranges: vec![(0, 24)],
        with_cookie,
    });
    let end = (0usize..4, prop_oneof![Just(100u64), 0u64..100])
        .prop_map(|(which, percent)| Step::End { which, percent });
    let step = prop_oneof![
        4 => ask,
        2 => whole,
        6 => end,
        1 => (1u64..700).prop_map(Step::Wait),
        1 => (0u64..=100).prop_map(|percent| Step::Crash { percent }),
    ];
    prop::collection::vec(step, 1..60)
}

struct Running {
    client: usize,
    claim: Claim,
    bearer: Bearer,
    cargo: Cargo,
}

/// The link and its clients, as the service drives the book: the rows of the database, and what
/// each client has.
struct Model {
    book: LeaseBook,
    size: u64,
    now: Duration,
    next: u8,
    remaining: u32,
    counted: u32,
    /// Open leases in the database, and whether they are closing.
    rows: BTreeMap<Claim, bool>,
    cookies: [Option<Claim>; 3],
    has: [BTreeSet<u64>; 3],
    running: Vec<Running>,
}

impl Model {
    fn new(size: u64, allowance: u32) -> Self {
        Self {
            book: LeaseBook::default(),
            size,
            now: Duration::from_secs(1),
            next: 0,
            remaining: allowance,
            counted: 0,
            rows: BTreeMap::new(),
            cookies: [None; 3],
            has: Default::default(),
            running: Vec::new(),
        }
    }

    fn end(&mut self, claim: Claim, end: End) {
        if self.rows.remove(&claim).is_some() {
            match end {
                End::Settle => self.counted += 1,
                End::Return => self.remaining += 1,
            }
        }
        self.book.forget(&claim);
    }

    fn ask(&mut self, client: usize, ranges: &[(u64, u64)], with_cookie: bool) {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(a, b)| (*a.min(b)).min(self.size)..(*a.max(b)).min(self.size))
            .filter(|range| !range.is_empty())
            .collect();
        if ranges.is_empty() {
            return;
        }
        let cargo = Cargo {
            ranges,
            span: self.size,
            blob: BlobId([1; 16]),
        };
        let address = [u8::from(client == 2); 16];
        let cookie = self.cookies[client].filter(|_| with_cookie);
        let mut found = None;
        if let Some(claim) = cookie
            && self.book.continue_as_owner(&claim, &cargo, self.now)
        {
            found = Some((claim, Bearer::Owner));
        }
        if found.is_none() {
            let claim = self
                .book
                .continue_as_neighbour(&LINK, &address, &cargo, self.now);
            found = claim.map(|claim| (claim, Bearer::Neighbour));
        }
        if found.is_none() && self.remaining > 0 {
            self.remaining -= 1;
            self.next += 1;
            let claim = Claim {
                link: LINK,
                client: address,
                id: LeaseId([self.next; 16]),
            };
            self.rows.insert(claim, false);
            self.book.enter(claim, &cargo, false, 0, self.now);
            self.cookies[client] = Some(claim);
            found = Some((claim, Bearer::Owner));
        }
        if let Some((claim, bearer)) = found {
            self.running.push(Running {
                client,
                claim,
                bearer,
                cargo,
            });
        }
    }

    /// Delivers the first `percent` of a transfer, as the service sends it: closing comes before
    /// the last byte of the file.
    fn deliver(&mut self, transfer: &Running, percent: u64) -> Vec<Range<u64>> {
        let total: u64 = transfer.cargo.ranges.iter().map(|r| r.end - r.start).sum();
        let mut left = total * percent / 100;
        let mut delivered = Vec::new();
        for range in &transfer.cargo.ranges {
            let length = left.min(range.end - range.start);
            left -= length;
            delivered.push(range.start..range.start + length);
            self.has[transfer.client].extend(range.start..range.start + length);
        }
        if delivered.iter().any(|r| r.contains(&(self.size - 1)))
            && self.book.needs_closing(&transfer.claim)
        {
            self.rows
                .entry(transfer.claim)
                .and_modify(|closing| *closing = true);
            self.book.closed(&transfer.claim);
        }
        delivered
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ask {
                client,
                ranges,
                with_cookie,
            } => self.ask(*client, ranges, *with_cookie),
            Step::End { which, percent } => {
                if self.running.is_empty() {
                    return;
                }
                let transfer = self.running.swap_remove(which % self.running.len());
                let delivered = self.deliver(&transfer, *percent);
                let Running {
                    claim,
                    bearer,
                    cargo,
                    ..
                } = transfer;
                let end = self
                    .book
                    .finish(&claim, bearer, &cargo, &delivered, self.now);
                if let Some(end) = end {
                    self.end(claim, end);
                }
            }
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(*seconds);
                for (claim, end) in self.book.over(PATIENCE, self.now) {
                    self.end(claim, end);
                }
            }
            Step::Crash { percent } => {
                for transfer in std::mem::take(&mut self.running) {
                    self.deliver(&transfer, *percent);
                }
                self.book = LeaseBook::default();
                for (claim, closing) in self.rows.clone() {
                    if closing {
                        self.end(claim, End::Settle);
                    } else {
                        self.book.adopt(claim, self.now);
                    }
                }
            }
        }
    }

    fn whole_copies(&self) -> u32 {
        let whole = |has: &&BTreeSet<u64>| has.len() as u64 == self.size;
        self.has.iter().filter(whole).count() as u32
    }
}

#[test]
fn whole_copies_are_counted_whatever_clients_do() {
    let config = ProptestConfig {
        cases: 1_500,
        ..ProptestConfig::default()
    };
    proptest!(config, |(size in 1u64..=24, allowance in 1u32..=3, steps in steps())| {
        let mut model = Model::new(size, allowance);
        for step in &steps {
            model.step(step);
            // A lease that is closing counts in the end, whatever happens now.
            let closing = model.rows.values().filter(|closing| **closing).count() as u32;
            prop_assert!(model.whole_copies() <= model.counted + closing);
            prop_assert!(model.counted <= allowance);
            let held = model.rows.len() as u32;
            prop_assert_eq!(model.remaining + held + model.counted, allowance);
        }
        // In the end everything is settled or given back, and the copies are counted.
        model.step(&Step::Crash { percent: 0 });
        model.step(&Step::Wait(700));
        prop_assert!(model.rows.is_empty());
        prop_assert!(model.whole_copies() <= model.counted);
    });
}

#[test]
fn without_crashes_only_delivered_last_bytes_count() {
    let config = ProptestConfig {
        cases: 500,
        ..ProptestConfig::default()
    };
    proptest!(config, |(size in 1u64..=24, allowance in 1u32..=3, steps in steps())| {
        let mut model = Model::new(size, allowance);
        for step in steps.iter().filter(|step| !matches!(step, Step::Crash { .. })) {
            model.step(step);
        }
        while !model.running.is_empty() {
            model.step(&Step::End { which: 0, percent: 0 });
        }
        model.step(&Step::Wait(700));
        prop_assert!(model.rows.is_empty());
        if model.has.iter().all(|has| !has.contains(&(size - 1))) {
            prop_assert_eq!(model.remaining, allowance, "usable again");
        }
    });
}
