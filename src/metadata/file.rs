//! Opening the database file: made whole or not at all, never made anew over what is there.

use super::backend::WithRoom;
use super::migrate::{self, Needs, STEPS};
use super::room::Room;
use super::schema::{Change, View, io_error, storage_error};
use super::{MetadataError, writer};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory that redb may use for pages, in bytes. Its default is 1 GiB.
const CACHE: usize = 2 * 1024 * 1024;

/// Whether there is anything at `path`.
pub(super) fn exists(path: &Path) -> Result<bool, MetadataError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(unavailable(path, &e)),
    }
}

/// Makes an empty database under another name, syncs it, and moves it to `path`, where nothing is.
pub(super) fn create(path: &Path, room: &Arc<Room>) -> Result<Database, MetadataError> {
    if exists(path)? {
        return Err(MetadataError::Unavailable(format!(
            "{} exists already",
            path.display()
        )));
    }
    let fail = |e: io::Error| unavailable(path, &e);
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(fail)?;
    let made = file.metadata().map_err(fail)?;
    let database = guarded(|| {
        let database = in_file(file, room)?;
        initialise(&database)?;
        Ok(database)
    })?;
    fs::rename(&draft, path).map_err(fail)?;
    sync_directory(path).map_err(fail)?;
    // Two first starts at once rename one over the other: only one of them has the file.
    let placed = fs::symlink_metadata(path).map_err(fail)?;
    if (placed.dev(), placed.ino()) != (made.dev(), made.ino()) {
        return Err(MetadataError::InUse);
    }
    Ok(database)
}

/// Opens what is at `path`, in the newest schema.
pub(super) fn open(path: &Path, room: &Arc<Room>) -> Result<Database, MetadataError> {
    let named = |error| match error {
        MetadataError::Corrupt(what) => {
            MetadataError::Corrupt(format!("{}: {what}", path.display()))
        }
        MetadataError::Unavailable(what) => {
            MetadataError::Unavailable(format!("{}: {what}", path.display()))
        }
        other => other,
    };
    guarded(|| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|e| io_error(&e))?;
        // The engine would make a new one of it.
        if file.metadata().map_err(|e| io_error(&e))?.len() == 0 {
            return Err(MetadataError::Corrupt("the file is empty".to_owned()));
        }
        let database = in_file(file, room)?;
        upgrade(&database, STEPS)?;
        Ok(database)
    })
    .map_err(named)
}

/// Opens what `backend` holds, or initialises it when it is empty.
pub(super) fn on_backend(backend: impl StorageBackend) -> Result<Database, MetadataError> {
    let empty = backend
        .len()
        .map_err(|e| MetadataError::Unavailable(e.to_string()))?
        == 0;
    guarded(|| {
        let database = builder()
            .create_with_backend(backend)
            .map_err(|e| open_error(&e))?;
        if empty {
            initialise(&database)?;
        } else {
            upgrade(&database, STEPS)?;
        }
        Ok(database)
    })
}

/// The database in `file`, which is made if that is empty.
fn in_file(file: File, room: &Arc<Room>) -> Result<Database, MetadataError> {
    let file = FileBackend::new(file).map_err(|e| open_error(&e))?;
    let backend = WithRoom::new(file, Arc::clone(room));
    let database = builder().create_with_backend(backend);
    database.map_err(|e| open_error(&e))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// The engine asserts its invariants: on damaged pages, that is a panic. Here it is an error.
pub(super) fn guarded<T>(
    work: impl FnOnce() -> Result<T, MetadataError>,
) -> Result<T, MetadataError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(MetadataError::Corrupt(
            "the database engine gave up on a page".to_owned(),
        ))
    })
}

fn unavailable(path: &Path, error: &io::Error) -> MetadataError {
    match io_error(error) {
        MetadataError::Unavailable(_) => {
            MetadataError::Unavailable(format!("{}: {error}", path.display()))
        }
        told => told,
    }
}

fn open_error(error: &DatabaseError) -> MetadataError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => MetadataError::InUse,
        DatabaseError::Storage(error) => storage_error(error),
        other => MetadataError::Corrupt(other.to_string()),
    }
}

/// Makes the name of a new file durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

fn initialise(database: &Database) -> Result<(), MetadataError> {
    in_one_commit(database, migrate::create)
}

/// Brings a database to the schema that `steps` end at.
pub(super) fn upgrade(database: &Database, steps: &[migrate::Step]) -> Result<(), MetadataError> {
    let transaction = database
        .begin_read()
        .map_err(|e| MetadataError::Unavailable(e.to_string()))?;
    match migrate::needs(&View(transaction), steps)? {
        Needs::Nothing => Ok(()),
        Needs::StepsFrom(first) => {
            log::info!("the database is brought to a newer schema");
            in_one_commit(database, |to| migrate::run(to, steps, first))
        }
    }
}

/// A change outside the writer, before it runs.
fn in_one_commit(
    database: &Database,
    change: impl FnOnce(&Change<'_>) -> Result<(), MetadataError>,
) -> Result<(), MetadataError> {
    let transaction = writer::begin(database).map_err(MetadataError::Unavailable)?;
    change(&Change::new(&transaction))?;
    transaction
        .commit()
        .map_err(|e| MetadataError::OutcomeUnknown(e.to_string()))
}
