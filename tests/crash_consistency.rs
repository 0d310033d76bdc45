//! Power cuts and failing disks under the database: what was acknowledged is there afterwards, and
//! at most the one change that was in flight on top of it.
//!
//! A storage backend records every write and sync of a run. Each moment of it is then replayed as a
//! power cut: what was synced is on the disk; of what was not, nothing, all, or any part, down to
//! single sectors of 512 bytes. A second run fails the n-th operation of the disk, for every n.

use mayfly::metadata::{
    BlobSource, LinkEdit, Metadata, MetadataError, NewLink, OnFatal, RedbMetadata,
};
use mayfly::model::{
    Account, AccountId, AccountKeyWraps, Allowance, ApiKey, Blob, BlobFormat, BlobId, Expiry,
    Lease, LeaseId, Link, Lookup, PasswordParams, Permissions, Timestamp,
};
use redb::StorageBackend;
use std::fmt::{Debug, Write};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECTOR: usize = 512;

/// What reached the backend.
#[derive(Clone, Debug)]
enum Event {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

/// A disk in memory.
#[derive(Debug, Default)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    events: Mutex<Vec<Event>>,
    /// The operation that fails, counted from 1; 0 when none shall.
    fuse: AtomicU64,
    /// Whether all operations after it fail as well.
    stays_broken: bool,
}

#[derive(Debug)]
struct Handle(Arc<Disk>);

