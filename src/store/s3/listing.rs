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
use data_encoding::HEXLOWER_PERMISSIVE;
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

/// An answer of ListObjectsV2, as far as it is looked at.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(rename = "IsTruncated", default)]
    is_truncated: bool,
    #[serde(rename = "EncodingType", default)]
    encoding: String,
    #[serde(rename = "Contents", default)]
    pub(super) objects: Vec<Object>,
}

#[derive(Deserialize)]
pub(super) struct Object {
    #[serde(rename = "Key")]
    pub(super) key: String,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "LastModified", default)]
    pub(super) modified: String,
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
                // A name may have characters that no document has.
                ("encoding-type", "url"),
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
            let answer = self.reads.in_turn(|turn| turn.call(&request, &[], LIMIT))?;
            let mut page: Page = xml::parse(&answer.body).map_err(refused)?;
            if page.encoding == "url" {
                let keys = page.objects.iter_mut().map(|object| &mut object.key);
                keys.for_each(|key| *key = decoded(key));
            }
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
            let last = last.filter(|last| *last > after).ok_or_else(|| {
                let what = "the server does not list objects in the order of their names";
                refused(S3Error::new(Kind::Broken, what))
            })?;
            let jump = last.strip_prefix(prefix).and_then(next_after);
            let jump = jump.map(|name| format!("{prefix}{name}"));
            after = jump.filter(|jump| *jump > last).unwrap_or(last);
        }
    }
}

/// A name that comes after all that begin as `name` does and are no blobs: in a bucket with other things,
/// too, they would be very many pages. `None` when a blob may be next.
fn next_after(name: &str) -> Option<String> {
    let at = name.find(|c: char| !matches!(c, '0'..='9' | 'a'..='f'))?;
    let (digits, rest) = name.split_at(at);
    // The last character before the digits that blobs may have there.
    let before = match rest.chars().next()? {
        _ if at >= 2 * size_of::<BlobId>() => return None,
        '\0'..='/' => "/",
        ':'..='`' => "`",
        _ => "",
    };
    Some(format!("{digits}{before}\u{fffd}"))
}

/// A name out of percent signs, with blanks as plus signs. What is no such text is left as it is.
fn decoded(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, left @ ..] = rest {
        rest = left;
        let digits = left.first_chunk::<2>();
        match (
            first,
            digits.and_then(|two| HEXLOWER_PERMISSIVE.decode(two).ok()),
        ) {
            (b'%', Some(byte)) => {
                bytes.extend(byte);
                rest = &left[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// The server's time when it gave this answer less `grace`, as [`stamp`] writes it.
pub(super) fn cutoff(answer: &Answer, grace: Duration) -> Option<String> {
    let grace = i64::try_from(grace.as_secs()).ok()?;
    stamp(date(answer.header("date")?)?.checked_sub(grace)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_jumped_over_has_no_blobs_and_what_comes_next_may_be_one() {
        for (name, next) in [
            ("2024/photo.jpg", "2024/\u{fffd}"),
            ("2024-01/photo.jpg", "2024/\u{fffd}"),
            ("0123_x", "0123`\u{fffd}"),
            ("beach", "bea\u{fffd}".replace("bea", "beac").as_str()),
            ("A", "`\u{fffd}"),
        ] {
            let found = next_after(name).unwrap();
            assert_eq!(found, next, "{name}");
            assert!(found.as_str() > name);
            let blobs = (0..=255).map(|n| BlobId([n; 16]).to_hex());
            for blob in blobs.chain([format!("{:0<32}", "20240"), format!("{:f<32}", "2024")]) {
                assert_eq!(blob.as_str() > name, blob > found, "{name} {blob}");
            }
        }
        for name in [
            "0123",
            "",
            &"a".repeat(32),
            &format!("{}.bak", "a".repeat(32)),
        ] {
            assert_eq!(next_after(name), None, "{name}");
        }
    }

    #[test]
    fn names_in_percent_signs_are_read_and_others_left() {
        for (key, name) in [
            ("a+photo%2Bb%01.jpg", "a photo+b\u{1}.jpg"),
            ("gr%C3%BC%c3%9f", "gr\u{fc}\u{df}"),
            ("100%", "100%"),
            ("100%2", "100%2"),
            ("%FF", "%FF"),
        ] {
            assert_eq!(decoded(key), name);
        }
    }
}
