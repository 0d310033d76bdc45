//! What is kept aside, given up and had again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::metadata::backend::WithRoom;
use crate::metadata::tests::{link, lookup, with_blob};
use crate::metadata::{Metadata, OnFatal, RedbMetadata, file};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A room for a database in `dir`, after a first change. `None` where nothing can be kept aside.
fn looked_at(dir: &Path) -> Option<Room> {
    let database = dir.join("mayfly.redb");
    fs::write(&database, b"x").unwrap();
    let room = Room::beside(&database);
    room.check().unwrap();
    room.hold_again(true);
    if room.free() < PLENTY || room.kept() != Ballast::Kept {
        eprintln!("LEFT OUT: little space, or nothing can be set aside");
        return None;
    }
    Some(room)
}

#[test]
fn where_there_is_plenty_some_is_really_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let Some(room) = looked_at(dir.path()) else {
        return;
    };
    let about = fs::metadata(dir.path().join("ballast")).unwrap();
    assert!(about.blocks() * 512 >= KEPT);
    assert_eq!(about.mode() & 0o777, 0o600);
    // The next process finds it.
    let next = Room::beside(&room.database);
    assert_eq!(next.kept(), Ballast::Kept);
}

#[test]
fn a_ballast_that_a_crash_left_empty_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, b"").unwrap();
    if looked_at(dir.path()).is_some() {
        assert!(fs::metadata(&ballast).unwrap().blocks() * 512 >= KEPT);
    }
}

#[test]
fn what_cannot_be_kept_aside_is_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    let ballast = dir.path().join("ballast");
    fs::create_dir(&ballast).unwrap();
    assert!(looked_at(dir.path()).is_none());
    let room = Room::beside(&dir.path().join("mayfly.redb"));
    room.check().unwrap();
    fs::remove_dir(&ballast).unwrap();
    room.check().unwrap();
    assert!(!ballast.exists());
}

#[test]
fn an_error_that_passes_is_forgotten_after_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut room) = looked_at(dir.path()) else {
        return;
    };
    fs::remove_file(&room.ballast).unwrap();
    room.set_aside = Box::new(|_, _| Err(Errno::NOMEM));
    room.set(Ballast::Wanted(None));
    room.check().unwrap();
    let Ballast::Wanted(Some(again)) = room.kept() else {
        panic!("{:?}", room.kept());
    };
    assert!(again > Instant::now() - AGAIN);
    // Not before its time.
    room.set_aside = Box::new(|_, _| panic!("it is too early"));
    room.set(Ballast::Wanted(Some(again + AGAIN * 1000)));
    room.check().unwrap();
    room.set_aside = Box::new(|_, _| Ok(()));
    room.set(Ballast::Wanted(Some(Instant::now())));
    room.check().unwrap();
    assert_eq!(room.kept(), Ballast::Promised);
}

#[test]
fn nothing_is_taken_before_a_change_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    let Some(room) = looked_at(dir.path()) else {
        return;
    };
    fs::remove_file(&room.ballast).unwrap();
    let next = Room::beside(&room.database);
    for durable in [false, true] {
        next.check().unwrap();
        assert_eq!(next.held(), 0);
        next.hold_again(durable);
        assert_eq!(next.held() >= KEPT, durable);
    }
}

/// A disk on which a quota holds, or an error: once the ballast has left it, it takes writes again.
#[derive(Debug)]
struct Tight {
    memory: InMemoryBackend,
    ballast: PathBuf,
    on: AtomicBool,
    /// Whether the syncs fail, and not the writes.
    syncs: bool,
    error: Errno,
    failed: AtomicU32,
    /// How many bytes the file system sets aside at once.
    gives: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Handle(Arc<Tight>);

impl Tight {
    fn check(&self, sync: bool) -> io::Result<()> {
        let on = self.on.load(Ordering::SeqCst);
        if on && sync == self.syncs && self.ballast.exists() {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Err(self.error.into());
        }
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.0.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        StorageBackend::read(&self.0.memory, offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.memory.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.check(true)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.check(false)?;
        StorageBackend::write(&self.0.memory, offset, data)
    }
}

struct World {
    _dir: tempfile::TempDir,
    db: RedbMetadata,
    disk: Arc<Tight>,
    room: Arc<Room>,
    fatal: Arc<AtomicBool>,
}

impl World {
    /// A database with two links and a ballast, on a disk that is about to refuse with `error`.
    fn new(error: Errno, syncs: bool) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut room = looked_at(dir.path())?;
        let gives = Arc::new(AtomicU64::new(u64::MAX));
        let given = Arc::clone(&gives);
        room.set_aside =
            Box::new(
                move |file, length| match length <= given.load(Ordering::SeqCst) {
                    true => fallocate(file, FallocateFlags::empty(), 0, length),
                    false => Err(Errno::DQUOT),
                },
            );
        let room = Arc::new(room);
        let disk = Arc::new(Tight {
            memory: InMemoryBackend::new(),
            ballast: room.ballast.clone(),
            on: AtomicBool::new(false),
            syncs,
            error,
            failed: AtomicU32::new(0),
            gives,
        });
        let backend = WithRoom::new(Handle(Arc::clone(&disk)), Arc::clone(&room));
        let fatal = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&fatal);
        let on_fatal: OnFatal = Arc::new(move |_| told.store(true, Ordering::SeqCst));
        let database = file::on_backend(backend).unwrap();
        let db = RedbMetadata::with_database(database, Some(Arc::clone(&room)), on_fatal).unwrap();
        for n in [1, 2, 3] {
            db.publish(with_blob(link(n))).unwrap();
        }
        disk.on.store(true, Ordering::SeqCst);
        Some(Self {
            _dir: dir,
            db,
            disk,
            room,
            fatal,
        })
    }

