//! What the service does about its clock: it looks at it before each sweep, keeps its mark, puts right
//! what was written in doubt, and tells the operator. The rules are in `docs/decisions/0008-time.md`.

use super::gaps::Gaps;
use super::new_link::Plan;
use super::{Error, Service};
use crate::logging::event;
use crate::metadata::{Due, MARK_STEP};
use crate::model::{ClockRow, Doubt, Lookup, Rebase, Timestamp, Turn, VOUCHER, Watched};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// Births that are put right in one commit.
const PAGE: usize = 128;
/// How often the waiting of a gap is kept: a power cut costs it that much, and no more is written
/// while nothing else happens.
const KEEP: Duration = Duration::from_secs(3600);
/// The same in the first [`KEEP`] of a process, and while a notice is running: so that time adds up
/// where the plug is pulled after twenty minutes each day.
const KEEP_EARLY: Duration = Duration::from_secs(600);

/// What is known beside the clock itself.
pub(super) struct Care {
    gaps: Gaps,
    /// There may be links that were made in doubt.
    births: bool,
    /// The mark has to be written as soon as possible: it may be lower than the one that is kept.
    unsaved: bool,
    /// When this process began, as elapsed time.
    began: Duration,
    /// When the mark was written last by itself, as elapsed time.
    saved: Duration,
    /// The mark that was written then.
    mark: Timestamp,
}

impl Care {
    pub(super) fn new() -> Self {
        Self {
            gaps: Gaps::default(),
            births: true,
            unsaved: false,
            began: Duration::ZERO,
            saved: Duration::ZERO,
            mark: Timestamp::MIN,
        }
    }

    /// Whether something waits that was not kept for long.
    fn is_stale(&self, elapsed: Duration) -> bool {
        let early = elapsed.saturating_sub(self.began) <= KEEP || self.gaps.is_noticing();
        let every = if early { KEEP_EARLY } else { KEEP };
        !self.gaps.is_empty() && elapsed.saturating_sub(self.saved) >= every
    }
}

impl Service {
    /// Takes over what the last process knew.
    pub(super) fn recover_clock(&self) -> Result<(), Error> {
        let elapsed = self.parts.clock.elapsed();
        let mut care = self.care();
        care.began = elapsed;
        care.saved = elapsed;
        care.unsaved = self.parts.clock.is_vouched_first();
        if let Some(row) = self.parts.clock.found() {
            care.mark = row.mark;
            care.gaps = Gaps::restored(row.gaps.clone(), elapsed);
        }
        let vouched = care.unsaved;
        if vouched {
            care.gaps.forget_notice();
        }
        drop(care);
        if vouched {
            tell_vouched();
            // Now, because the voucher is used up. What fails is tried again with each sweep.
            let _ = self.save_clock();
        }
        if let Some(doubt) = self.parts.clock.doubt() {
            warn(doubt);
        } else if let Some(lead) = self.parts.clock.lead() {
            warn_of_lead(lead);
        }
        // The very first change of a new database already goes with a mark.
        self.offer_clock()
    }

    /// Looks at the clock and does what follows from it, but for removing.
    pub(super) fn tend_clock(&self) -> Result<(), Error> {
        let keeper = &self.parts.clock;
        if let Some(turn) = keeper.look() {
            // First, so that no link that was made in doubt ends meanwhile.
            if let Some(rebase) = &turn.rebase {
                self.put_right(rebase)?;
            }
            keeper.turn(&turn);
            tell(&turn, keeper.lead());
            let mut care = self.care();
            care.births = true;
            // Also that it counts no more: the next process would go on with it.
            care.unsaved |= care.gaps.forget_notice();
            care.unsaved |= turn.vouched || (turn.was.is_some() && turn.is.is_none());
        }
        if self.care().unsaved {
            self.save_clock()?;
        }
        if let Some(rebase) = keeper.rebase() {
            let births = std::mem::take(&mut self.care().births);
            if births && let Err(error) = self.put_right(&rebase) {
                self.care().births = true;
                return Err(error);
            }
        }
        let trusted = keeper.doubt().is_none();
        self.care().gaps.pass_to(keeper.elapsed(), trusted);
        self.offer_clock()
    }

