//! Multipart uploads that no journal knows: begun by a process that died before it took them down, or
//! whose database is gone. Found by listing them, where the server can; others have a rule for their
//! age.

use super::client::Client;
use super::error::{Kind, S3Error};
use super::failure::date;
use super::request::{Method, Request};
use super::{sign, xml};
use crate::model::BlobId;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use std::time::Duration;

/// Longest listing that is read, in bytes, and uploads in one: names that are not ours may be long.
const LISTING: usize = 1 << 20;
const PAGE: &str = "100";
/// Listings that are read in one go: what is left waits for the next day.
const PAGES: usize = 100;

#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Listed>,
    #[serde(rename = "IsTruncated", default)]
    more: bool,
    #[serde(rename = "NextKeyMarker", default)]
    next_key: String,
    #[serde(rename = "NextUploadIdMarker", default)]
    next_upload: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "UploadId")]
    upload: String,
    #[serde(rename = "Initiated")]
    begun: String,
}

/// Calls `found` with key, blob and name of each upload under our prefix that is older than `age` by
/// the server's own clock. A server that cannot list uploads has none.
pub(super) fn each(
    client: &Client,
    age: Duration,
    mut found: impl FnMut(&str, &BlobId, &str) -> Result<(), S3Error>,
) -> Result<(), S3Error> {
    let prefix = client.settings().prefix.as_str();
    let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    // There are servers that list uploads of whole names only, or all.
    for asked in [prefix, ""] {
        let mut any = false;
        list(client, asked, |listed, now| {
            any = true;
            // Without its time nothing is known to be old.
            let Some(now) = now else {
                return Ok(());
            };
            let limit = sign::stamp(now.saturating_sub(age))?;
            match blob_of(&listed.key, prefix) {
                Some(id) if is_before(&listed.begun, &limit) => {
                    found(&listed.key, &id, &listed.upload)
                }
                _ => Ok(()),
            }
        })?;
        if any || prefix.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The names of the uploads of one key; none where the server cannot list them.
pub(super) fn of_key(client: &Client, key: &str) -> Result<Vec<String>, S3Error> {
    let mut names = Vec::new();
    list(client, key, |listed, _| {
        if listed.key == key {
            names.push(listed.upload.clone());
        }
        Ok(())
    })?;
    Ok(names)
}

/// Calls `found` with each upload whose key begins so, and with the server's time.
fn list(
    client: &Client,
    prefix: &str,
    mut found: impl FnMut(&Listed, Option<i64>) -> Result<(), S3Error>,
) -> Result<(), S3Error> {
    let (mut key, mut upload) = (String::new(), String::new());
    for _ in 0..PAGES {
        let mut query = vec![("uploads", ""), ("max-uploads", PAGE)];
        if !prefix.is_empty() {
            query.push(("prefix", prefix));
        }
        if !key.is_empty() {
            query.push(("key-marker", &key));
        }
        if !upload.is_empty() {
            query.push(("upload-id-marker", &upload));
        }
        let request = Request {
            method: Method::Get,
            key: "",
            query: &query,
            headers: &[],
        };
        let answer = match client.call(&request, b"", LISTING) {
            Err(error) if *error.kind() == Kind::NotImplemented => return Ok(()),
            Err(error) if *error.kind() == Kind::Denied => {
                let message =
                    "the access key may not list multipart uploads (s3:ListBucketMultipartUploads)";
                return Err(S3Error::new(Kind::Denied, message).answered(403, ""));
            }
            other => other?,
        };
        let now = answer.header("date").and_then(date);
        let listing: Listing = xml::parse(&answer.body)?;
        for listed in &listing.uploads {
            found(listed, now)?;
        }
        let onward = (listing.next_key, listing.next_upload);
        if !listing.more || onward == (key, upload) {
            return Ok(());
        }
        (key, upload) = onward;
    }
    Ok(())
}

/// The blob that an object is of; `None` when it is none of ours.
fn blob_of(key: &str, prefix: &str) -> Option<BlobId> {
    let digits = key.strip_prefix(prefix)?;
    let bytes = HEXLOWER.decode(digits.as_bytes()).ok()?;
    bytes.try_into().ok().map(BlobId)
}

/// Whether a time as `2026-01-31T12:00:00.000Z` is before one as `20260131T120000Z`.
pub(super) fn is_before(time: &str, limit: &str) -> bool {
    let seconds = time.split(['.', 'Z']).next().unwrap_or_default();
    let compact: String = seconds.chars().filter(|c| !"-:".contains(*c)).collect();
    let has_form = compact.len() == 15
        && compact.bytes().enumerate().all(|(at, b)| {
            if at == 8 {
                b == b'T'
            } else {
                b.is_ascii_digit()
            }
        });
    has_form && compact.as_str() < limit.trim_end_matches('Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_that_is_surely_before_the_limit_is_before_it() {
        let limit = sign::stamp(1_000_000_000).unwrap();
        assert_eq!(limit, "20010909T014640Z");
        for (time, before) in [
            ("2001-09-09T01:46:39.999Z", true),
            ("2001-09-09T01:46:39Z", true),
            ("20000909T014639Z", true),
            ("2001-09-09T01:46:40.000Z", false),
            ("2010-01-01T00:00:00.000Z", false),
            ("", false),
            ("Sun, 09 Sep 2001 01:46:39 GMT", false),
            ("1999", false),
        ] {
            assert_eq!(is_before(time, &limit), before, "{time}");
        }
    }

    #[test]
    fn only_names_of_our_form_under_our_prefix_are_ours() {
        let digits = "00112233445566778899aabbccddeeff";
        assert!(blob_of(digits, "").is_some());
        assert!(blob_of(&format!("a/b/{digits}"), "a/b/").is_some());
        for other in [
            format!("a/{digits}"),
            format!("a/b/{digits}0"),
            format!("a/b/{}", digits.to_uppercase()),
            "a/b/".to_owned(),
        ] {
            assert!(blob_of(&other, "a/b/").is_none(), "{other}");
        }
    }
}
