//! Requests to the bucket. Small ones are tried again where that may help, large ones are one attempt each.

use super::answer::{Answer, Streaming, length, text, whole};
use super::error::{Kind, S3Error};
use super::health::Health;
use super::settings::S3Settings;
use super::sign::{self, Signable, Signer, UNSIGNED};
use super::{tls, xml};
use crate::model::Clock;
use crate::pipeline::seal::keys::random;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use ureq::http::{self, HeaderValue, Response, StatusCode};
use ureq::{Agent, Body, SendBody, Timeout};

/// Attempts of [`Client::call`].
const ATTEMPTS: u32 = 4;
/// Longest pause before the second attempt; it doubles from there.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Time to find and reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence in a transfer.
const STALL: Duration = Duration::from_secs(60);
/// Longest silence while the server puts an object together.
const ASSEMBLY: Duration = Duration::from_secs(600);
/// How long a server may take to say whether it wants a body. One that does not know the question is sent the body
/// after that.
const CONTINUE: Duration = Duration::from_secs(5);
/// Largest head of an answer, in bytes.
const HEAD: usize = 32 * 1024;
/// Largest error document, in bytes.
const ERROR: usize = 64 * 1024;
/// Buffers of a connection, each way, in bytes.
const BUFFER: usize = 32 * 1024;
/// Clocks that differ by less are not what is wrong, in seconds.
const SKEW: i64 = 240;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named after the methods that they stand for")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The object's name with its prefix; empty for the bucket itself.
    pub key: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// More headers, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A pool of connections to one bucket. Clones share it.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: S3Settings,
    /// Scheme and host of the bucket.
    scheme: &'static str,
    host: String,
    /// What the paths start with.
    base: String,
    agent: Agent,
    signer: Signer,
    health: Health,
    clock: Arc<dyn Clock>,
    /// Seconds that the server's clock is ahead.
    skew: AtomicI64,
}

