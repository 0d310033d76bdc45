//! Uploads to a server that fails on a script.

#[path = "../../../../tests/support/s3_faults.rs"]
mod s3_faults;
mod sweeps;

use super::*;
use crate::model::{Clock, Timestamp};
use crate::store::s3::exchange::Patience;
use crate::store::s3::tries::Wish;
use crate::store::s3::{Credentials, MemoryJournal, S3Settings};
use s3_faults::{Fault, FaultServer, Op};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The time that both ends have.
const NOW: Timestamp = Timestamp(1_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
/// The size of a part of a blob whose length is known to be small.
const PART: usize = 15 << 19;
const ID: BlobId = BlobId([0xab; 16]);
/// A part and a bit.
const LENGTH: usize = PART + 1000;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(120);
const BUSY: Fault = Fault::Status(503, "SlowDown", Some(0));

struct World {
    server: FaultServer,
    uploads: Arc<Uploads>,
    journal: Arc<MemoryJournal>,
    incoming: tempfile::TempDir,
    clock: Arc<StoppedClock>,
}

/// A clock that goes on by hand.
#[derive(Default)]
struct StoppedClock(AtomicU64);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

fn client(
    server: &FaultServer,
    concurrency: usize,
    stall: Duration,
    clock: Arc<dyn Clock>,
) -> Client {
    let settings = S3Settings {
        endpoint: format!("http://{}", server.address),
        region: "test".to_owned(),
        bucket: "bucket".to_owned(),
        prefix: "files/".to_owned(),
        path_style: true,
        credentials: Credentials {
            key_id: "id".to_owned().into(),
            secret: "secret".to_owned().into(),
            token: None,
        },
        ca_file: None,
        concurrency,
    };
    let patience = Patience {
        stall,
        // The server always says whether it wants a body.
        asked: Duration::from_secs(120),
        pause: Box::new(|_| ()),
        ..Patience::default()
    };
    Client::patient(&settings, clock, patience).unwrap()
}

fn world_of(concurrency: usize, plan: &[(Op, Fault)]) -> World {
    let retries = Retries {
        tries: 4,
        first: Duration::from_millis(1),
        away: Duration::from_millis(20),
    };
    trying(concurrency, plan, LONG, retries)
}

/// One that waits for a silent server for twice `stall`.
fn trying(concurrency: usize, plan: &[(Op, Fault)], stall: Duration, retries: Retries) -> World {
    let server = FaultServer::start(plan.iter().copied());
    let incoming = tempfile::tempdir().unwrap();
    let journal = Arc::new(MemoryJournal::default());
    let own: Arc<dyn Journal> = Arc::clone(&journal) as _;
    let clock = Arc::new(StoppedClock::default());
    let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let client = client(&server, concurrency, stall, time);
    let uploads = Uploads::new(client, own, incoming.path(), 0, retries).unwrap();
    World {
        server,
        uploads,
        journal,
        incoming,
        clock,
    }
}

/// One that does not give up soon.
fn patient(plan: &[(Op, Fault)], stall: Duration) -> World {
    let retries = Retries {
        tries: 1000,
        first: Duration::from_millis(1),
        away: LONG,
    };
    trying(1, plan, stall, retries)
}

fn world(plan: &[(Op, Fault)]) -> World {
    world_of(4, plan)
}

impl World {
    fn put(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut stage = self.uploads.stage(&ID, Some(bytes.len() as u64))?;
        bytes
            .chunks(100_000)
            .try_for_each(|piece| stage.write(piece))?;
        stage.commit()
    }

    fn key(&self) -> String {
        format!("files/{}", ID.to_hex())
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.server.object(&self.key()).as_deref() == Some(bytes)
    }

    fn upload(&self, id: BlobId, upload: &str) -> OpenUpload {
        OpenUpload {
            id,
            place: self.uploads.context.bucket.place(),
            upload: upload.to_owned(),
            begun: NOW,
        }
    }

    fn open(&self) -> usize {
        self.journal.open(None, 10).unwrap().len()
    }

    /// Waits for the senders to clean up what was given up.
    fn until_nothing_is_open(&self) {
        self.server.until_no_uploads();
        until(|| self.open() == 0);
    }
}

/// Whoever never loses interest.
struct Patient;

impl Wish for Patient {
    fn is_over(&self) -> bool {
        false
    }

    fn awaited(&self) -> Option<Duration> {
        None
    }

    fn pause(&self, _: Duration) {}
}

/// Waits for something that a thread is about to do.
fn until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn bytes() -> Vec<u8> {
    (0u64..)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
        .take(LENGTH)
        .collect()
}

/// The text of a refusal.
fn reason(result: Result<(), StoreError>) -> String {
    match result {
        Err(StoreError::Refused(why)) => why.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_part_that_fails_is_sent_again_until_it_is_stored() {
    let bytes = bytes();
    let stories: &[&[Fault]] = &[
        &[Fault::Cut(0)],
        &[Fault::Cut(1 << 20), Fault::Cut(7 << 20)],
        &[Fault::Reset(0), Fault::Reset(100_000)],
        &[Fault::Status(500, "InternalError", None)],
        &[BUSY, BUSY, BUSY],
        &[Fault::ErrorIn200],
        &[Fault::LostAnswer, Fault::NoTag],
    ];
    for story in stories {
        let plan: Vec<_> = story.iter().map(|fault| (Op::Part, *fault)).collect();
        // One sender: the first part meets all of them.
        let world = world_of(1, &plan);
        world
            .put(&bytes)
            .unwrap_or_else(|e| panic!("{story:?}: {e:?}"));
        assert!(world.holds(&bytes), "{story:?}");
        assert_eq!(world.server.count(Op::Part), 2 + story.len(), "{story:?}");
        assert_eq!((world.server.uploads(), world.open()), (0, 0), "{story:?}");
    }
}

#[test]
fn a_part_that_fails_too_often_fails_the_upload_and_nothing_of_it_stays() {
    let world = world(&[(Op::Part, BUSY); 8]);
    let why = reason(world.put(&bytes()));
    assert!(why.contains("as planned") && why.contains("Wait"), "{why}");
    world.until_nothing_is_open();
    assert_eq!(world.server.objects(), 0);
    assert_eq!(world.server.count(Op::Complete), 0);
}

#[test]
fn what_is_forbidden_is_not_tried_again_and_says_what_is_missing() {
    let bytes = bytes();
    for op in [Op::Begin, Op::Part, Op::Complete] {
        let world = world_of(1, &[(op, Fault::Early)]);
        let why = reason(world.put(&bytes));
        assert!(why.contains("rights"), "{op:?}: {why}");
        assert_eq!(world.server.count(op), 1, "{op:?}");
        world.until_nothing_is_open();
        assert_eq!(world.server.objects(), 0);
    }
    let world = world(&[(Op::Put, Fault::Early)]);
    let why = reason(world.put(b"small"));
    assert!(why.contains("rights"), "{why}");
    assert_eq!(world.server.count(Op::Put), 1);
}

#[test]
fn an_upload_whose_end_is_unclear_is_looked_for() {
    let bytes = bytes();
    let stories: &[&[Fault]] = &[
        &[Fault::LostAnswer],
        &[Fault::Cut(0)],
        &[Fault::ErrorIn200],
        &[Fault::ErrorIn200, Fault::LostAnswer],
        &[Fault::Status(500, "InternalError", None), BUSY],
        &[Fault::Reset(10), Fault::LostAnswer],
    ];
    for story in stories {
        let plan: Vec<_> = story.iter().map(|fault| (Op::Complete, *fault)).collect();
        let world = world(&plan);
        world
            .put(&bytes)
            .unwrap_or_else(|e| panic!("{story:?}: {e:?}"));
        assert!(world.holds(&bytes), "{story:?}");
        assert_eq!((world.server.uploads(), world.open()), (0, 0), "{story:?}");
    }
}

#[test]
fn an_upload_that_cannot_be_completed_is_refused_and_removed() {
    let bytes = bytes();
    for plan in [
        vec![(Op::Complete, Fault::ErrorIn200); 20],
        vec![(Op::Part, Fault::WrongTag)],
    ] {
        let world = world(&plan);
        reason(world.put(&bytes));
        world.until_nothing_is_open();
        assert_eq!(world.server.objects(), 0);
    }
}

#[test]
fn a_small_file_whose_answer_was_lost_is_there_once() {
    for fault in [Fault::LostAnswer, Fault::Cut(2), Fault::Reset(0), BUSY] {
        let world = world(&[(Op::Put, fault)]);
        world.put(b"small").unwrap();
        assert!(world.holds(b"small"), "{fault:?}");
        assert_eq!(world.server.count(Op::Put), 2, "{fault:?}");
    }
    let world = world(&[(Op::Put, Fault::LostAnswer); 4]);
    world.put(b"small").unwrap();
    assert!(world.holds(b"small"));
}

#[test]
fn a_server_that_hangs_is_given_up_and_asked_again() {
    // A machine that stands still for seconds makes it one try more, and no failure.
    let world = patient(&[(Op::Put, Fault::Hang)], Duration::from_secs(2));
    world.put(b"small").unwrap();
    assert!(world.holds(b"small"));
}

#[test]
fn while_the_server_is_away_uploads_are_refused_before_they_begin_and_one_finds_it_back() {
    let fault = Fault::Cut(0);
    let world = world(&[[(Op::Put, fault); 4], [(Op::Head, fault); 4]].concat());
    // The fifth failure is that of looking whether it is there after all.
    reason(world.put(b"small"));
    let why = reason(world.uploads.stage(&ID, Some(5)).map(drop));
    assert!(why.contains("Look whether the endpoint"), "{why}");
    assert_eq!(
        (world.server.count(Op::Put), world.server.count(Op::Head)),
        (4, 1)
    );
    world.clock.0.fetch_add(60, Ordering::SeqCst);
    world.put(b"small").unwrap();
    assert!(world.uploads.stage(&ID, Some(5)).is_ok());
}

#[test]
fn a_small_file_is_one_request_and_an_empty_one_too() {
    for bytes in [&[][..], b"small", &[7; 100 << 10]] {
        let world = world(&[]);
        world.put(bytes).unwrap();
        assert!(world.holds(bytes));
        let seen = [Op::Put, Op::Begin, Op::Head, Op::Abort].map(|op| world.server.count(op));
        assert_eq!(seen, [1, 0, 0, 0]);
    }
}

#[test]
fn an_object_that_is_there_is_not_replaced() {
    let world = world(&[]);
    world.server.put_object(&world.key(), b"there before");
    assert!(matches!(world.put(b"small"), Err(StoreError::Exists)));
    assert!(matches!(world.put(&bytes()), Err(StoreError::Exists)));
    assert!(world.holds(b"there before"));
    world.until_nothing_is_open();
}

#[test]
fn a_server_that_knows_no_conditions_is_asked_once() {
    let world = world(&[]);
    world.server.forget_conditions();
    world.put(b"small").unwrap();
    world.put(&bytes()).unwrap();
    let conditional = [Op::Put, Op::Complete].map(|op| world.server.conditional(op));
    assert_eq!(conditional, [1, 0]);
    assert_eq!(world.server.count(Op::Put), 2);
}

#[test]
fn a_server_that_takes_a_condition_for_a_mistake_is_asked_without_one_from_then_on() {
    let mistake = Fault::Status(400, "InvalidArgument", None);
    let world = world(&[(Op::Put, mistake)]);
    world.put(b"small").unwrap();
    world.put(b"again").unwrap();
    let seen = (
        world.server.count(Op::Put),
        world.server.conditional(Op::Put),
    );
    assert_eq!(seen, (3, 1));
}

#[test]
fn whatever_a_proxy_says_while_its_server_restarts_a_stored_upload_is_not_thrown_away() {
    let bytes = bytes();
    let gone = [502, 500, 504, 502, 500, 503].map(|status| Fault::Status(status, "", None));
    for op in [Op::Begin, Op::Part, Op::Complete] {
        let plan = gone.map(|fault| (op, fault));
        let world = patient(&plan, LONG);
        world
            .put(&bytes)
            .unwrap_or_else(|e| panic!("{op:?}: {e:?}"));
        assert!(world.holds(&bytes), "{op:?}");
        // Whether one of them has begun an upload after all, a sweep will see.
        let unnamed = usize::from(op == Op::Begin);
        let left = (world.server.uploads(), world.open());
        assert_eq!(left, (0, unnamed), "{op:?}");
    }
}

#[test]
fn before_an_object_is_completed_again_it_is_looked_for() {
    // Each request is one attempt, and after each that failed the object is asked for.
    let fault = Fault::Status(500, "InternalError", None);
    let world = world(&[(Op::Complete, fault), (Op::Complete, Fault::LostAnswer)]);
    world.put(&bytes()).unwrap();
    let seen = [Op::Complete, Op::Head].map(|op| world.server.count(op));
    assert_eq!(seen, [2, 2]);
}

#[test]
fn what_no_bucket_takes_is_too_large_and_not_a_lack_of_space() {
    let world = world(&[]);
    let refused = world.uploads.stage(&ID, Some(MAX_BLOB + 1)).map(drop);
    assert!(matches!(
        refused,
        Err(StoreError::TooLarge { most: MAX_BLOB })
    ));
}

#[test]
fn a_stage_that_is_dropped_breaks_off_what_is_under_way() {
    // A part is at the server, another waits, a third is half full.
    let world = world_of(1, &[(Op::Part, Fault::Wait)]);
    let length = 2 * PART + 1000;
    let mut stage = world.uploads.stage(&ID, Some(length as u64)).unwrap();
    for piece in vec![1; length].chunks(1 << 20) {
        stage.write(piece).unwrap();
    }
    world.server.until_waiting(1);
    assert_eq!(world.open(), 1);
    assert_eq!(world.uploads.sweep().unwrap(), 0, "it is alive");
    drop(stage);
    world.server.release();
    world.until_nothing_is_open();
    assert_eq!(world.server.objects(), 0);
    assert_eq!(world.server.count(Op::Part), 1, "the other was not sent");
    assert_eq!(std::fs::read_dir(world.incoming.path()).unwrap().count(), 0);
}

#[test]
fn whoever_waits_for_the_bucket_does_not_look_stuck() {
    let world = world(&[(Op::Put, Fault::Wait)]);
    let progress = Arc::new(progress::Progress::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            progress.lend();
            world.put(b"small").unwrap();
        });
        world.server.until_waiting(1);
        until(|| progress.waits());
        world.server.release();
    });
    assert!(!progress.waits());
}

