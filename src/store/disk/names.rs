//! The names of blobs in the directories of a store. What does not look like a blob is not one.

use crate::model::BlobId;
use crate::store::s3::BUCKET_ASSEMBLY;
use rustix::fs::Dir;
use std::collections::BinaryHeap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// What the name of a blob that is being assembled begins with.
const ASSEMBLY: &str = "chunks-";

/// The name in `incoming` of a blob that is being assembled.
pub(super) fn assembly_name(id: &BlobId) -> String {
    format!("{ASSEMBLY}{}", id.to_hex())
}

/// The blob that is being assembled under this name in `incoming`, if one is.
pub(super) fn assembly_of(name: &CStr) -> Option<BlobId> {
    BlobId::from_hex(name.to_str().ok()?.strip_prefix(ASSEMBLY)?)
}

/// Whether this name in `incoming` is that of something that is gone on with after a restart: here, or of a
/// bucket.
pub(super) fn is_kept(name: &CStr) -> bool {
    assembly_of(name).is_some() || name.to_bytes().starts_with(BUCKET_ASSEMBLY.as_bytes())
}

/// One of the 256 directories of blobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shard(pub(super) u8);

impl Shard {
    /// Where the blob belongs.
    pub(super) fn of(id: &BlobId) -> Self {
        Self(id.0[0])
    }

    /// Its name: two hexadecimal digits.
    pub(super) fn name(self) -> String {
        format!("{:02x}", self.0)
    }

    /// This one and all that follow it.
    pub(super) fn onward(self) -> impl Iterator<Item = Self> {
        (self.0..=u8::MAX).map(Self)
    }

    fn holds(self, name: &CStr) -> Option<BlobId> {
        let id = BlobId::from_hex(name.to_str().ok()?)?;
        (Self::of(&id) == self).then_some(id)
    }
}

/// The blobs of one directory, in the order in which the file system gives them.
pub(super) struct Names {
    /// The directory of stored ones, or `incoming`.
    shard: Option<Shard>,
    entries: Dir,
}

impl Names {
    /// Those that are stored.
    pub(super) fn read(shard: Shard, directory: &OwnedFd) -> rustix::io::Result<Self> {
        Ok(Self {
            shard: Some(shard),
            entries: Dir::read_from(directory)?,
        })
    }

    /// Those that are being assembled.
    pub(super) fn assemblies(incoming: &OwnedFd) -> rustix::io::Result<Self> {
        Ok(Self {
            shard: None,
            entries: Dir::read_from(incoming)?,
        })
    }

    /// The `limit` smallest names above `after`, in order. Holds no more than those.
    pub(super) fn smallest(
        self,
        after: Option<&BlobId>,
        limit: usize,
    ) -> rustix::io::Result<Vec<BlobId>> {
        let mut smallest = BinaryHeap::new();
        for id in self {
            let id = id?;
            if after.is_some_and(|after| id <= *after) {
                continue;
            }
            smallest.push(id);
            if smallest.len() > limit {
                smallest.pop();
            }
        }
        Ok(smallest.into_sorted_vec())
    }
}

impl Iterator for Names {
    type Item = rustix::io::Result<BlobId>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(e) => return Some(Err(e)),
            };
            let name = entry.file_name();
            let id = match self.shard {
                Some(shard) => shard.holds(name),
                None => assembly_of(name),
            };
            if let Some(id) = id {
                return Some(Ok(id));
            }
        }
    }
}
