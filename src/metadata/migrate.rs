//! The schema version of a file, and the steps from one to the next.
//!
//! All steps that a file needs run in the transaction that also writes the new version: a crash
//! leaves the old schema or the new one.

use super::MetadataError;
use super::records::Number;
use super::schema::{self, Change, SCHEMA, STATE, Snapshot};

/// Turns one schema into the next.
pub(super) type Step = fn(&Change<'_>) -> Result<(), MetadataError>;

/// `STEPS[n]` turns schema `n + 1` into schema `n + 2`. Steps are only ever added at the end.
pub(super) const STEPS: &[Step] = &[];

/// The schema that `steps` end at.
fn newest(steps: &[Step]) -> u64 {
    1 + u64::try_from(steps.len()).unwrap_or(u64::MAX - 1)
}

/// What an opened file needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// The steps from this one on.
    StepsFrom(usize),
}

/// Looks at the schema of a file.
///
/// # Errors
/// [`MetadataError::TooNew`]; [`MetadataError::Corrupt`] when there is no schema.
pub(super) fn needs(from: &impl Snapshot, steps: &[Step]) -> Result<Needs, MetadataError> {
    let Number(found) = STATE.need(from, SCHEMA)?;
    let newest = newest(steps);
    if found > newest {
        return Err(MetadataError::TooNew {
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: u32::try_from(newest).unwrap_or(u32::MAX),
        });
    }
    if found == newest {
        return Ok(Needs::Nothing);
    }
    found
        .checked_sub(1)
        .and_then(|first| usize::try_from(first).ok())
        .map(Needs::StepsFrom)
        .ok_or_else(|| super::codec::damaged(STATE.name, SCHEMA))
}

/// Runs the steps from `first` on, and writes the new schema.
pub(super) fn run(to: &Change<'_>, steps: &[Step], first: usize) -> Result<(), MetadataError> {
    for step in &steps[first..] {
        step(to)?;
    }
    STATE.put(to, SCHEMA, &Number(newest(steps)))
}

/// Makes the tables of a new file, in the newest schema.
pub(super) fn create(to: &Change<'_>) -> Result<(), MetadataError> {
    schema::create_tables(to)?;
    STATE.put(to, SCHEMA, &Number(newest(STEPS)))
}
