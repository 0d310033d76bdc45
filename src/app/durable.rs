//! Small files for their owner alone that survive a power cut: whole, or not there at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The directory that a path is in.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Makes durable which names are in a directory.
///
/// # Errors
/// What the file system reports.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes what is to be the file `path`, durably, under another name beside it, which is returned. A
/// draft that a crash left behind is replaced: nobody else may write here. After an error there is none.
///
/// # Errors
/// What the file system reports; [`io::ErrorKind::IsADirectory`] for a path without a name.
pub fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    draft_by(path, |file| file.write_all(bytes))
}

fn draft_by(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<PathBuf> {
    let draft = draft_of(path)?;
    match std::fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    let written = fill(&mut file).and_then(|()| file.sync_all());
    or_removed(&draft, written)?;
    Ok(draft)
}

/// What was done with a draft; when that failed, the draft goes: it may hold a secret.
fn or_removed(draft: &Path, done: io::Result<()>) -> io::Result<()> {
    done.inspect_err(|_| {
        if let Err(e) = std::fs::remove_file(draft) {
            log::warn!("{}: {e}: remove this file", draft.display());
        }
    })
}

/// Where the draft of a file is.
///
/// # Errors
/// [`io::ErrorKind::IsADirectory`] for a path without a name.
pub fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let mut name = path
        .file_name()
        .ok_or(io::ErrorKind::IsADirectory)?
        .to_owned();
    name.push(".new");
    Ok(path.with_file_name(name))
}

/// Writes a file, over one that is there: draft, rename, fsync of the directory. No draft stays.
///
/// # Errors
/// As [`write_draft`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, bytes)?;
    or_removed(&draft, std::fs::rename(&draft, path))?;
    sync_directory(parent_of(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_for_its_owner_alone_and_nothing_stays_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.toml");
        std::fs::write(draft_of(&path).unwrap(), "of a crash").unwrap();
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(home.path().read_dir().unwrap().count(), 1);
        for nameless in ["/", ".."] {
            let refused = write(Path::new(nameless), b"x").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
        }
    }

    #[test]
    fn nothing_of_a_file_that_could_not_be_written_stays() {
        let home = tempfile::tempdir().unwrap();
        let names = || home.path().read_dir().unwrap().count();
        let full = draft_by(&home.path().join("a.toml"), |file| {
            file.write_all(b"a secr")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(names(), 0);
        let directory = home.path().join("directory");
        std::fs::create_dir(&directory).unwrap();
        assert!(write(&directory, b"a secret").is_err());
        assert_eq!(names(), 1, "the directory");
    }

    #[test]
    fn every_path_is_in_a_directory() {
        let parent = |path| parent_of(Path::new(path));
        assert_eq!(parent("a"), Path::new("."));
        assert_eq!(parent("a/b"), Path::new("a"));
        assert_eq!(parent("/"), Path::new("/"));
    }
}
