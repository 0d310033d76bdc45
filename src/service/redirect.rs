//! Downloads that go on at the store: whoever asks gets an address there, and the bytes do not come this way.
//!
//! What it promises: nobody gets a file that way who would not get it here, and no limit of a link is exceeded.
//! An address can be used as often as anybody likes while it lives, and only its store can end it. So it is short of
//! life, and there is none for a link whose downloads are counted down, or that ends before the address does.

use super::{OpenFile, Service, events};
use crate::model::{Link, Timestamp};
use crate::store::Presentation;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

/// How long an address lives: a download that has begun by then goes on. Enough for a slow client to follow.
const LIFE: Duration = Duration::from_secs(60);
/// The longest address, in bytes. It stands in the head of an answer, for which proxies have 4 KiB.
const LONGEST: usize = 3000;

impl Service {
    /// Where the store hands out `range` of this file by itself, with these fields; `None`: it has to be sent
    /// from here. The download counts with that, if the last byte is in the range: what becomes of it, nobody
    /// here sees. To be called when the address is handed out, and not before.
    pub fn redirect(
        &self,
        file: &OpenFile,
        range: &Range<u64>,
        disposition: &str,
        content_type: &str,
        peer: IpAddr,
    ) -> Option<String> {
        if !outlives(&file.link, self.parts.clock.now()) {
            return None;
        }
        let shown = Presentation {
            disposition,
            content_type,
            lives: LIFE,
        };
        let address = file.source.address(&shown);
        let address = address.filter(|address| address.len() <= LONGEST)?;
        let last = range.end == file.size;
        if file.counts && last {
            self.count_download(&file.link.lookup);
        }
        events::redirected(&file.link.lookup, file.counts && last, peer);
        Some(address)
    }
}

/// Whether a link will still be good for any number of downloads when an address that is made now ends.
fn outlives(link: &Link, now: Timestamp) -> bool {
    let end = now.plus(i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX));
    link.allowance.unlimited && link.is_visible(end)
}