    fn offer_clock(&self) -> Result<(), Error> {
        let Some(row) = self.clock_row() else {
            return Ok(());
        };
        let offered = self.parts.metadata.offer_clock(&row);
        offered.map_err(|error| self.failed(error))
    }

    /// A link was made, perhaps in doubt.
    pub(super) fn note_birth(&self, plan: &Plan) {
        if plan.is_in_doubt() {
            self.care().births = true;
        }
    }

    /// Up to when links by time may be removed for good.
    pub(super) fn removable(&self) -> Timestamp {
        let watched = self.parts.clock.watched();
        watched.map_or(Timestamp::MIN, |watched| watched.until)
    }

    /// Removes links that ended while nobody watched, as far as they have waited long enough.
    pub(super) fn sweep_gaps(&self, watched: Watched) -> Result<u64, Error> {
        let elapsed = self.parts.clock.elapsed();
        let horizon = watched.after.min(watched.until);
        let covered = {
            let mut care = self.care();
            care.gaps.cut(watched.until);
            care.gaps.covered()
        };
        let mut changed = false;
        if self.count_due(covered, horizon, 1)? > 0 {
            log::info!(
                target: event::CLOCK,
                "links have ended while the clock was not watched: their files stay for another 24 hours"
            );
            self.care().gaps.open(horizon);
            changed = true;
        }
        let mut ended = 0;
        let ripe = self.care().gaps.ripe();
        if let Some(ripe) = ripe {
            if let Some(until) = self.may_remove(ripe, elapsed)? {
                ended = self.sweep_span(Some(&after(Timestamp::MIN)), until)?;
                self.care().gaps.removed(ended);
            }
            changed |= self.close_gaps()?;
        }
        if changed || self.care().is_stale(elapsed) {
            self.save_clock()?;
        }
        Ok(ended)
    }

    /// Up to where links may go, of those with ends up to `ripe`: never more than a fifth of the files
    /// without an hour of notice.
    fn may_remove(&self, ripe: Timestamp, elapsed: Duration) -> Result<Option<Timestamp>, Error> {
        let files = self.parts.metadata.link_count();
        let files = files.map_err(|error| self.failed(error))?;
        let room = self.care().gaps.room(files, elapsed);
        let due = self.count_due(Timestamp::MIN, ripe, room + 1)?;
        if due == 0 {
            return Ok(None);
        }
        let verdict = self.care().gaps.judge(due, room, ripe);
        if let Some(left) = verdict.tell {
            log::warn!(
                target: event::CLOCK,
                "more than a fifth of the {files} files ended while the clock was not watched, and go when this has run \
                 for another {} minutes: if they should not, set the clock right before",
                left.as_secs().div_ceil(60)
            );
        }
        Ok(verdict.go)
    }

    /// Closes the gaps that are done with, one after the other: a later one may still wait. Says whether
    /// there was any.
    fn close_gaps(&self) -> Result<bool, Error> {
        let ends = self.care().gaps.ripe_ends();
        let mut done = None;
        for until in ends {
            if self.count_due(Timestamp::MIN, until, 1)? > 0 {
                break;
            }
            done = Some(until);
        }
        if let Some(until) = done {
            self.care().gaps.close(until);
        }
        Ok(done.is_some())
    }

