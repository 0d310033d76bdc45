//! Power cuts and failing disks under the database: what was acknowledged is there afterwards, and
//! at most the one change that was in flight on top of it.
//!
//! A storage backend records every write and sync of a run. Each moment of it is then replayed as a
//! power cut: what was synced is on the disk; of what was not, nothing, all, or any part, down to
//! single sectors of 512 bytes. A second run fails the n-th operation of the disk, for every n.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod workload;

use disk::{Cut, Dice, Disk, Event, Handle, apply, cut};
use mayfly::metadata::{MetadataError, OnFatal, RedbMetadata};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use workload::{WORKLOAD, state};

fn never() -> OnFatal {
    Arc::new(|reason| panic!("no commit may fail here: {reason}"))
}

fn open(disk: &Arc<Disk>, on_fatal: OnFatal) -> Result<RedbMetadata, MetadataError> {
    RedbMetadata::with_backend(Handle(disk.clone()), on_fatal)
}

/// A whole run: the states between the changes, and how far the disk was at each.
struct Run {
    initial: Vec<u8>,
    events: Vec<Event>,
    /// After `moments[k]` events, `k` changes were acknowledged.
    moments: Vec<usize>,
    states: Vec<String>,
}

impl Run {
    /// What a start may find when `known` changes were acknowledged.
    fn possible(&self, known: usize) -> &[String] {
        &self.states[known..self.states.len().min(known + 2)]
    }
}

fn run() -> Run {
    let disk = Disk::holding(Vec::new());
    drop(open(&disk, never()).unwrap());
    let initial = disk.bytes.lock().unwrap().clone();
    disk.events.lock().unwrap().clear();

    let db = open(&disk, never()).unwrap();
    let mut moments = vec![disk.moment()];
    let mut states = vec![state(&db)];
    for change in WORKLOAD {
        change(&db).unwrap();
        moments.push(disk.moment());
        states.push(state(&db));
    }
    assert!(
        states.windows(2).all(|pair| pair[0] != pair[1]),
        "every change shows"
    );
    drop(db);
    let events = disk.events.lock().unwrap().clone();
    Run {
        initial,
        events,
        moments,
        states,
    }
}

#[test]
fn a_power_cut_at_any_moment_keeps_what_was_acknowledged() {
    let run = run();
    let mut dice = Dice(7);
    let mut durable = run.initial.clone();
    let mut synced = 0;
    let mut cuts = 0;
    let mut slowest = Duration::ZERO;
    for moment in 0..=run.events.len() {
        if moment > 0 && matches!(run.events[moment - 1], Event::Sync) {
            for event in &run.events[synced..moment] {
                apply(&mut durable, event);
            }
            synced = moment;
        }
        let acknowledged = run.moments.partition_point(|m| *m <= moment);
        // The first of them is the opening, before any change.
        let known = acknowledged.saturating_sub(1);
        let pending = &run.events[synced..moment];
        let ways: &[Cut] = match pending.len() {
            0 => &[Cut::Nothing],
            _ => &[Cut::All, Cut::Writes, Cut::Sectors],
        };
        for how in ways {
            let disk = Disk::holding(cut(&durable, pending, *how, &mut dice));
            let place = format!("moment {moment}, {how:?}, {known} changes acknowledged");
            let start = Instant::now();
            let db = open(&disk, never()).unwrap_or_else(|e| panic!("{place}: {e}"));
            slowest = slowest.max(start.elapsed());
            db.verify().unwrap_or_else(|e| panic!("{place}: {e}"));
            let found = state(&db);
            assert!(run.possible(known).contains(&found), "{place}: {found}");
            cuts += 1;
        }
    }
    assert!(cuts > 200, "only {cuts} power cuts");
    assert!(slowest < Duration::from_secs(2), "a start took {slowest:?}");
}

#[test]
fn a_disk_that_fails_once_stops_the_writer_and_loses_nothing() {
    fail_every_operation(false);
}

#[test]
fn a_disk_that_fails_for_good_stops_the_writer_and_loses_nothing() {
    fail_every_operation(true);
}

fn fail_every_operation(stays_broken: bool) {
    let run = run();
    let mut n = 1;
    while fails_at(&run, n, stays_broken) {
        n += 1;
        assert!(n < 10_000, "the run never gets through");
    }
    assert!(n > 100, "only {n} operations were made to fail");
}

/// Runs the workload on a disk whose `n`-th operation fails. False when it got through before.
fn fails_at(run: &Run, n: u64, stays_broken: bool) -> bool {
    let disk = Arc::new(Disk {
        bytes: Mutex::new(run.initial.clone()),
        fuse: AtomicU64::new(n),
        stays_broken,
        ..Disk::default()
    });
    let fatal = Arc::new(AtomicU64::new(0));
    let heard = fatal.clone();
    let on_fatal: OnFatal = Arc::new(move |_| {
        heard.fetch_add(1, Ordering::SeqCst);
    });
    let mut done = 0;
    let mut failed = false;
    match open(&disk, on_fatal) {
        Err(MetadataError::Unavailable(_) | MetadataError::OutcomeUnknown(_)) => failed = true,
        Err(other) => panic!("operation {n}: {other}"),
        Ok(db) => {
            for change in WORKLOAD {
                match change(&db) {
                    Ok(()) => {
                        assert!(!failed, "operation {n}: a change after the failure");
                        done += 1;
                    }
                    Err(MetadataError::OutcomeUnknown(_)) => {
                        assert!(!failed, "operation {n}: only the first one is unknown");
                        failed = true;
                    }
                    Err(MetadataError::Unavailable(_)) => failed = true,
                    Err(other) => panic!("operation {n}: {other}"),
                }
            }
            drop(db);
            let heard = fatal.load(Ordering::SeqCst);
            assert_eq!(heard, u64::from(failed), "operation {n}: on_fatal");
        }
    }
    // The process starts again, on what the page cache holds.
    let disk = Disk::holding(disk.bytes.lock().unwrap().clone());
    let db = open(&disk, never()).unwrap_or_else(|e| panic!("operation {n}: {e}"));
    db.verify().unwrap_or_else(|e| panic!("operation {n}: {e}"));
    let found = state(&db);
    assert!(
        run.possible(done).contains(&found),
        "operation {n}, {done} changes acknowledged: {found}"
    );
    failed
}