    fn held(&self) -> u64 {
        self.room.held()
    }

    /// From now on the file system sets aside so many bytes at once.
    fn gives(&self, bytes: u64) {
        self.disk.gives.store(bytes, Ordering::SeqCst);
    }

    fn is_well(&self) -> bool {
        !self.fatal.load(Ordering::SeqCst)
    }
}

#[test]
fn a_write_that_a_quota_refuses_is_made_again_with_what_was_kept_aside() {
    for error in [Errno::DQUOT, Errno::NOSPC] {
        let Some(world) = World::new(error, false) else {
            return;
        };
        world.gives(0);
        world.db.remove(&lookup(1)).unwrap().unwrap();
        assert!(world.is_well() && world.disk.failed.load(Ordering::SeqCst) > 0);
        assert_eq!(world.held(), 0);
        // Nothing can be had now: nothing is tried, and the reason is told.
        let refused = world.db.remove(&lookup(2)).unwrap_err();
        assert!(matches!(refused, MetadataError::Quota), "{refused}");
        assert!(world.db.link(&lookup(2)).unwrap().is_some() && world.is_well());
    }
}

#[test]
fn under_a_quota_nothing_changes_without_something_held_and_nothing_is_added_before_all_is() {
    let Some(world) = World::new(Errno::DQUOT, false) else {
        return;
    };
    world.db.room_for_more().unwrap();
    world.gives(0);
    world.db.remove(&lookup(1)).unwrap().unwrap();
    let refused = world.db.room_for_more().unwrap_err();
    assert!(matches!(refused, MetadataError::Quota), "{refused}");
    // Enough for a transaction: that is held, given up in the next one, and held again.
    world.gives(NEEDED + STEP / 2);
    let enough = NEEDED..NEEDED + STEP;
    for n in [2, 3] {
        world.room.check().unwrap();
        assert!(enough.contains(&world.held()), "{}", world.held());
        world.db.room_for_more().unwrap_err();
        let before = world.disk.failed.load(Ordering::SeqCst);
        world.db.remove(&lookup(n)).unwrap().unwrap();
        assert!(world.disk.failed.load(Ordering::SeqCst) > before);
        assert!(enough.contains(&world.held()), "{}", world.held());
    }
    world.gives(u64::MAX);
    world.disk.on.store(false, Ordering::SeqCst);
    world.room.check().unwrap();
    assert!(world.held() >= KEPT);
    world.db.room_for_more().unwrap();
    world.db.publish(with_blob(link(4))).unwrap();
    assert!(world.is_well());
}

#[test]
fn space_that_comes_back_is_noticed_while_nobody_asks_and_nothing_changes() {
    let Some(world) = World::new(Errno::DQUOT, false) else {
        return;
    };
    world.gives(0);
    world.db.remove(&lookup(1)).unwrap().unwrap();
    world.db.room_for_more().unwrap_err();
    // Whoever asks waits for no disk: it is the thread that writes that looks again.
    world.gives(u64::MAX);
    let end = Instant::now() + Duration::from_secs(120);
    while world.db.room_for_more().is_err() {
        assert!(Instant::now() < end, "nobody looks");
        thread::yield_now();
    }
    assert!(world.held() >= KEPT);
}

#[test]
fn changes_that_wait_are_refused_when_the_one_before_has_used_what_was_held() {
    let Some(world) = World::new(Errno::DQUOT, false) else {
        return;
    };
    world.gives(0);
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for n in [1, 2, 3] {
            let (db, told) = (&world.db, told.clone());
            scope.spawn(move || told.send(db.remove(&lookup(n)).is_ok()).unwrap());
        }
    });
    drop(told);
    // Those that came in the first transaction are done; all others are told, and nothing breaks.
    let done = tells.iter().filter(|done| *done).count() as u64;
    assert!(done > 0 && world.is_well());
    assert_eq!(world.db.link_count().unwrap(), 3 - done);
    assert!(matches!(
        world.db.remove(&lookup(9)),
        Err(MetadataError::Quota)
    ));
}