impl Client {
    /// Makes a client. Touches no network.
    ///
    /// # Errors
    /// [`Kind::Tls`] when the CA file cannot be used, [`Kind::Refused`] when the endpoint is no URL.
    pub fn new(settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<Self, S3Error> {
        let (scheme, host) = if let Some(host) = settings.endpoint.strip_prefix("https://") {
            ("https", host)
        } else if let Some(host) = settings.endpoint.strip_prefix("http://") {
            ("http", host)
        } else {
            return Err(S3Error::new(
                Kind::Refused,
                "the endpoint does not start with https://",
            ));
        };
        let (host, base) = if settings.path_style {
            (host.to_owned(), format!("/{}", settings.bucket))
        } else {
            (format!("{}.{host}", settings.bucket), String::new())
        };
        host.parse::<http::uri::Authority>()
            .map_err(|_| S3Error::new(Kind::Refused, "the endpoint is not a host"))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .timeout_await_100(Some(CONTINUE))
            .max_response_header_size(HEAD)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(settings.concurrency)
            .max_idle_connections_per_host(settings.concurrency)
            .user_agent(concat!("mayfly/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls::config(settings.ca_file.as_deref())?)
            .build();
        Ok(Self(Arc::new(Inner {
            settings: settings.clone(),
            scheme,
            host,
            base,
            agent: Agent::new_with_config(config),
            signer: Signer::new(settings),
            health: Health::new(Arc::clone(&clock)),
            clock,
            skew: AtomicI64::new(0),
        })))
    }

    /// What it was made from.
    pub fn settings(&self) -> &S3Settings {
        &self.0.settings
    }

    /// Whether the server is there.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// A small request and its answer, of at most `limit` bytes. Tried up to four times where that may help; safe
    /// for requests that may be repeated only.
    ///
    /// # Errors
    /// Whatever the last attempt failed with, also an `<Error>` in an answer of status 200.
    pub fn call(
        &self,
        request: &Request<'_>,
        body: &[u8],
        limit: usize,
    ) -> Result<Answer, S3Error> {
        let payload = HEXLOWER.encode(digest(&SHA256, body).as_ref());
        let mut attempt = 1;
        loop {
            let outcome = self.admitted(|| self.small(request, body, &payload, limit));
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if attempt >= ATTEMPTS || !error.may_pass() {
                return Err(error);
            }
            if self.health().admit().is_err() {
                return Err(error);
            }
            if !matches!(error.kind(), Kind::Skewed { .. }) {
                std::thread::sleep(pause(attempt, error.retry_after()));
            }
            attempt += 1;
        }
    }

    /// One attempt to send `length` bytes from `body`. Over https the body is not signed; over http `sha256`
    /// has to be given. The server is asked first whether it wants the body.
    ///
    /// # Errors
    /// [`Kind::Body`] when `body` fails or ends early, and what the server or the way to it fails with.
    pub fn send(
        &self,
        request: &Request<'_>,
        body: &mut dyn Read,
        length: u64,
        sha256: Option<&[u8; 32]>,
    ) -> Result<Answer, S3Error> {
        let payload = match sha256 {
            Some(sum) => HEXLOWER.encode(sum),
            None if self.0.scheme == "https" => UNSIGNED.to_owned(),
            None => {
                return Err(S3Error::new(
                    Kind::Refused,
                    "a body without its hash cannot be sent without TLS",
                ));
            }
        };
        self.admitted(|| {
            let mut counted = Counted {
                inner: body,
                left: length,
                failed: None,
            };
            let bytes = length.to_string();
            let mut extra = vec![("content-length", bytes.as_str())];
            if length > 0 {
                extra.push(("expect", "100-continue"));
            }
            let outcome = self.exchange(
                request,
                &extra,
                &payload,
                SendBody::from_reader(&mut counted),
                STALL,
            );
            match (outcome, counted.failed.take()) {
                (Err(_), Some(source)) => Err(S3Error::new(
                    Kind::Body,
                    format!("what was to be sent cannot be read: {source}"),
                )
                .with_source(source)),
                (outcome, _) => self.answer(request, outcome?, ERROR),
            }
        })
    }

    /// One attempt to get. The caller reads the body; one that is cut off ends with `UnexpectedEof`.
    ///
    /// # Errors
    /// What the server or the way to it fails with.
    pub fn fetch(&self, request: &Request<'_>) -> Result<Streaming, S3Error> {
        let empty = HEXLOWER.encode(digest(&SHA256, b"").as_ref());
        self.admitted(|| {
            let response = self.exchange(request, &[], &empty, SendBody::none(), STALL)?;
            let response = self.accepted(request, response)?;
            let (head, body) = response.into_parts();
            if length(&head.headers).is_none() && text(&head.headers, "transfer-encoding").is_none()
            {
                return Err(S3Error::new(
                    Kind::Broken,
                    "the answer does not say how long it is",
                ));
            }
            let body = body.into_with_config().limit(u64::MAX).reader();
            Ok(Streaming::new(
                head.status.as_u16(),
                head.headers,
                Box::new(body),
            ))
        })
    }

    fn small(
        &self,
        request: &Request<'_>,
        body: &[u8],
        payload: &str,
        limit: usize,
    ) -> Result<Answer, S3Error> {
        let bytes = body.len().to_string();
        let with_body = matches!(request.method, Method::Put | Method::Post);
        let mut reader = body;
        let assembles = request.method == Method::Post
            && request.query.iter().any(|(name, _)| *name == "uploadId");
        let patience = if assembles { ASSEMBLY } else { STALL };
        let response = if with_body {
            let extra = [("content-length", bytes.as_str())];
            let body = SendBody::from_reader(&mut reader);
            self.exchange(request, &extra, payload, body, patience)?
        } else {
            self.exchange(request, &[], payload, SendBody::none(), patience)?
        };
        self.answer(request, response, limit)
    }

    /// Runs `exchange` unless the server is away, and takes down how it went.
    fn admitted<T>(&self, exchange: impl FnOnce() -> Result<T, S3Error>) -> Result<T, S3Error> {
        self.health().admit()?;
        let outcome = exchange();
        self.health().note(outcome.as_ref().err());
        outcome
    }

    /// Signs and sends a request, and waits for the head of the answer.
    fn exchange(
        &self,
        request: &Request<'_>,
        extra: &[(&str, &str)],
        payload: &str,
        body: SendBody<'_>,
        patience: Duration,
    ) -> Result<Response<Body>, S3Error> {
        let inner = &*self.0;
        let seconds = inner.clock.now().plus(inner.skew.load(Ordering::Relaxed)).0;
        let stamp = sign::stamp(seconds)?;
        let path = if request.key.is_empty() && !inner.base.is_empty() {
            sign::path(&inner.base)
        } else {
            sign::path(&format!("{}/{}", inner.base, request.key))
        };
        let query = sign::query(request.query);
        let mut headers = vec![
            ("host", inner.host.as_str()),
            ("x-amz-content-sha256", payload),
            ("x-amz-date", stamp.as_str()),
        ];
        if let Some(token) = &inner.settings.credentials.token {
            headers.push(("x-amz-security-token", token.as_str()));
        }
        let mut unsigned = extra.to_vec();
        for header in request.headers {
            if header.0.starts_with("x-amz-") {
                headers.push(*header);
            } else {
                unsigned.push(*header);
            }
        }
        let authorization = inner.signer.authorization(
            &Signable {
                method: request.method.name(),
                path: &path,
                query: &query,
                headers: &headers,
                payload,
            },
            seconds,
        )?;
        let mark = if query.is_empty() { "" } else { "?" };
        let mut built = http::Request::builder()
            .method(request.method.name())
            .uri(format!(
                "{}://{}{path}{mark}{query}",
                inner.scheme, inner.host
            ));
        for (name, value) in headers.into_iter().chain(unsigned) {
            built = built.header(name, value);
        }
        let mut authorization = HeaderValue::from_str(&authorization)
            .map_err(|e| failed(http::Error::from(e).into()))?;
        authorization.set_sensitive(true);
        let built = built
            .header("authorization", authorization)
            .body(body)
            .map_err(|e| failed(e.into()))?;
        let built = inner
            .agent
            .configure_request(built)
            .timeout_per_read(Some(patience))
            .timeout_recv_response(Some(patience * 2))
            .build();
        inner.agent.run(built).map_err(failed)
    }

    /// The whole of an answer.
    fn answer(
        &self,
        request: &Request<'_>,
        response: Response<Body>,
        limit: usize,
    ) -> Result<Answer, S3Error> {
        let response = self.accepted(request, response)?;
        let (head, body) = response.into_parts();
        let bytes = match request.method {
            Method::Head => Vec::new(),
            _ => whole(body.into_with_config().limit(u64::MAX).reader(), limit)?,
        };
        if let Some(document) = xml::error_in(&bytes) {
            return Err(self.refusal(request, head.status, &head.headers, document));
        }
        Ok(Answer {
            status: head.status.as_u16(),
            etag: text(&head.headers, "etag").map(str::to_owned),
            length: length(&head.headers),
            headers: head.headers,
            body: bytes,
        })
    }

    /// The answer, if its status says that all is well.
    fn accepted(
        &self,
        request: &Request<'_>,
        response: Response<Body>,
    ) -> Result<Response<Body>, S3Error> {
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let bytes = match request.method {
            Method::Head => Vec::new(),
            // Without its document the status still says enough.
            _ => whole(body.into_with_config().limit(u64::MAX).reader(), ERROR).unwrap_or_default(),
        };
        let document = xml::error_in(&bytes).unwrap_or_default();
        Err(self.refusal(request, head.status, &head.headers, document))
    }

    fn refusal(
        &self,
        request: &Request<'_>,
        status: StatusCode,
        headers: &http::HeaderMap,
        document: xml::ErrorDocument,
    ) -> S3Error {
        let status = status.as_u16();
        let region = text(headers, "x-amz-bucket-region")
            .map(str::to_owned)
            .or(document.region);
        let kind = self
            .skewed(status, &document.code, headers)
            .unwrap_or_else(|| kind_of(request, status, &document.code, region));
        let message = if document.message.is_empty() {
            "the server refused".to_owned()
        } else {
            format!("the server says: {}", document.message)
        };
        let retry_after = text(headers, "retry-after")
            .and_then(|value| value.trim().parse().ok())
            .map(Duration::from_secs);
        S3Error::new(kind, message)
            .answered(status, &document.code)
            .with_retry_after(retry_after)
    }

    /// Learns how far the server's clock is away, when that is why it refused.
    fn skewed(&self, status: u16, code: &str, headers: &http::HeaderMap) -> Option<Kind> {
        if !matches!(status, 400 | 403) {
            return None;
        }
        let theirs = text(headers, "date").and_then(date)?;
        let by = theirs.saturating_sub(self.0.clock.now().0);
        let known = self.0.skew.load(Ordering::Relaxed);
        if code != "RequestTimeTooSkewed" && (by - known).abs() < SKEW {
            return None;
        }
        self.0.skew.store(by, Ordering::Relaxed);
        Some(Kind::Skewed { by })
    }
}

/// What a refusal means.
fn kind_of(request: &Request<'_>, status: u16, code: &str, region: Option<String>) -> Kind {
    match (status, code) {
        (_, "NoSuchKey") => Kind::NotFound,
        (_, "NoSuchBucket") => Kind::NoBucket,
        (_, "NoSuchUpload") => Kind::NoUpload,
        (_, "AccessDenied" | "AllAccessDisabled" | "AccountProblem") => Kind::Denied,
        (_, "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken") => Kind::BadKey,
        (_, "SignatureDoesNotMatch") => Kind::BadSignature,
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect")
        | (301 | 302 | 307 | 308, _) => Kind::WrongRegion { expected: region },
        (_, "PreconditionFailed") | (412, _) => Kind::Precondition,
        (_, "NotImplemented") | (405 | 501, _) => Kind::NotImplemented,
        (_, "SlowDown" | "ServiceUnavailable" | "RequestTimeout" | "OperationAborted")
        | (408 | 429 | 503, _) => Kind::Busy,
        (404, _) if request.key.is_empty() => Kind::NoBucket,
        (404, _) => Kind::NotFound,
        (401 | 403, _) => Kind::Denied,
        (500.., _) | (_, "InternalError") => Kind::Server,
        _ => Kind::Refused,
    }
}

/// Sorts what the transport says.
pub(super) fn failed(error: ureq::Error) -> S3Error {
    let kind = match &error {
        ureq::Error::Io(e) => match e.kind() {
            _ if e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => Kind::Tls,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Kind::TimedOut,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Kind::Broken,
            _ => Kind::Unreachable,
        },
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => Kind::Unreachable,
        ureq::Error::Timeout(_) => Kind::TimedOut,
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Kind::Unreachable,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Kind::Tls,
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => Kind::Refused,
        _ => Kind::Broken,
    };
    S3Error::new(kind, error.to_string()).with_source(error.into_io())
}

/// How long to wait after a number of attempts: full jitter, and not less than the server asks for.
fn pause(attempts: u32, retry_after: Option<Duration>) -> Duration {
    let most = PAUSE * 2u32.saturating_pow(attempts);
    let share = u32::from_le_bytes(random()) % 1024;
    (most * share / 1024)
        .max(retry_after.unwrap_or_default())
        .min(LONGEST_PAUSE)
}

/// Seconds since 1970 of an HTTP date: RFC 9110, section 5.6.7, the form that is not obsolete.
pub(super) fn date(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|name| *name == month)?;
    let month = time::Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|n| n.parse::<u8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    Some(
        date.with_hms(hour, minute, second)
            .ok()?
            .assume_utc()
            .unix_timestamp(),
    )
}

/// Exactly so many bytes of a body; remembers what it failed with.
struct Counted<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    failed: Option<io::Error>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let outcome = match self.inner.read(&mut buffer[..most]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            outcome => outcome,
        };
        match outcome {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let kind = e.kind();
                self.failed = Some(e);
                Err(kind.into())
            }
        }
    }
}
