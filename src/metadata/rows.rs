//! Typed access to one table: every record is checked when it is read, and counted when it is written.

use super::MetadataError;
use super::codec::{self, Record};
use super::keys::after_prefix;
use super::schema::{Change, Snapshot};
use redb::{ReadableTable, ReadableTableMetadata};
use std::marker::PhantomData;
use std::ops::Bound;

/// One table with records of one kind.
pub(super) struct Rows<R> {
    pub(super) name: &'static str,
    kind: PhantomData<R>,
}

impl<R: Record> Rows<R> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            kind: PhantomData,
        }
    }

    /// The record under `key`.
    pub(super) fn get(&self, from: &impl Snapshot, key: &[u8]) -> Result<Option<R>, MetadataError> {
        let table = from.table(self.name)?;
        let value = table.get(key).map_err(|e| from.failed(&e))?;
        value
            .map(|value| codec::open(self.name, key, value.value()))
            .transpose()
    }

    /// The record under `key`, which another record says is there.
    pub(super) fn need(&self, from: &impl Snapshot, key: &[u8]) -> Result<R, MetadataError> {
        self.get(from, key)?
            .ok_or_else(|| codec::damaged(self.name, key))
    }

    /// Whether there is a row. Its contents are not looked at.
    pub(super) fn has(&self, from: &impl Snapshot, key: &[u8]) -> Result<bool, MetadataError> {
        let table = from.table(self.name)?;
        let value = table.get(key).map_err(|e| from.failed(&e))?;
        Ok(value.is_some())
    }

    /// Up to `limit` rows of a range, in the order of the keys.
    pub(super) fn range(
        &self,
        from: &impl Snapshot,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, R)>, MetadataError> {
        self.select(from, range, limit, Err)
    }

    /// As [`Rows::range`], but a damaged record does not hide the others: it is logged and passed
    /// over.
    pub(super) fn sound_range(
        &self,
        from: &impl Snapshot,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, R)>, MetadataError> {
        self.select(from, range, limit, |damage| {
            log::error!("{damage}");
            Ok(())
        })
    }

    fn select(
        &self,
        from: &impl Snapshot,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
        on_damage: impl Fn(MetadataError) -> Result<(), MetadataError>,
    ) -> Result<Vec<(Vec<u8>, R)>, MetadataError> {
        let table = from.table(self.name)?;
        let rows = table.range::<&[u8]>(range).map_err(|e| from.failed(&e))?;
        let mut found = Vec::new();
        for row in rows {
            if found.len() >= limit {
                break;
            }
            let (key, value) = row.map_err(|e| from.failed(&e))?;
            match codec::open(self.name, key.value(), value.value()) {
                Ok(record) => found.push((key.value().to_vec(), record)),
                Err(damage) => on_damage(damage)?,
            }
        }
        Ok(found)
    }

    /// The last row of a range. A damaged record is logged and passed over.
    pub(super) fn sound_last(
        &self,
        from: &impl Snapshot,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Option<(Vec<u8>, R)>, MetadataError> {
        let table = from.table(self.name)?;
        let rows = table.range::<&[u8]>(range).map_err(|e| from.failed(&e))?;
        for row in rows.rev() {
            let (key, value) = row.map_err(|e| from.failed(&e))?;
            match codec::open(self.name, key.value(), value.value()) {
                Ok(record) => return Ok(Some((key.value().to_vec(), record))),
                Err(damage) => log::error!("{damage}"),
            }
        }
        Ok(None)
    }

    /// Up to `limit` keys that begin with `prefix`, which is shorter than they are. What is under them is
    /// not looked at.
    pub(super) fn keys_under(
        &self,
        from: &impl Snapshot,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, MetadataError> {
        let end = after_prefix(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let table = from.table(self.name)?;
        let rows = table
            .range::<&[u8]>((Bound::Included(prefix), end))
            .map_err(|e| from.failed(&e))?;
        let mut keys = Vec::new();
        for row in rows.take(limit) {
            let (key, _) = row.map_err(|e| from.failed(&e))?;
            keys.push(key.value().to_vec());
        }
        Ok(keys)
    }

    /// Up to `limit` rows whose keys begin with `prefix`, which is shorter than they are.
    pub(super) fn under(
        &self,
        from: &impl Snapshot,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, R)>, MetadataError> {
        let end = after_prefix(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range(from, (Bound::Included(prefix), end), limit)
    }

    /// How many rows there are. Constant time: the engine counts along.
    pub(super) fn count(&self, from: &impl Snapshot) -> Result<u64, MetadataError> {
        from.table(self.name)?.len().map_err(|e| from.failed(&e))
    }

    /// How many rows a range has, counted up to `limit`. Their contents are not looked at.
    pub(super) fn count_range(
        &self,
        from: &impl Snapshot,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: u64,
    ) -> Result<u64, MetadataError> {
        let table = from.table(self.name)?;
        let rows = table.range::<&[u8]>(range).map_err(|e| from.failed(&e))?;
        let mut count = 0;
        for row in rows {
            if count >= limit {
                break;
            }
            row.map_err(|e| from.failed(&e))?;
            count += 1;
        }
        Ok(count)
    }

    /// Writes the record under `key`, over what is there.
    pub(super) fn put(&self, to: &Change<'_>, key: &[u8], record: &R) -> Result<(), MetadataError> {
        to.count_write();
        let value = codec::seal(self.name, key, record);
        to.raw(self.name)?
            .insert(key, value.as_slice())
            .map_err(|e| to.failed(&e))?;
        Ok(())
    }

    /// Drops the row under `key`, if it is there.
    pub(super) fn delete(&self, to: &Change<'_>, key: &[u8]) -> Result<(), MetadataError> {
        to.count_write();
        to.raw(self.name)?.remove(key).map_err(|e| to.failed(&e))?;
        Ok(())
    }
}
