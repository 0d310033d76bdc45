//! Errors on the wire: every failure has one status, one code and one text.
//!
//! Statuses are Gokapi's, so that its scripts work unchanged (a missing permission is 401, never
//! 403), but for four cases in which Gokapi's 400 would say too little: a file over the limit is
//! 413, one that does not fit is 507, an upload that came too slowly is 408, and attempts over a
//! limit are 429 with `Retry-After`. Their codes are Gokapi's.

use super::wire;
use crate::api::AWAY;
use crate::http::Response;
use crate::service::{ChunkError, Error};
use std::io::ErrorKind;

/// A failure, ready for the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// Gokapi's `ErrorCode`.
    pub code: u16,
    /// Gokapi's `ErrorMessage`.
    pub text: String,
    /// Seconds after which it may work.
    pub retry_after: Option<u64>,
}

/// When to send a chunk again that is coming in already, in seconds.
const CHUNK_RUNS: u64 = 5;

/// Gokapi's error codes, as far as they are used here.
pub(super) mod code {
    pub const UNSPECIFIED: u16 = 0;
    pub const INVALID_URL: u16 = 1;
    pub const INVALID_KEY: u16 = 2;
    pub const ADMIN_ONLY: u16 = 3;
    pub const CANNOT_PARSE: u16 = 4;
    pub const NOT_FOUND: u16 = 5;
    pub const NO_PERMISSION: u16 = 6;
    pub const INTERNAL: u16 = 8;
    pub const TOO_LARGE: u16 = 9;
    pub const EXISTS: u16 = 7;
    pub const INVALID_INPUT: u16 = 10;
    pub const CHUNK_TOO_SMALL: u16 = 11;
    pub const CANNOT_ALLOCATE: u16 = 13;
    pub const RATE_LIMITED: u16 = 16;
    pub const NO_END_TO_END: u16 = 17;
    pub const NOT_TO_BE_EDITED: u16 = 19;
}