/// A room without a ballast, in a state in which the file system has refused.
fn short(dir: &Path) -> Option<Room> {
    let room = looked_at(dir)?;
    fs::remove_file(&room.ballast).unwrap();
    let quota = true;
    room.set(Ballast::Short { held: false, quota });
    Some(room)
}

#[test]
fn where_nothing_can_be_set_aside_a_refusal_does_not_stop_changes_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut room) = short(dir.path()) else {
        return;
    };
    room.set_aside = Box::new(|_, _| Err(Errno::OPNOTSUPP));
    room.check().unwrap();
    assert_eq!(room.kept(), Ballast::Impossible);
    room.pause = Box::new(|_| {});
    assert!(room.give_up(&Errno::DQUOT.into(), Duration::ZERO));
    assert_eq!(room.kept(), Ballast::Impossible);
    room.check_for_more().unwrap();
}

#[test]
fn a_ballast_that_could_not_be_removed_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(room) = short(dir.path()) else {
        return;
    };
    fs::write(&room.ballast, b"").unwrap();
    room.check().unwrap();
    assert!(room.kept() == Ballast::Kept && room.held() >= KEPT);
}

#[test]
fn a_write_is_made_again_until_an_upload_has_given_back_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut room) = short(dir.path()) else {
        return;
    };
    let waited = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&waited);
    room.pause = Box::new(move |pause| {
        counts.fetch_add(pause.as_millis() as u64, Ordering::SeqCst);
    });
    /// Takes writes after so many milliseconds.
    #[derive(Debug)]
    struct After(u64, Arc<AtomicU64>, InMemoryBackend);
    impl StorageBackend for After {
        fn len(&self) -> io::Result<u64> {
            self.2.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            StorageBackend::read(&self.2, offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            match self.1.load(Ordering::SeqCst) < self.0 {
                true => Err(Errno::DQUOT.into()),
                false => self.2.set_len(len),
            }
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            StorageBackend::write(&self.2, offset, data)
        }
    }
    let room = Arc::new(room);
    for (after, taken) in [(900, true), (u64::MAX, false)] {
        waited.store(0, Ordering::SeqCst);
        let disk = After(after, Arc::clone(&waited), InMemoryBackend::new());
        let disk = WithRoom::new(disk, Arc::clone(&room));
        assert_eq!(disk.set_len(1).is_ok(), taken);
        assert!((900..2000).contains(&waited.load(Ordering::SeqCst)));
    }
}

#[test]
fn a_sync_that_is_refused_ends_it_and_leaves_its_room_to_the_next_start() {
    let Some(world) = World::new(Errno::DQUOT, true) else {
        return;
    };
    let error = world.db.remove(&lookup(1)).unwrap_err();
    assert!(matches!(error, MetadataError::OutcomeUnknown(_)), "{error}");
    assert!(!world.is_well());
    assert_eq!(world.disk.failed.load(Ordering::SeqCst), 1);
    // Whatever is wished for meanwhile.
    world.db.room_for_more().unwrap_err();
    world.db.remove(&lookup(2)).unwrap_err();
    assert_eq!(world.held(), 0);
}

#[test]
fn other_errors_leave_what_is_kept_aside_where_it_is() {
    let Some(world) = World::new(Errno::IO, false) else {
        return;
    };
    let error = world.db.remove(&lookup(1)).unwrap_err();
    assert!(matches!(error, MetadataError::OutcomeUnknown(_)), "{error}");
    assert_eq!(world.disk.failed.load(Ordering::SeqCst), 1);
    assert!(world.held() >= KEPT);
}

#[test]
fn a_quota_that_gives_no_ballast_at_all_is_told_before_anything_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("mayfly.redb");
    fs::write(&database, b"x").unwrap();
    let mut room = Room::beside(&database);
    if room.free() < PLENTY {
        eprintln!("LEFT OUT: little space");
        return;
    }
    room.set_aside = Box::new(|_, _| Err(Errno::DQUOT));
    assert!(matches!(room.check(), Err(MetadataError::Quota)));
    assert!(!room.ballast.exists());
    // A file system that has none of this is another matter.
    room.set_aside = Box::new(|_, _| Err(Errno::OPNOTSUPP));
    room.set(Ballast::Wanted(None));
    room.check().unwrap();
    assert_eq!(room.kept(), Ballast::Impossible);
}