    /// What is wrong with the clock, for whoever watches the server; `None` while all is well.
    pub fn clock_remark(&self) -> Option<&'static str> {
        match (self.parts.clock.doubt(), self.parts.clock.lead()) {
            (Some(doubt), _) => Some(words(doubt)),
            (None, Some(_)) => Some("the clock was ahead earlier: links end by the later time"),
            (None, None) => None,
        }
    }

    /// Writes the mark, if it is trusted and newer, or what has been waited: for the end of the process.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn put_clock_away(&self) -> Result<(), Error> {
        let trusted = self.parts.clock.doubt().is_none();
        let elapsed = self.parts.clock.elapsed();
        let (kept, unsaved) = {
            let mut care = self.care();
            care.gaps.pass_to(elapsed, trusted);
            let waited = !care.gaps.is_empty() && elapsed > care.saved;
            (care.mark, care.unsaved || waited)
        };
        match self.clock_row() {
            Some(row) if unsaved || row.mark.since(kept) >= MARK_STEP => self.save_clock(),
            _ => Ok(()),
        }
    }

    fn save_clock(&self) -> Result<(), Error> {
        let Some(row) = self.clock_row() else {
            return Ok(());
        };
        let saved = self.parts.metadata.save_clock(&row);
        saved.map_err(|error| self.failed(error))?;
        let mut care = self.care();
        care.saved = self.parts.clock.elapsed();
        care.mark = row.mark;
        care.unsaved = false;
        Ok(())
    }

    fn clock_row(&self) -> Option<ClockRow> {
        let mut row = self.parts.clock.row()?;
        row.gaps = self.care().gaps.rows();
        Some(row)
    }

    fn put_right(&self, rebase: &Rebase) -> Result<(), Error> {
        let mut links = 0;
        // Each step takes what it looked at out of the list.
        loop {
            let looked = self.parts.metadata.rebase(rebase, PAGE);
            let looked = looked.map_err(|error| self.failed(error))?;
            links += looked;
            if looked < PAGE {
                break;
            }
        }
        if links > 0 {
            log::info!(
                target: event::CLOCK,
                "{links} links were made while the clock was in doubt: their ends are right now"
            );
        }
        Ok(())
    }

    fn count_due(&self, after: Timestamp, until: Timestamp, limit: u64) -> Result<u64, Error> {
        let count = self.parts.metadata.count_due(after, until, limit);
        count.map_err(|error| self.failed(error))
    }

    fn care(&self) -> MutexGuard<'_, Care> {
        self.care.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last place of a time among the links that are due.
pub(super) fn after(at: Timestamp) -> Due {
    Due {
        at,
        lookup: Lookup([u8::MAX; 32]),
    }
}

fn words(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::BeforeMade => {
            "the clock is not trusted: it shows a time before this Mayfly was made"
        }
        Doubt::Ahead => {
            "the clock is not trusted: it is more than a year ahead of the last known time"
        }
        Doubt::Behind => "the clock is not trusted: it is behind the last known time",
    }
}

fn warn(doubt: Doubt) {
    log::warn!(
        target: event::CLOCK,
        "trusted=no {}. Links go on, what has ended is refused, nothing is removed by time until the clock is \
         synchronised or set right. If it is right as it is: create the file {VOUCHER} in the \
         data directory",
        words(doubt)
    );
}

fn warn_of_lead(lead: i64) {
    log::warn!(
        target: event::CLOCK,
        "trusted=yes the clock was ahead by {} hours earlier, and time does not go back: links end by the \
         later time. If the present time is right: create the file {VOUCHER} in the data directory",
        lead / 3600
    );
}

fn tell_vouched() {
    log::info!(target: event::CLOCK, "trusted=yes the operator says that the clock is right");
}

fn tell(turn: &Turn, lead: Option<i64>) {
    let (hours, minutes) = (turn.ahead.abs() / 3600, turn.ahead.abs() / 60 % 60);
    let way = if turn.ahead < 0 { "back" } else { "forward" };
    if turn.ahead != 0 {
        log::info!(target: event::CLOCK, "the clock was set {way} by {hours} h {minutes} min");
    }
    match (turn.was, turn.is) {
        (_, Some(doubt)) => warn(doubt),
        (_, None) if turn.vouched => tell_vouched(),
        (Some(_), None) => {
            log::info!(target: event::CLOCK, "trusted=yes the clock is trusted again")
        }
        (None, None) => {}
    }
    if let Some(lead) = lead {
        warn_of_lead(lead);
    }
}