#[test]
fn a_client_that_is_slow_keeps_nobody_else_from_uploading() {
    let world = world_of(1, &[]);
    let mut slow: Vec<_> = (0..20)
        .map(|n| {
            let mut stage = world.uploads.stage(&BlobId([n; 16]), None).unwrap();
            stage.write(b"and then nothing for a long time").unwrap();
            stage
        })
        .collect();
    world.put(&bytes()).unwrap();
    world.put(b"too late").unwrap_err();
    slow.pop().unwrap().commit().unwrap();
}

#[test]
fn a_server_that_is_slow_holds_the_writers_up_and_not_the_disk() {
    const COUNT: usize = 5;
    let plan = [(Op::Part, Fault::Wait); COUNT];
    let world = world_of(1, &plan);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let length = COUNT * PART;
            let mut stage = world.uploads.stage(&ID, Some(length as u64)).unwrap();
            for piece in vec![1; length].chunks(PART / 30) {
                stage.write(piece).unwrap();
                written.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            stage.commit().unwrap();
        });
        for part in 1..=COUNT {
            world.server.until_waiting(part);
            // All before it are stored; it and one more may be complete, and one is being filled.
            let most = (part + 2) * PART;
            assert!(written.load(Ordering::SeqCst) <= most as u64, "part {part}");
            world.server.release();
        }
    });
    assert_eq!(world.server.objects(), 1);
}

