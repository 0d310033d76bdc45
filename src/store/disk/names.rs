//! The names of blobs in the directories of a store. What does not look like a blob is not one.

use crate::model::BlobId;
use crate::store::s3::BUCKET_ASSEMBLY;
use rustix::fs::Dir;
use std::collections::BTreeSet;
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

/// The blob of which something waits under this name in `incoming` to go into a bucket, if that is so.
pub(super) fn bucket_assembly_of(name: &CStr) -> Option<BlobId> {
    let name = name.to_str().ok()?.strip_prefix(BUCKET_ASSEMBLY)?;
    BlobId::from_hex(name.split_once('-').map_or(name, |(id, _)| id))
}

/// The blob that is gone on with after a restart, here or in a bucket, to which this name in `incoming` belongs.
pub(super) fn kept(name: &CStr) -> Option<BlobId> {
    assembly_of(name).or_else(|| bucket_assembly_of(name))
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

    /// Those that are being assembled, also those of which something waits to go into a bucket: perhaps nobody
    /// else has one any more.
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
        // One may have several names.
        let mut smallest = BTreeSet::new();
        for id in self {
            let id = id?;
            if after.is_some_and(|after| id <= *after) {
                continue;
            }
            smallest.insert(id);
            if smallest.len() > limit {
                smallest.pop_last();
            }
        }
        Ok(smallest.into_iter().collect())
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
                None => kept(name),
            };
            if let Some(id) = id {
                return Some(Ok(id));
            }
        }
    }
}
