//! Objects that a trial of the bucket stores for a moment, and what becomes of them when the trial is broken off: the
//! daily walk removes them.

use super::leftovers::is_before;
use super::listing::{Page, cutoff};
use super::read::{Reads, refused};
use super::request::{Method, Request};
use super::xml;
use crate::store::StoreError;
use data_encoding::HEXLOWER;
use std::time::Duration;

/// What comes after the prefix and before 16 hex digits in the names of such objects.
const NAME: &str = "mayfly-check-";
/// What comes after the digits in the name of the one that is stored in parts.
const IN_PARTS: &str = "-parts";
/// What is younger may belong to a trial that is under way.
const AGE: Duration = Duration::from_secs(24 * 3600);
/// Objects that are removed in one go, and the longest listing of so many, in bytes.
const PAGE: &str = "100";
const LISTING: usize = 512 << 10;

/// The names of the two objects of a trial: one stored at once, and one stored in parts.
pub(super) fn names(prefix: &str, number: [u8; 8]) -> [String; 2] {
    let name = format!("{prefix}{NAME}{}", HEXLOWER.encode(&number));
    let in_parts = format!("{name}{IN_PARTS}");
    [name, in_parts]
}

/// Whether this is the name of such an object, without its prefix.
fn is_one(name: &str) -> bool {
    let digits = name.strip_prefix(NAME);
    let digits = digits.map(|rest| rest.strip_suffix(IN_PARTS).unwrap_or(rest));
    digits.is_some_and(|digits| digits.len() == 16 && HEXLOWER.decode(digits.as_bytes()).is_ok())
}

/// Removes those that are older than a day by the server's own clock; answers how many.
///
/// # Errors
/// [`StoreError::Refused`] when the server does not answer, or not with a listing.
pub(super) fn sweep(reads: &Reads) -> Result<u64, StoreError> {
    let prefix = reads.prefix();
    let ours = format!("{prefix}{NAME}");
    let request = Request {
        method: Method::Get,
        key: "",
        query: &[("list-type", "2"), ("max-keys", PAGE), ("prefix", &ours)],
        headers: &[],
    };
    let answer = reads.in_turn(|turn| turn.call(&request, &[], LISTING))?;
    // Without its time nothing is known to be old.
    let Some(limit) = cutoff(&answer, AGE) else {
        return Ok(0);
    };
    let page: Page = xml::parse(&answer.body).map_err(refused)?;
    let mut removed = 0;
    for object in &page.objects {
        let is_ours = object.key.strip_prefix(prefix).is_some_and(is_one);
        if !is_ours || !is_before(&object.modified, &limit) {
            continue;
        }
        reads.delete(&object.key)?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_trial_makes_are_those_of_a_trial() {
        for name in names("", [0xab; 8]) {
            assert!(is_one(&name), "{name}");
        }
        for other in [
            "mayfly-check-",
            "mayfly-check-abab",
            "mayfly-check-ABABABABABABABAB",
            "mayfly-check-abababababababab-part",
            "mayfly-check-abababababababababab",
            "mayfly-checks-abababababababab",
            "mayfly-owner",
            "abababababababababababababababab",
        ] {
            assert!(!is_one(other), "{other}");
        }
    }
}
