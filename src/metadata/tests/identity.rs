//! The number of a database: its own, for good.

use super::*;

#[test]
fn a_database_keeps_its_number_from_its_first_question_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.redb");
    let fatal: OnFatal = std::sync::Arc::new(|what| panic!("{what}"));
    let database = RedbMetadata::create(&path, fatal.clone()).unwrap();
    assert_eq!(database.identity(7).unwrap(), 7);
    assert_eq!(database.identity(8).unwrap(), 7);
    drop(database);
    let database = RedbMetadata::open(&path, fatal).unwrap();
    assert_eq!(database.identity(9).unwrap(), 7);
    // Another one knows nothing of it.
    assert_eq!(RedbMetadata::in_memory().unwrap().identity(9).unwrap(), 9);
}
