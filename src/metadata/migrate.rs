//! The schema version of a file, and the steps from one to the next.
//!
//! All steps that a file needs run in the transaction that also writes the new version: a crash
//! leaves the old schema or the new one.

use super::MetadataError;
use super::account_records::{AccountOfSchema1, AccountOfSchema2, ApiKeyOfSchema1};
use super::keys::{account_key, owned_key};
use super::records::{KeyPlace, Mark, Number};
use super::schema::{
    self, ACCOUNTS, ACCOUNTS_OF_SCHEMA_1, ACCOUNTS_OF_SCHEMA_2, Change, KEYS, KEYS_OF_SCHEMA_1,
    NAMES, OWNED, PUBLICS, SCHEMA, STATE, SUPER_ADMIN, Snapshot,
};
use super::verify::each;
use crate::model::{Role, folded_name};

/// Turns one schema into the next.
pub(super) type Step = fn(&Change<'_>) -> Result<(), MetadataError>;

/// `STEPS[n]` turns schema `n + 1` into schema `n + 2`. Steps are only ever added at the end.
pub(super) const STEPS: &[Step] = &[
    roles_and_key_indexes,
    schema::create_clock_tables,
    // A program that does not know these would take what is being uploaded for left over.
    schema::create_chunk_tables,
    ranks_and_ends_of_keys,
];

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

/// Schema 2: accounts have a role, may be disabled and may have a recovery phrase; names are found
/// by their folded form; API keys are found by account and by public id.
///
/// There was no limit to the number of keys: they are read in pages.
fn roles_and_key_indexes(to: &Change<'_>) -> Result<(), MetadataError> {
    schema::create_tables(to)?;
    each(to, &NAMES, |name, Number(_)| NAMES.delete(to, name))?;
    each(to, &ACCOUNTS_OF_SCHEMA_1, |_, AccountOfSchema1(account)| {
        let name = folded_name(&account.name);
        if NAMES.has(to, name.as_bytes())? {
            return Err(MetadataError::Corrupt(format!(
                "two accounts have names that read as {name:?}"
            )));
        }
        NAMES.put(to, name.as_bytes(), &Number(account.id.0))?;
        let id = account_key(account.id);
        ACCOUNTS_OF_SCHEMA_2.put(to, &id, &AccountOfSchema2(account))
    })?;
    each(to, &KEYS_OF_SCHEMA_1, |_, ApiKeyOfSchema1(key)| {
        OWNED.put(to, &owned_key(key.account, &key.lookup), &Mark)?;
        PUBLICS.put(to, key.public_id.as_bytes(), &KeyPlace(key.lookup))
    })
}

/// Schema 5: accounts have a rank and permissions of their own, API keys may end. Everybody may do what
/// they could do before; the oldest administrator who is not disabled becomes the super admin.
fn ranks_and_ends_of_keys(to: &Change<'_>) -> Result<(), MetadataError> {
    each(to, &ACCOUNTS_OF_SCHEMA_2, |_, AccountOfSchema2(account)| {
        let mut account = account;
        if account.is_working_admin() && !STATE.has(to, SUPER_ADMIN)? {
            account.role = Role::SuperAdmin;
            STATE.put(to, SUPER_ADMIN, &Number(account.id.0))?;
        }
        ACCOUNTS.put(to, &account_key(account.id), &account)
    })?;
    each(to, &KEYS_OF_SCHEMA_1, |_, ApiKeyOfSchema1(key)| {
        KEYS.put(to, &key.lookup.0, &key)
    })
}
