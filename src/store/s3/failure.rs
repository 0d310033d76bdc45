//! Which sort of failure it is: of the answers of a server, and of the way to it.

use super::error::{Kind, S3Error};
use super::request::{Method, Request};
use super::xml::ErrorDocument;
use super::{answer, trust};
use std::io;
use std::time::Duration;
use ureq::Timeout;
use ureq::http::HeaderMap;

/// What a refusal means. RFC 9110 for the status, the S3 API's list of error codes for the code.
pub(super) fn of_answer(
    request: &Request<'_>,
    status: u16,
    document: &ErrorDocument,
    region: Option<String>,
) -> Kind {
    // Garage's only word for all that is wrong with a key; the message tells more.
    if document.code == "AccessDenied" {
        match document.message.strip_prefix("Forbidden: ") {
            Some(said) if said.starts_with("No such key") => return Kind::BadKey,
            Some("Invalid signature") => return Kind::BadSignature,
            _ => {}
        }
    }
    match (status, document.code.as_str()) {
        (_, "NoSuchKey") => Kind::NotFound,
        (_, "NoSuchBucket") => Kind::NoBucket,
        (_, "NoSuchUpload") => Kind::NoUpload,
        (_, "AccessDenied" | "AllAccessDisabled" | "AccountProblem") => Kind::Denied,
        (
            _,
            "InvalidAccessKeyId"
            | "NotSignedUp"
            | "InvalidToken"
            | "InvalidTokenId"
            | "ExpiredToken"
            | "TokenRefreshRequired",
        ) => Kind::BadKey,
        (_, "SignatureDoesNotMatch") => Kind::BadSignature,
        (_, "PreconditionFailed") | (412, _) => Kind::Precondition,
        (_, "NotImplemented") | (405 | 501, _) => Kind::NotImplemented,
        (507, _)
        | (_, "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded") => {
            Kind::Full
        }
        // Two writers of one name at once.
        (_, "ConditionalRequestConflict" | "OperationAborted") => Kind::Busy,
        (_, "SlowDown" | "ServiceUnavailable" | "RequestTimeout") | (408 | 417 | 429, _) => {
            Kind::Busy
        }
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect") => {
            Kind::WrongRegion { expected: region }
        }
        (301 | 302 | 303 | 307 | 308, _) if region.is_some() => {
            Kind::WrongRegion { expected: region }
        }
        // Not the S3 protocol: the https:// of the same server, or a console for people.
        (300..=399, _) => Kind::Refused,
        // An answer to HEAD has no document; a 400 that names a region is about it.
        (400, "") if region.is_some() => Kind::WrongRegion { expected: region },
        (404, _) if request.key.is_empty() => Kind::NoBucket,
        // A page of something that stands before the server says nothing about an object.
        (404, "") if request.method != Method::Head => Kind::Broken,
        (404, _) if request.query.iter().any(|(name, _)| *name == "uploadId") => Kind::NoUpload,
        (404, _) => Kind::NotFound,
        (401 | 403, _) => Kind::Denied,
        // Also without a document, as in an answer to HEAD: the server is there.
        (503, code) if code != "InternalError" => Kind::Busy,
        (_, "InternalError") | (500.., _) => Kind::Server,
        _ => Kind::Refused,
    }
}

/// Whether a request is one that storing files cannot do without. What a server denies beside that does not make
/// the store unusable: listing, ending an upload twice, or reading an object that is not there, which is forbidden
/// to a key that may not list.
pub(super) fn writes(request: &Request<'_>) -> bool {
    !request.key.is_empty() && matches!(request.method, Method::Put | Method::Post)
}

/// Sorts what the transport says.
pub(super) fn of_transport(error: ureq::Error) -> S3Error {
    if let Some(tls) = tls_error(&error) {
        let (code, message) = trust::explain(tls);
        return S3Error::new(Kind::Tls, message)
            .coded(code)
            .with_source(error.into_io());
    }
    let (kind, message) = match &error {
        ureq::Error::Io(e) => match e.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                (Kind::TimedOut, "the server did not answer in time")
            }
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => (Kind::Broken, "the server closed the connection"),
            io::ErrorKind::ConnectionRefused => {
                (Kind::Unreachable, "nothing listens at the endpoint")
            }
            io::ErrorKind::InvalidData => (Kind::Broken, "the server's answer makes no sense"),
            _ => (Kind::Unreachable, "the server cannot be reached"),
        },
        ureq::Error::Timeout(Timeout::Resolve) => (
            Kind::Unreachable,
            "the endpoint's name was not found in time",
        ),
        ureq::Error::Timeout(Timeout::Connect) => (
            Kind::Unreachable,
            "the server did not take the connection in time",
        ),
        ureq::Error::Timeout(_) => (Kind::TimedOut, "the server did not answer in time"),
        ureq::Error::HostNotFound => (Kind::Unreachable, "nobody knows the endpoint's name"),
        ureq::Error::ConnectionFailed => (Kind::Unreachable, "the server cannot be reached"),
        ureq::Error::Tls(what) => (Kind::Tls, *what),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            (Kind::Refused, "the request cannot be written down")
        }
        ureq::Error::LargeResponseHeader(..) => (Kind::Broken, "the head of the answer has no end"),
        _ => (Kind::Broken, "the server does not speak HTTP as it should"),
    };
    S3Error::new(kind, message).with_source(error.into_io())
}

/// The failure of TLS inside of an error of a connection.
fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Io(e) => e.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// An error of a body that is being read.
pub(super) fn of_body(error: io::Error) -> S3Error {
    of_transport(error.into())
}

/// `Retry-After`: seconds, or a date. RFC 9110, section 10.2.3.
pub(super) fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let value = answer::text(headers, "retry-after")?.trim();
    let seconds = match value.parse() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(date(value)?.saturating_sub(now)).ok()?,
    };
    Some(Duration::from_secs(seconds))
}

/// Seconds since 1970 of an HTTP date: RFC 9110, section 5.6.7, the form that is not obsolete.
pub(super) fn date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let month = datetime::Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|n| n.parse::<u8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") {
        return None;
    }
    let date = datetime::Date::from_calendar_date(year, month, day).ok()?;
    let at = date.with_hms(hour, minute, second).ok()?;
    Some(at.assume_utc().unix_timestamp())
}