impl Fault {
    /// A failure with this status and code.
    pub(super) fn new(status: u16, code: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            retry_after: None,
        }
    }

    /// There is no such call.
    pub fn invalid_url() -> Self {
        Self::new(400, code::INVALID_URL, "Invalid request")
    }

    /// A parameter is missing.
    pub fn missing(name: &str) -> Self {
        Self::new(
            400,
            code::CANNOT_PARSE,
            format!("header {name} is required"),
        )
    }

    /// A parameter cannot be understood.
    pub fn bad_value(name: &str) -> Self {
        Self::new(
            400,
            code::CANNOT_PARSE,
            format!("invalid value in header {name} supplied"),
        )
    }

    /// The body is not what the call takes.
    pub fn bad_body(text: impl Into<String>) -> Self {
        Self::new(400, code::UNSPECIFIED, text)
    }

    /// The client asks for end-to-end encryption.
    pub fn no_end_to_end() -> Self {
        Self::new(
            400,
            code::NO_END_TO_END,
            "end-to-end encrypted files are not supported by this call",
        )
    }

    /// The client asks for end-to-end encryption and does not say how large the file is.
    pub fn no_real_size() -> Self {
        let text = "e2e set, but realsize not submitted";
        Self::new(400, code::CANNOT_PARSE, text)
    }

    /// There is no permission of that name.
    pub fn invalid_permission() -> Self {
        Self::new(400, code::CANNOT_PARSE, "invalid permission")
    }

    /// A permission is neither given nor taken.
    pub fn invalid_modifier() -> Self {
        Self::new(400, code::CANNOT_PARSE, "invalid permission modifier")
    }

    /// A chunk in the middle of a file is too small.
    pub fn chunk_too_small() -> Self {
        Self::new(400, code::CHUNK_TOO_SMALL, "chunk is too small")
    }

    /// The client asks for what this server does not offer.
    pub fn not_offered(text: &str) -> Self {
        Self::new(400, code::INVALID_INPUT, text)
    }

    /// Only those who look after the server may.
    pub fn admin_only() -> Self {
        Self::new(401, code::ADMIN_ONLY, "Unauthorized")
    }

    /// A file is to be given to somebody who is not there.
    pub fn no_such_user() -> Self {
        Self::new(400, code::NOT_FOUND, "User does not exist")
    }

    /// What goes wrong with chunks. Gokapi takes a chunk again whatever it holds; here it has to be the same.
    fn of_chunk(why: ChunkError, text: String) -> Self {
        match why {
            ChunkError::Unknown => Self::new(400, code::UNSPECIFIED, "chunk file does not exist"),
            ChunkError::SizeDiffers => {
                Self::new(400, code::UNSPECIFIED, "total filesize does not match")
            }
            ChunkError::Empty => Self::chunk_too_small(),
            ChunkError::BeyondEnd => Self::new(
                400,
                code::CANNOT_ALLOCATE,
                "chunksize will be bigger than total filesize from this offset",
            ),
            ChunkError::Overlaps | ChunkError::Differs => Self::new(409, code::EXISTS, text),
            ChunkError::Running => Self {
                retry_after: Some(CHUNK_RUNS),
                ..Self::new(409, code::EXISTS, text)
            },
            // 400, as all of them: Gokapi's command line takes other statuses of the last call for a success.
            ChunkError::Missing { .. } | ChunkError::Lost => {
                Self::new(400, code::UNSPECIFIED, text)
            }
            ChunkError::TooMany { .. } => Self::new(400, code::CANNOT_ALLOCATE, text),
        }
    }

    /// The same, but when a file was not found, in the words that this call has for it.
    #[must_use]
    pub fn not_found_as(mut self, text: &str) -> Self {
        if self.code == code::NOT_FOUND {
            text.clone_into(&mut self.text);
        }
        self
    }

    /// The answer.
    pub fn response(&self) -> Response {
        let mut response = wire::json(self.status, &wire::Failure::new(self.code, &self.text));
        if self.status == 401 {
            // RFC 9110 section 11.6.1 asks for a challenge; this one opens no dialog in browsers.
            response = response.with("WWW-Authenticate", "Bearer");
        }
        match self.retry_after {
            Some(seconds) => response.with("Retry-After", seconds.to_string()),
            None => response,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unauthorized => Self::new(401, code::INVALID_KEY, "Unauthorized"),
            Error::Forbidden => Self::new(401, code::NO_PERMISSION, "No permission for this file"),
            Error::NotFound => Self::new(404, code::NOT_FOUND, "File not found"),
            Error::PasswordNeeded | Error::WrongPassword => {
                Self::new(401, code::NO_PERMISSION, text)
            }
            Error::Busy(after) | Error::TooMany(after) => Self {
                retry_after: Some(after.as_secs().max(1)),
                ..Self::new(429, code::RATE_LIMITED, text)
            },
            Error::TooLarge { limit } => Self::new(
                413,
                code::TOO_LARGE,
                format!("upload limit exceeded: files may have up to {limit} bytes"),
            ),
            Error::Full { .. } | Error::DatabaseFull | Error::Quota => {
                Self::new(507, code::CANNOT_ALLOCATE, text)
            }
            Error::ReadOnly => Self::new(503, code::INTERNAL, text),
            Error::Away(_) => Self {
                retry_after: Some(AWAY),
                ..Self::new(503, code::INTERNAL, text)
            },
            Error::Invalid(_) => Self::new(400, code::INVALID_INPUT, text),
            Error::Chunk(why) => Self::of_chunk(why, text),
            Error::Input(e) if e.kind() == ErrorKind::TimedOut => {
                Self::new(408, code::UNSPECIFIED, text)
            }
            Error::Input(_) => Self::new(400, code::UNSPECIFIED, text),
            Error::Damaged | Error::Internal(_) => Self::new(500, code::INTERNAL, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Payload;
    use std::io;
    use std::time::Duration;

    #[test]
    fn every_error_has_its_status_and_code() {
        let wait = Duration::from_secs(7);
        let table = [
            (Error::Unauthorized, 401, 2),
            (Error::Forbidden, 401, 6),
            (Error::NotFound, 404, 5),
            (Error::PasswordNeeded, 401, 6),
            (Error::WrongPassword, 401, 6),
            (Error::Busy(wait), 429, 16),
            (Error::TooMany(wait), 429, 16),
            (Error::TooLarge { limit: 5 }, 413, 9),
            (Error::Full { available: 5 }, 507, 13),
            (Error::DatabaseFull, 507, 13),
            (Error::Quota, 507, 13),
            (Error::ReadOnly, 503, 8),
            (Error::Away("no such bucket".into()), 503, 8),
            (Error::Invalid("no".into()), 400, 10),
            (ChunkError::Unknown.into(), 400, 0),
            (ChunkError::SizeDiffers.into(), 400, 0),
            (ChunkError::Empty.into(), 400, 11),
            (ChunkError::BeyondEnd.into(), 400, 13),
            (ChunkError::Overlaps.into(), 409, 7),
            (ChunkError::Differs.into(), 409, 7),
            (ChunkError::Running.into(), 409, 7),
            (ChunkError::Missing { from: 1, to: 2 }.into(), 400, 0),
            (ChunkError::TooMany { most: 256 }.into(), 400, 13),
            (ChunkError::Lost.into(), 400, 0),
            (Error::Input(io::ErrorKind::TimedOut.into()), 408, 0),
            (Error::Input(io::ErrorKind::UnexpectedEof.into()), 400, 0),
            (Error::Damaged, 500, 8),
            (Error::Internal("secret cause".into()), 500, 8),
        ];
        for (error, status, code) in table {
            let name = format!("{error:?}");
            let fault = Fault::from(error);
            assert_eq!((fault.status, fault.code), (status, code), "{name}");
            let retry = match (status, &name[..]) {
                (429, _) => Some(7),
                (_, "Chunk(Running)") => Some(CHUNK_RUNS),
                (_, name) => name.starts_with("Away").then_some(AWAY),
            };
            assert_eq!(fault.retry_after, retry, "{name}");
            assert!(!fault.text.contains("secret cause"));
        }
    }

    #[test]
    fn a_failure_looks_as_gokapi_writes_it() {
        let response = Fault::from(Error::Unauthorized).response();
        assert_eq!(response.status, 401);
        let Payload::Bytes(body) = response.payload else {
            panic!("a failure is small");
        };
        assert_eq!(
            String::from_utf8_lossy(&body),
            r#"{"Result":"error","ErrorMessage":"Unauthorized","ErrorCode":2}"#
        );
        let header = |name: &str| {
            response
                .headers
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(
            header("Content-Type"),
            Some("application/json; charset=UTF-8")
        );
        assert_eq!(header("Cache-Control"), Some("no-store"));
        assert_eq!(header("WWW-Authenticate"), Some("Bearer"));
    }

    #[test]
    fn a_limit_says_when_to_come_back_and_never_at_once() {
        let response = Fault::from(Error::TooMany(Duration::from_millis(200))).response();
        assert!(response.headers.contains(&("Retry-After", "1".to_owned())));
    }

    #[test]
    fn only_a_missing_file_takes_the_words_of_the_call() {
        let words = "Invalid file ID provided.";
        assert_eq!(Fault::from(Error::NotFound).not_found_as(words).text, words);
        assert_eq!(
            Fault::from(Error::Unauthorized).not_found_as(words).text,
            "Unauthorized"
        );
    }
}
