//! What tells one database from every other: a random number that is made once and goes with it,
//! into its backups as well.
//!
//! A program that does not know the row loses nothing by passing it over. So it is no new schema.

use super::records::Number;
use super::schema::{IDENTITY, STATE};
use super::{MetadataError, RedbMetadata};

impl RedbMetadata {
    /// The number of this database. When it has none yet, `new` becomes it: a random one.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn identity(&self, new: u64) -> Result<u64, MetadataError> {
        if let Some(Number(known)) = self.read(|view| STATE.get(view, IDENTITY))? {
            return Ok(known);
        }
        self.writer
            .run(move |to| STATE.put(to, IDENTITY, &Number(new)))?;
        Ok(new)
    }
}
