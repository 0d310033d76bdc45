//! The directories of blobs and the names in them. What does not look like a blob is not one.

use crate::model::BlobId;
use rustix::fs::Dir;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;

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
}

/// The blobs of one directory, in the order in which the file system gives them.
pub(super) struct Names {
    shard: Shard,
    entries: Dir,
}

impl Names {
    pub(super) fn read(shard: Shard, directory: &OwnedFd) -> rustix::io::Result<Self> {
        Ok(Self {
            shard,
            entries: Dir::read_from(directory)?,
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
            let id = entry.file_name().to_str().ok().and_then(BlobId::from_hex);
            if let Some(id) = id.filter(|id| Shard::of(id) == self.shard) {
                return Some(Ok(id));
            }
        }
    }
}
