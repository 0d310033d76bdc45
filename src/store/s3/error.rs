//! What can go wrong between here and the bucket, sorted by what to do about it. Words of the server are bounded
//! and escaped before they get into a message.

use super::trust;
use crate::store::Reason;
use std::fmt;
use std::io;
use std::time::Duration;

/// Longest error code and message of a server that are kept, in bytes.
const CODE: usize = 64;
const MESSAGE: usize = 300;
/// The code of a request that was not sent, because the server was away a moment ago. The message tells the last
/// failure with its remedy.
pub(super) const AWAY: &str = "Away";

/// Sorts of failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No such object.
    NotFound,
    /// No such bucket.
    NoBucket,
    /// The multipart upload is not, or no longer, known.
    NoUpload,
    /// The key may not do this.
    Denied,
    /// The server does not know the access key, or the token has ended.
    BadKey,
    /// The secret does not belong to the access key.
    BadSignature,
    /// The bucket is in another region.
    WrongRegion {
        /// Which one, where the server said so.
        expected: Option<String>,
    },
    /// The clocks differ too much.
    Skewed {
        /// Seconds that the server's clock is ahead of this one. The next request counts them in.
        by: i64,
    },
    /// A condition of the request does not hold.
    Precondition,
    /// The server cannot do this.
    NotImplemented,
    /// Too much is asked of the server now.
    Busy,
    /// The server has no space left.
    Full,
    /// No trust in the server's certificate, or no common language.
    Tls,
    /// There is no way to the server, or it was away a moment ago.
    Unreachable,
    /// The server said nothing for too long.
    TimedOut,
    /// The answer was cut off, or makes no sense.
    Broken,
    /// The body that was to be sent could not be read.
    Body,
    /// The server does not want the request as it is.
    Refused,
    /// The server has a fault of its own.
    Server,
}

/// A request that failed.
#[derive(Debug)]
pub struct S3Error {
    pub(super) kind: Kind,
    pub(super) status: Option<u16>,
    pub(super) code: String,
    pub(super) message: String,
    /// What anybody may know instead of the message, where that is not the server's.
    public: Option<Box<str>>,
    pub(super) retry_after: Option<Duration>,
    pub(super) source: Option<io::Error>,
}

