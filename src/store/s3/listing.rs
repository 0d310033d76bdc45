//! Lists the objects of a bucket that are blobs, page by page: whatever else lies there is passed over.

use super::answer::Answer;
use super::error::{Kind, S3Error};
use super::failure::date;
use super::leftovers::is_before;
use super::read::{Reads, refused};
use super::request::{Method, Request};
use super::sign::stamp;
use super::xml;
use crate::model::BlobId;
use crate::store::StoreError;
use serde::Deserialize;
use std::ops::ControlFlow;
use std::time::Duration;

/// Objects of one page. S3 gives up to 1,000; a page of so many would be half a megabyte.
const PAGE: usize = 256;
/// Longest page that is read, in bytes: names are up to 1,024 bytes, and three times that in
/// percent signs.
const LIMIT: usize = PAGE * 4096;
/// What comes after the names of all blobs.
const BEYOND: &str = "g";

/// A blob in a listing.
pub(super) struct Listed {
    pub(super) id: BlobId,
    /// In bytes.
    pub(super) size: u64,
    /// Whether it was stored more than the grace time ago, by the server's own clock. What cannot
    /// be told is not.
    pub(super) is_old: bool,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "IsTruncated", default)]
    is_truncated: bool,
    #[serde(rename = "Contents", default)]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "LastModified", default)]
    modified: String,
}

/// Which blobs to list.
pub(super) struct Listing<'a> {
    pub(super) reads: &'a Reads,
    /// How long ago a blob must have been stored to be old.
    pub(super) grace: Duration,
    /// Names after this one, without the prefix.
    pub(super) after: String,
    /// How many are wanted, roughly: pages are not much longer.
    pub(super) wanted: usize,
}

impl Listing<'_> {
    /// Shows all of them to `visit`, in the order of their names, until it breaks off.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the server does not answer, or not with a listing.
    pub(super) fn run(
        self,
        mut visit: impl FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let prefix = self.reads.prefix();
        let most = self.wanted.saturating_add(16).min(PAGE).to_string();
        let mut after = format!("{prefix}{}", self.after);
        loop {
            let mut query = vec![
                ("list-type", "2"),
                ("max-keys", most.as_str()),
                ("prefix", prefix),
            ];
            if after.len() > prefix.len() {
                query.push(("start-after", &after));
            }
            let request = Request {
                method: Method::Get,
                key: "",
                query: &query,
                headers: &[],
            };
            // A turn for each page: a long listing must not hold up downloads.
            let answer = self
                .reads
                .in_turn(|client| client.call(&request, &[], LIMIT))?;
            let page: Page = xml::parse(&answer.body).map_err(refused)?;
            let cutoff = cutoff(&answer, self.grace);
            let last = page.objects.last().map(|object| object.key.clone());
            for object in page.objects {
                let Some(name) = object.key.strip_prefix(prefix) else {
                    continue;
                };
                if name >= BEYOND {
                    return Ok(());
                }
                let Some(id) = BlobId::from_hex(name) else {
                    continue;
                };
                let listed = Listed {
                    id,
                    size: object.size,
                    is_old: self.grace.is_zero()
                        || cutoff
                            .as_deref()
                            .is_some_and(|cutoff| is_before(&object.modified, cutoff)),
                };
                if visit(listed).is_break() {
                    return Ok(());
                }
            }
            if !page.is_truncated {
                return Ok(());
            }
            after = last.filter(|last| *last > after).ok_or_else(|| {
                let what = "the server does not list objects in the order of their names";
                refused(S3Error::new(Kind::Broken, what))
            })?;
        }
    }
}

/// The server's time when it gave this answer less `grace`, as [`stamp`] writes it.
fn cutoff(answer: &Answer, grace: Duration) -> Option<String> {
    let grace = i64::try_from(grace.as_secs()).ok()?;
    stamp(date(answer.header("date")?)?.checked_sub(grace)?).ok()
}