impl Disk {
    fn holding(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(bytes),
            ..Self::default()
        })
    }

    fn burn(&self) -> io::Result<()> {
        let left = self.fuse.load(Ordering::SeqCst);
        if left == 1 {
            if !self.stays_broken {
                self.fuse.store(0, Ordering::SeqCst);
            }
            return Err(io::Error::other("injected"));
        }
        self.fuse.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(())
    }

    fn record(&self, event: Event) -> io::Result<()> {
        self.burn()?;
        apply(&mut self.bytes.lock().unwrap(), &event);
        self.events.lock().unwrap().push(event);
        Ok(())
    }

    fn moment(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let end = at(*offset) + data.len();
            // A write that reached the disk brought the length along.
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at(*offset)..end].copy_from_slice(data);
        }
        Event::Resize(length) => bytes.resize(at(*length), 0),
        Event::Sync => {}
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.0.bytes.lock().unwrap().len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.burn()?;
        let bytes = self.0.bytes.lock().unwrap();
        let from = bytes
            .get(at(offset)..at(offset) + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.record(Event::Resize(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.record(Event::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.record(Event::Write(offset, data.to_vec()))
    }
}

fn never() -> OnFatal {
    Arc::new(|reason| panic!("no commit may fail here: {reason}"))
}

fn open(disk: &Arc<Disk>, on_fatal: OnFatal) -> Result<RedbMetadata, MetadataError> {
    RedbMetadata::with_backend(Handle(disk.clone()), on_fatal)
}

fn lookup(n: u8) -> Lookup {
    Lookup([n; 32])
}

fn hotlink(n: u8) -> Lookup {
    Lookup([n ^ 0x80; 32])
}

fn blob_id(n: u8) -> BlobId {
    BlobId([n; 16])
}

fn lease_id(n: u8) -> LeaseId {
    LeaseId([n; 16])
}

fn publish(db: &RedbMetadata, n: u8, source: BlobSource) -> Result<(), MetadataError> {
    let blob = match &source {
        BlobSource::New { blob, .. } => blob.id,
        BlobSource::Shared(id) => *id,
    };
    let link = Link {
        lookup: lookup(n),
        owner: AccountId(1),
        blob,
        size: u64::from(n),
        created: Timestamp(i64::from(n)),
        expiry: Expiry {
            at: Timestamp(1_000 + i64::from(n)),
            unlimited: false,
        },
        allowance: Allowance {
            remaining: 2,
            leased: 0,
            unlimited: false,
            count: 0,
        },
        pending_delete: None,
        password: None,
        by_link: vec![n; 60],
        by_owner: vec![n; 140],
        label: vec![n; 80],
        hotlink: Some(hotlink(n)),
    };
    let by_hotlink = Some(vec![n; 60]);
    db.publish(NewLink {
        link,
        source,
        by_hotlink,
    })
    .map(drop)
}

fn new_blob(n: u8) -> BlobSource {
    BlobSource::New {
        blob: Blob {
            id: blob_id(n),
            format: BlobFormat::Sealed,
            size: u64::from(n),
            stored: 100,
            tag: Some([n; 32]),
            references: 0,
        },
        by_plaintext: Some(vec![n; 60]),
    }
}

fn take(db: &RedbMetadata, link: u8, n: u8) -> Result<(), MetadataError> {
    let lease = Lease {
        id: lease_id(n),
        link: lookup(link),
        taken: Timestamp(100),
        client: [n; 16],
        closing: false,
    };
    db.take_lease(&lease).map(drop)
}

fn hide(db: &RedbMetadata, link: u8) -> Result<(), MetadataError> {
    let edit = LinkEdit {
        pending_delete: Some(Some(Timestamp(500))),
        ..LinkEdit::default()
    };
    db.edit(&lookup(link), edit).map(drop)
}

fn add_account(db: &RedbMetadata, n: u8) -> Result<(), MetadataError> {
    let account = Account {
        id: AccountId(0),
        name: format!("account {n}"),
        created: Timestamp(0),
        password: PasswordParams {
            salt: [n; 16],
            memory_kib: 12_288,
            passes: 3,
        },
        wraps: AccountKeyWraps {
            by_password: vec![n; 60],
            by_master: None,
        },
    };
    let key = ApiKey {
        lookup: lookup(n),
        public_id: "p".repeat(35),
        account: AccountId(0),
        name: "key".to_owned(),
        created: Timestamp(0),
        permissions: Permissions::BASIC,
        wrap: vec![n; 60],
    };
    db.add_account(account, key).map(drop)
}

type Change = fn(&RedbMetadata) -> Result<(), MetadataError>;

/// One of every kind of change, on and around the same few links.
const WORKLOAD: &[Change] = &[
    |db| add_account(db, 1),
    |db| publish(db, 1, new_blob(1)),
    |db| publish(db, 2, new_blob(2)),
    |db| publish(db, 3, new_blob(3)),
    |db| publish(db, 4, new_blob(4)),
    |db| publish(db, 5, BlobSource::Shared(blob_id(1))),
    |db| take(db, 1, 1),
    |db| take(db, 1, 2),
    |db| db.close_lease(&lease_id(1)).map(drop),
    |db| db.settle_lease(&lease_id(1)).map(drop),
    |db| db.return_lease(&lease_id(2)),
    |db| hide(db, 2),
    |db| db.add_downloads(&[(lookup(3), 7)]),
    |db| take(db, 1, 3),
    // The last download of this link; its blob lives on in link 5.
    |db| db.settle_lease(&lease_id(3)).map(drop),
    |db| {
        db.remove_over(&[lookup(2), lookup(3)], Timestamp(600))
            .map(drop)
    },
    |db| db.remove(&lookup(5)).map(drop),
    |db| db.collected(&[blob_id(2)]),
    |db| add_account(db, 2),
];

/// Everything that can be asked, as text.
fn state(db: &RedbMetadata) -> String {
    fn add(state: &mut String, part: &impl Debug) {
        writeln!(state, "{part:?}").unwrap();
    }
    let state = &mut String::new();
    add(state, &db.links_of(AccountId(1), None, 100).unwrap());
    add(state, &db.due(Timestamp(i64::MAX), 100).unwrap());
    add(state, &db.leases().unwrap());
    add(state, &db.garbage(100).unwrap());
    add(state, &db.link_count().unwrap());
    for n in 1..=5 {
        add(state, &db.blob(&blob_id(n)).unwrap());
        add(state, &db.duplicate(&[n; 32]).unwrap());
        add(state, &db.hotlink(&hotlink(n)).unwrap());
        add(state, &db.account(AccountId(u64::from(n))).unwrap());
        add(state, &db.account_named(&format!("ACCOUNT {n}")).unwrap());
        add(state, &db.api_key(&lookup(n)).unwrap());
    }
    std::mem::take(state)
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

/// A small generator: the same cuts in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> bool {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 63 == 1
    }
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Each write whole or not at all.
    Writes,
    /// Each sector of each write whole or not at all.
    Sectors,
}

fn cut(durable: &[u8], pending: &[Event], how: Cut, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = durable.to_vec();
    for event in pending {
        match (how, event) {
            (Cut::Nothing, _) => {}
            (Cut::All, _) => apply(&mut bytes, event),
            (Cut::Sectors, Event::Write(offset, data)) => {
                for (i, sector) in data.chunks(SECTOR).enumerate() {
                    if dice.roll() {
                        let offset = offset + u64::try_from(i * SECTOR).unwrap();
                        apply(&mut bytes, &Event::Write(offset, sector.to_vec()));
                    }
                }
            }
            (Cut::Writes | Cut::Sectors, _) => {
                if dice.roll() {
                    apply(&mut bytes, event);
                }
            }
        }
    }
    bytes
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