impl S3Error {
    /// An error of this end.
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            status: None,
            code: String::new(),
            message: bounded(message.as_ref(), MESSAGE),
            public: None,
            retry_after: None,
            source: None,
        }
    }

    /// The sort.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The server's word for it, such as `NoSuchKey`; empty when it gave none.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same request may go well later.
    pub fn may_pass(&self) -> bool {
        matches!(
            self.kind,
            Kind::Skewed { .. }
                | Kind::Busy
                | Kind::Unreachable
                | Kind::TimedOut
                | Kind::Broken
                | Kind::Server
        )
    }

    pub(super) fn with_source(mut self, source: io::Error) -> Self {
        self.source = Some(source);
        self
    }

    pub(super) fn answered(mut self, status: u16, code: &str) -> Self {
        self.status = Some(status);
        self.code = bounded(code, CODE);
        self
    }

    /// A failure of this end that has a code of its own.
    pub(super) fn coded(mut self, code: &str) -> Self {
        code.clone_into(&mut self.code);
        self
    }

    /// With another message for everybody.
    pub(super) fn with_public(mut self, public: String) -> Self {
        self.public = Some(public.into());
        self
    }

    pub(super) fn with_retry_after(mut self, time: Option<Duration>) -> Self {
        self.retry_after = time;
        self
    }

    /// Whether the key was right, but is temporary and over.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.code.as_str(), "ExpiredToken" | "TokenRefreshRequired")
    }

    /// Whether the key is temporary, and its token is missing or another one. MinIO says it with a code of its own.
    pub(super) fn wants_token(&self) -> bool {
        matches!(self.code.as_str(), "InvalidToken" | "InvalidTokenId")
    }

    /// What happened and what to do about it, in one line: with the words of the server, and without.
    pub fn reason(&self) -> Reason {
        let remedy = self.remedy();
        let with_remedy = |text: String| match text.contains(&remedy) {
            // While the server is away, the error tells of an earlier one, with its remedy.
            true => text,
            false => format!("{text}. {remedy}"),
        };
        let public = match (&self.public, self.status) {
            (Some(public), _) => public.to_string(),
            (None, None) => self.message.clone(),
            (None, Some(status)) => format!("{} (status {status})", self.sentence()),
        };
        Reason::new(with_remedy(self.to_string()), with_remedy(public))
    }

    /// What the server's answer comes to, in our words.
    fn sentence(&self) -> &'static str {
        match &self.kind {
            Kind::NotFound => "the object is not there",
            Kind::NoBucket => "the bucket is not there",
            Kind::NoUpload => "the server does not know the upload any more",
            Kind::Denied => "the server denies it",
            Kind::BadKey => "the server does not take the access key",
            Kind::BadSignature => "the server does not take the signature",
            Kind::WrongRegion { .. } => "the bucket is in another region",
            Kind::Skewed { .. } => "the clocks of both machines differ too much",
            Kind::Precondition => "the object is another one",
            Kind::NotImplemented => "the server cannot do this",
            Kind::Busy => "the server is too busy",
            Kind::Full => "the server has no space left",
            Kind::Tls | Kind::Unreachable => "the server cannot be reached",
            Kind::TimedOut => "the server did not answer in time",
            Kind::Broken => "the server's answer makes no sense",
            Kind::Body => "what was to be sent could not be read",
            Kind::Refused => "the server refused",
            Kind::Server => "the server has a fault of its own",
        }
    }

    /// What to do about it, in one sentence.
    pub fn remedy(&self) -> String {
        match &self.kind {
            Kind::NotFound => "The object is not in the bucket; if nobody deleted it by hand, look whether bucket and prefix are the right ones.".to_owned(),
            Kind::NoBucket => "Create the bucket, or correct bucket, endpoint and path_style in [s3].".to_owned(),
            Kind::NoUpload => "The upload was ended by somebody else; look whether a lifecycle rule of the bucket aborts uploads too early.".to_owned(),
            Kind::Denied => "Give the access key the rights to list the bucket and to read, write and delete its objects, and to abort multipart uploads.".to_owned(),
            Kind::BadKey if self.has_ended() => "Write a new session token with its key into the files of [s3], and restart the server: temporary keys end.".to_owned(),
            Kind::BadKey if self.wants_token() => "Write the session token of the access key into the file that token_file in [s3] names, and restart the server.".to_owned(),
            Kind::BadKey => "Correct the access key id of [s3]; it may have been deleted, or belong to another endpoint.".to_owned(),
            Kind::BadSignature => "Correct the secret of [s3]; it does not belong to the access key id (look for a missing character or a line break).".to_owned(),
            Kind::WrongRegion { expected: Some(region) } => format!("Set region = \"{region}\" in [s3], with the endpoint of that region."),
            Kind::WrongRegion { expected: None } => "Set region in [s3] to the region of the bucket, with the endpoint of that region.".to_owned(),
            Kind::Skewed { by } => format!("Set this machine's clock ({}); an NTP service does it for good.", if *by > 0 { "it is behind" } else { "it is ahead" }),
            Kind::Precondition => "The object is there already, or has changed; nothing was overwritten.".to_owned(),
            Kind::NotImplemented => "The server lacks a function of the S3 protocol; update it, or use another one.".to_owned(),
            Kind::Busy => "Wait; the server asks for fewer requests. If that lasts, lower concurrency in [s3].".to_owned(),
            Kind::Full => "Make space on the server, or raise the quota of the bucket.".to_owned(),
            Kind::Tls => trust::remedy(&self.code).to_owned(),
            Kind::Unreachable if self.code == AWAY => "It is asked again every few seconds.".to_owned(),
            Kind::Unreachable => "Look whether the server runs and the endpoint of [s3] is right, and whether name resolution, network and firewall let it through.".to_owned(),
            Kind::TimedOut => "Look whether the server and the network are overloaded; it is tried again.".to_owned(),
            Kind::Broken => "Look whether the endpoint of [s3] is an S3 server, and what is between here and there; it is tried again.".to_owned(),
            Kind::Body => "Look at the disk that holds the data directory.".to_owned(),
            Kind::Refused => "Look at endpoint, region, bucket and path_style in [s3] and at the server's log.".to_owned(),
            Kind::Server => "Look at the server's own log and status page; it is tried again.".to_owned(),
        }
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.status, self.code.as_str()) {
            (None, _) => Ok(()),
            (Some(status), "") => write!(f, " (status {status})"),
            (Some(status), code) => write!(f, " (status {status}, {code})"),
        }
    }
}

impl std::error::Error for S3Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

impl From<S3Error> for io::Error {
    fn from(error: S3Error) -> Self {
        let kind = match error.kind {
            Kind::NotFound | Kind::NoBucket | Kind::NoUpload => io::ErrorKind::NotFound,
            Kind::Denied | Kind::BadKey | Kind::BadSignature => io::ErrorKind::PermissionDenied,
            Kind::TimedOut => io::ErrorKind::TimedOut,
            Kind::Unreachable => io::ErrorKind::NotConnected,
            Kind::Broken => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Text of a server as it may be shown: one line, without control characters, at most `limit` bytes.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        let escaped: String = if character.is_control() || is_formatting(character) {
            character.escape_unicode().collect()
        } else {
            character.to_string()
        };
        if shown.len() + escaped.len() > limit {
            shown.push_str("...");
            break;
        }
        shown.push_str(&escaped);
    }
    shown
}

/// Characters that turn the direction of text, or that nobody sees.
fn is_formatting(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}