#[test]
fn whoever_waits_for_a_server_that_hangs_is_refused_at_once_when_the_process_ends() {
    // For its turn to fill another part, for the last parts, and for the last request.
    for (op, parts) in [
        (Op::Part, 6),
        (Op::Part, 2),
        (Op::Complete, 2),
        (Op::Put, 0),
    ] {
        let world = world_of(1, &[(op, Fault::Wait)]);
        let length = parts * PART + 5;
        std::thread::scope(|scope| {
            let upload = scope.spawn(|| {
                let mut stage = world.uploads.stage(&ID, Some(length as u64))?;
                for piece in vec![1; length].chunks(1 << 20) {
                    stage.write(piece)?;
                }
                stage.commit()
            });
            world.server.until_waiting(1);
            world.uploads.stop();
            // The server still holds the request: nothing but the stop can have ended it.
            let why = reason(upload.join().unwrap());
            assert!(why.contains("stopping"), "{op:?}, {parts} parts: {why}");
            world.server.release();
        });
        let why = reason(world.uploads.stage(&ID, Some(5)).map(drop));
        assert!(why.contains("stopping"), "{why}");
        // The next process ends it.
        assert_eq!(world.open(), usize::from(op != Op::Put), "{op:?}");
    }
}

#[test]
fn an_upload_whose_parts_are_stored_waits_for_a_server_that_is_away() {
    let bytes = bytes();
    let fault = Fault::Cut(0);
    // The fifth request in a row without an answer makes the server count as away.
    for (completes, heads) in [(1, 4), (1, 6), (0, 5)] {
        let plan = [
            vec![(Op::Complete, fault); completes],
            vec![(Op::Head, fault); heads],
        ];
        let world = patient(&plan.concat(), LONG);
        let bucket = &world.uploads.context.bucket;
        let mut stage = world.uploads.stage(&ID, Some(LENGTH as u64)).unwrap();
        if completes == 0 {
            (0..5).for_each(|_| _ = bucket.found("other").unwrap_err());
            assert!(bucket.client().health().refuses().is_some());
        }
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Time goes on once the server is away.
                while !done.load(Ordering::SeqCst) {
                    if bucket.client().health().refuses().is_some() {
                        world.clock.0.fetch_add(1, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let stored = stage.write(&bytes).and_then(|()| stage.commit());
            done.store(true, Ordering::SeqCst);
            stored.unwrap_or_else(|e| panic!("{completes}, {heads}: {e:?}"));
        });
        assert!(world.holds(&bytes), "{completes}, {heads}");
        assert_eq!((world.server.uploads(), world.open()), (0, 0));
    }
}

#[test]
fn whether_a_name_is_taken_is_not_said_of_an_object_that_cannot_be_looked_at() {
    let fault = Fault::Status(500, "InternalError", None);
    // Stored, but the answer is lost; the next try finds the name taken, by itself.
    let world = world(
        &[
            [(Op::Put, Fault::LostAnswer)].as_slice(),
            &[(Op::Head, fault); 4],
        ]
        .concat(),
    );
    let why = reason(world.put(b"small"));
    assert!(why.contains("500"), "{why}");
}
