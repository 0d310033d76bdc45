//! The most that an uploader may give a link: so many downloads, so many days. More is refused, never
//! cut down without a word: who asked for thirty days must not find the link gone after seven.
//!
//! Looked at when a link is made, and for what a change names. Links from before a maximum was set
//! keep what they have.

use super::{Count, Error, Lifetime, Service};
use crate::model::Timestamp;

/// A time that a client worked out may be this much too late, in seconds: its clock differs from ours.
const LEEWAY: i64 = 300;
const DAY: i64 = 86_400;

impl Service {
    /// Whether a link may get this from now on; `None` is not looked at. Making and changing links
    /// ask this themselves: it is for those who want to know before they take a file in.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the maximum.
    pub fn allows(&self, count: Option<Count>, lifetime: Option<Lifetime>) -> Result<(), Error> {
        let now = self.parts.clock.now();
        if let (Some(max), Some(count)) = (self.policy.max_downloads, count) {
            let within = match count {
                Count::Unlimited => false,
                Count::Limited(n) => n <= max,
            };
            if !within {
                return Err(Error::Invalid(format!(
                    "too many downloads: this server allows at most {max} for a link"
                )));
            }
        }
        if let (Some(max), Some(lifetime)) = (self.policy.max_days, lifetime) {
            let within = match lifetime {
                Lifetime::Unlimited => false,
                Lifetime::Until(at) => at <= latest(now, max),
            };
            if !within {
                return Err(Error::Invalid(format!(
                    "too long: this server allows at most {max} days for a link, counted from now"
                )));
            }
        }
        Ok(())
    }
}

fn latest(now: Timestamp, days: u32) -> Timestamp {
    now.plus(i64::from(days) * DAY + LEEWAY)
}
