//! The file: made whole, opened once, never made anew over what is there.

use super::migrate::{Needs, Step};
use super::records::Number;
use super::schema::{SCHEMA, STATE, View};
use super::*;
use redb::{Database, ReadableDatabase};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn ignore() -> OnFatal {
    Arc::new(|_| {})
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    (dir, path)
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let (dir, path) = place();
    assert!(!RedbMetadata::exists(&path).unwrap());
    let db = RedbMetadata::create(&path, ignore()).unwrap();
    db.publish(with_blob(link(1))).unwrap();
    db.take_lease(&lease(1, 1)).unwrap();
    db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    drop(db);
    assert!(RedbMetadata::exists(&path).unwrap());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.retain(|name| name != "ballast");
    assert_eq!(names.len(), 1, "no draft is left: {names:?}");

    let db = RedbMetadata::open(&path, ignore()).unwrap();
    assert_eq!(db.leases().unwrap(), [lease(1, 1)]);
    assert_eq!(db.link_count().unwrap(), 1);
    assert_eq!(
        db.add_account(account("Ben"), Some(api_key(2))).unwrap(),
        Some(AccountId(2))
    );
    db.verify().unwrap();
}

#[test]
fn the_file_is_for_its_user_only() {
    let (_dir, path) = place();
    let _db = RedbMetadata::create(&path, ignore()).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_second_instance_is_refused() {
    let (_dir, path) = place();
    let db = RedbMetadata::create(&path, ignore()).unwrap();
    assert!(matches!(
        RedbMetadata::open(&path, ignore()),
        Err(MetadataError::InUse)
    ));
    drop(db);
    RedbMetadata::open(&path, ignore()).unwrap();
}

#[test]
fn nothing_is_created_over_a_file_and_nothing_opened_where_none_is() {
    let (_dir, path) = place();
    let error = RedbMetadata::open(&path, ignore()).unwrap_err();
    assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
    assert!(!path.exists(), "opening creates nothing");
    for contents in [&b""[..], b"something else"] {
        fs::write(&path, contents).unwrap();
        let error = RedbMetadata::create(&path, ignore()).unwrap_err();
        assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), contents);
    }
}

#[test]
fn a_draft_that_a_crash_left_is_no_obstacle() {
    let (_dir, path) = place();
    fs::write(path.with_extension("new"), b"half").unwrap();
    RedbMetadata::create(&path, ignore()).unwrap();
    RedbMetadata::open(&path, ignore()).unwrap();
}

fn assert_corrupt(path: &Path, what: &str) {
    match RedbMetadata::open(path, ignore()) {
        Err(MetadataError::Corrupt(_)) => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_cut_or_foreign_file_is_corrupt() {
    let (_dir, path) = place();
    let db = RedbMetadata::create(&path, ignore()).unwrap();
    for n in 0..50 {
        db.publish(with_blob(link(n))).unwrap();
    }
    drop(db);
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 100, 319, 512, 4_096, 4_097, 8_192, whole.len() / 2] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_corrupt(&path, &format!("cut to {length}"));
    }
    fs::write(&path, [0xA5; 65_536]).unwrap();
    assert_corrupt(&path, "noise");
    let mut foreign = whole.clone();
    foreign[0] ^= 1;
    fs::write(&path, &foreign).unwrap();
    assert_corrupt(&path, "another magic number");

    fs::remove_file(&path).unwrap();
    let other = Database::create(&path).unwrap();
    drop(other);
    assert_corrupt(&path, "a redb file of somebody else");
}

fn database_with_schema(path: &Path, schema: u64) {
    drop(RedbMetadata::create(path, ignore()).unwrap());
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let change = schema::Change::new(&transaction);
    STATE.put(&change, SCHEMA, &Number(schema)).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let (_dir, path) = place();
    let newest = 1 + migrate::STEPS.len();
    database_with_schema(&path, newest as u64 + 1);
    match RedbMetadata::open(&path, ignore()) {
        Err(MetadataError::TooNew { found, known }) => {
            assert_eq!((found as usize, known as usize), (newest + 1, newest));
        }
        other => panic!("{other:?}"),
    }
    database_with_schema(&path.with_extension("zero"), 0);
    assert_corrupt(&path.with_extension("zero"), "schema 0");
}

fn adds_nine(to: &schema::Change<'_>) -> Result<(), MetadataError> {
    STATE.put(to, b"nine", &Number(9))
}

fn doubles_it(to: &schema::Change<'_>) -> Result<(), MetadataError> {
    let Number(nine) = STATE.need(to, b"nine")?;
    STATE.put(to, b"nine", &Number(nine * 2))
}

fn fails(_: &schema::Change<'_>) -> Result<(), MetadataError> {
    Err(MetadataError::Corrupt("the old data".to_owned()))
}

fn state(database: &Database) -> (Option<Number>, Option<Number>) {
    let view = View(database.begin_read().unwrap());
    let get = |key| STATE.get(&view, key).unwrap();
    (get(SCHEMA), get(b"nine"))
}

#[test]
fn a_file_from_before_the_clock_was_kept_gets_its_tables() {
    let (_dir, path) = place();
    database_with_schema(&path, 2);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for table in [schema::CLOCK.name, schema::BIRTHS.name] {
        assert!(transaction.delete_table(schema::Raw::new(table)).unwrap());
    }
    transaction.commit().unwrap();
    drop(database);

    let db = RedbMetadata::open(&path, ignore()).unwrap();
    assert_eq!(db.clock().unwrap(), None);
    db.verify().unwrap();
}

#[test]
fn an_old_file_is_brought_up_step_by_step_in_one_transaction() {
    let (_dir, path) = place();
    database_with_schema(&path, 1);
    let database = Database::open(&path).unwrap();

    let failing: &[Step] = &[adds_nine, fails];
    file::upgrade(&database, failing).unwrap_err();
    assert_eq!(state(&database), (Some(Number(1)), None), "all or nothing");

    let steps: &[Step] = &[adds_nine, doubles_it];
    file::upgrade(&database, &steps[..1]).unwrap();
    assert_eq!(state(&database), (Some(Number(2)), Some(Number(9))));
    file::upgrade(&database, steps).unwrap();
    assert_eq!(state(&database), (Some(Number(3)), Some(Number(18))));
    file::upgrade(&database, steps).unwrap();
    assert_eq!(
        state(&database),
        (Some(Number(3)), Some(Number(18))),
        "only once"
    );
    let view = View(database.begin_read().unwrap());
    assert_eq!(migrate::needs(&view, steps).unwrap(), Needs::Nothing);
}
