//! What is kept of the clock: its mark, which rides along with other changes, and the births of
//! links that were made in doubt.

use super::changes::put_link;
use super::schema::{BIRTHS, CLOCK, Change, MARK, find_link};
use super::{MARK_STEP, MetadataError};
use crate::model::{ClockRow, Link, Lookup, Rebase};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A birth that was wrong by no more, in seconds, was right: two clocks were read, in whole ones.
const SAME: i64 = 3;

type Result<T> = std::result::Result<T, MetadataError>;

/// The seat for a mark that goes with the next change.
#[derive(Clone, Default)]
pub(super) struct Ride(Arc<Mutex<Seat>>);

#[derive(Default)]
struct Seat {
    offered: Option<ClockRow>,
    kept: Option<ClockRow>,
}

impl Ride {
    pub(super) fn offer(&self, row: &ClockRow) {
        self.seat().offered = Some(row.clone());
    }

    /// Writes the mark that waits, if it is worth it.
    pub(super) fn board(&self, to: &Change<'_>) -> Result<()> {
        let row = {
            let mut seat = self.seat();
            let Some(row) = seat.offered.take() else {
                return Ok(());
            };
            let old = seat.kept.as_ref();
            let worth = old.is_none_or(|old| row.mark.since(old.mark) >= MARK_STEP);
            if !worth {
                return Ok(());
            }
            row
        };
        self.save(to, &row)
    }

    pub(super) fn save(&self, to: &Change<'_>, row: &ClockRow) -> Result<()> {
        CLOCK.put(to, MARK, row)?;
        // A commit that fails is the last one: nobody asks again.
        *self.seat() = Seat {
            // What was offered before may be a time that was taken back.
            offered: None,
            kept: Some(row.clone()),
        };
        Ok(())
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A damaged link must not keep the others from being put right: it is logged and passed over.
pub(super) fn rebase(to: &Change<'_>, by: &Rebase, limit: usize) -> Result<usize> {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    let births = BIRTHS.sound_range(to, everything, limit)?;
    for (key, birth) in &births {
        let lookup = Lookup(super::keys::tail(BIRTHS.name, key)?);
        match find_link(to, &lookup) {
            Ok(Some(link)) => {
                let shift = by.time_of(birth).since(link.created);
                if shift.abs() > SAME {
                    put_link(to, &link, &moved(&link, shift))?;
                }
            }
            // It has ended since.
            Ok(None) => {}
            Err(MetadataError::Corrupt(what)) => {
                log::error!("link {lookup} keeps the end that it has: {what}");
            }
            Err(other) => return Err(other),
        }
        BIRTHS.delete(to, key)?;
    }
    Ok(births.len())
}

/// The link with its ends as far from its true birth as they were from the one that was believed,
/// `shift` seconds before.
fn moved(link: &Link, shift: i64) -> Link {
    let mut moved = link.clone();
    if !link.expiry.unlimited {
        moved.expiry.at = link.expiry.at.plus(shift);
    }
    moved.pending_delete = link.pending_delete.map(|at| at.plus(shift));
    moved
}
