//! What lies in a data directory.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below `dir`, in order of the paths.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(path),
                Ok(kind) if kind.is_file() => files.push(path),
                // Sockets and links hold no bytes of their own.
                Ok(_) | Err(_) => {}
            }
        }
    }
    files.sort();
    files
}

/// Copies a directory with everything below it.
pub fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

/// The stored bytes in a data directory.
pub struct Blobs {
    /// Published blobs: named by 32 hexadecimal digits.
    pub published: Vec<PathBuf>,
    /// Files in `incoming/`.
    pub incoming: Vec<PathBuf>,
}

impl Blobs {
    pub fn in_dir(dir: &Path) -> Self {
        let (incoming, rest): (Vec<_>, Vec<_>) = files_below(dir)
            .into_iter()
            .partition(|p| p.components().any(|c| c.as_os_str() == "incoming"));
        let published = rest.into_iter().filter(|p| is_blob_name(p)).collect();
        Self {
            published,
            incoming,
        }
    }

    /// Bytes that published blobs take on the medium.
    pub fn allocated(dir: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let size = |p: &PathBuf| fs::metadata(p).map_or(0, |m| m.blocks() * 512);
        files_below(dir).iter().map(size).sum()
    }
}

fn is_blob_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
