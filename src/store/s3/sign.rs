//! Signature version 4, in the `Authorization` header, or in an address that needs no header.

use super::error::{Kind, S3Error};
use super::settings::S3Settings;
use data_encoding::HEXLOWER;
use datetime::OffsetDateTime;
use ring::hmac;
use rust_s3::region::Region;
use rust_s3::signing;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// The payload is protected by TLS, and not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Seconds of a day.
const DAY: i64 = 86_400;

/// What is signed of a request.
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    /// Percent-encoded, as it is sent.
    pub(super) path: &'a str,
    /// Percent-encoded and sorted, as it is sent.
    pub(super) query: &'a str,
    /// Names in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// Lower-case hex digits of the SHA-256 of the body, or [`UNSIGNED`].
    pub(super) payload: &'a str,
}

/// Signs, and keeps the key of the day.
pub(super) struct Signer {
    key_id: Zeroizing<String>,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
    region: Region,
    today: Mutex<Option<(i64, hmac::Key)>>,
}

impl Signer {
    pub(super) fn new(settings: &S3Settings) -> Self {
        Self {
            key_id: settings.credentials.key_id.clone(),
            secret: settings.credentials.secret.clone(),
            token: settings.credentials.token.clone(),
            region: Region::Custom {
                region: settings.region.clone(),
                endpoint: settings.endpoint.clone(),
            },
            today: Mutex::new(None),
        }
    }

    /// The `Authorization` header of a request that is sent at `seconds` since 1970.
    pub(super) fn authorization(
        &self,
        request: &Signable<'_>,
        seconds: i64,
    ) -> Result<String, S3Error> {
        let at = moment(seconds)?;
        let (canonical, names) = canonical(request);
        let signature = self.signature(&canonical, seconds, &at)?;
        signing::authorization_header(&self.key_id, &at, &self.region, &names, &signature)
            .map_err(|_| failed())
    }

    /// The query of an address at which anybody may get what is at `path`, from `seconds` since 1970 on and
    /// for `lives` seconds. `shown`: what else is in the query, not encoded.
    pub(super) fn presigned(
        &self,
        host: &str,
        path: &str,
        shown: &[(&str, &str)],
        seconds: i64,
        lives: u64,
    ) -> Result<String, S3Error> {
        let at = moment(seconds)?;
        let scope = signing::scope_string(&at, &self.region).map_err(|_| failed())?;
        let credential = format!("{}/{scope}", self.key_id.as_str());
        let (stamp, lives) = (stamp(seconds)?, lives.to_string());
        let mut pairs = vec![
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", credential.as_str()),
            ("X-Amz-Date", stamp.as_str()),
            ("X-Amz-Expires", lives.as_str()),
            ("X-Amz-SignedHeaders", "host"),
        ];
        if let Some(token) = &self.token {
            pairs.push(("X-Amz-Security-Token", token.as_str()));
        }
        pairs.extend_from_slice(shown);
        let query = query(&pairs);
        let (canonical, _) = canonical(&Signable {
            method: "GET",
            path,
            query: &query,
            headers: &[("host", host)],
            payload: UNSIGNED,
        });
        let signature = self.signature(&canonical, seconds, &at)?;
        Ok(format!("{query}&X-Amz-Signature={signature}"))
    }

    /// Lower-case hex digits.
    fn signature(
        &self,
        canonical: &str,
        seconds: i64,
        at: &OffsetDateTime,
    ) -> Result<String, S3Error> {
        let text = signing::string_to_sign(at, &self.region, canonical).map_err(|_| failed())?;
        let signature = hmac::sign(&self.key(seconds, at)?, text.as_bytes());
        Ok(HEXLOWER.encode(signature.as_ref()))
    }

    fn key(&self, seconds: i64, at: &OffsetDateTime) -> Result<hmac::Key, S3Error> {
        let day = seconds.div_euclid(DAY);
        // The key is written whole; a panic elsewhere does not spoil it.
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = today.as_ref().filter(|(of, _)| *of == day) {
            return Ok(key.clone());
        }
        let bytes = Zeroizing::new(
            signing::signing_key(at, &self.secret, &self.region, "s3").map_err(|_| failed())?,
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        *today = Some((day, key.clone()));
        Ok(key)
    }
}

/// Sorts and encodes a query: as it is signed, and as it is sent.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut encoded: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| {
            (
                signing::uri_encode(name, true),
                signing::uri_encode(value, true),
            )
        })
        .collect();
    encoded.sort();
    let joined: Vec<String> = encoded.iter().map(|(n, v)| format!("{n}={v}")).collect();
    joined.join("&")
}

/// Encodes a path that starts with a slash.
pub(super) fn path(path: &str) -> String {
    signing::uri_encode(path, false)
}

/// `20130524T000000Z`.
pub(super) fn stamp(seconds: i64) -> Result<String, S3Error> {
    let at = moment(seconds)?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let month = u8::from(month);
    Ok(format!(
        "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
    ))
}

/// The canonical request, and the names of the headers in it.
pub(super) fn canonical(request: &Signable<'_>) -> (String, String) {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut text = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for (name, value) in headers {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        text.push_str(&format!("{name}:{}\n", words.join(" ")));
    }
    text.push_str(&format!("\n{names}\n{}", request.payload));
    (text, names)
}

fn moment(seconds: i64) -> Result<OffsetDateTime, S3Error> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| failed())
}

fn failed() -> S3Error {
    S3Error::new(
        Kind::Refused,
        "the request cannot be signed: the clock shows no date",
    )
}
