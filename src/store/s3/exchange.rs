//! One request and its answer: signed, sent, and sorted by how it went.

use super::answer::{Answer, length, reader, text};
use super::error::{Kind, S3Error};
use super::link::Links;
use super::names::Names;
use super::place::place;
use super::request::{Method, Request};
use super::settings::S3Settings;
use super::sign::{self, Signable, Signer};
use super::{failure, tls, xml};
use crate::model::Clock;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use ureq::http::{self, HeaderMap, HeaderValue, Response, StatusCode};
use ureq::{Agent, Body, SendBody};

/// Largest head of an answer, in bytes.
const HEAD: usize = 16 * 1024;
/// Largest error document, in bytes.
const ERROR: usize = 64 * 1024;
/// Buffers of a connection, each way, in bytes.
const BUFFER: usize = 32 * 1024;
/// How long a connection without a request is kept. Servers close them after 20 to 75 seconds.
const IDLE: Duration = Duration::from_secs(30);
/// Clocks that differ by less are not what is wrong, in seconds.
const SKEW: i64 = 240;

/// How long to wait, and how.
pub(super) struct Patience {
    /// To find the server, and to reach it.
    pub(super) connect: Duration,
    /// Longest silence in a transfer. The head of an answer takes at most twice as long.
    pub(super) stall: Duration,
    /// Longest silence while the server puts an object together. The whole answer takes at most twice as long,
    /// with all the blanks that a server may send meanwhile.
    pub(super) assembly: Duration,
    /// How long a server may take to say whether it wants a body. It is sent after that.
    pub(super) asked: Duration,
    /// Waits before the next attempt.
    pub(super) pause: Box<dyn Fn(Duration) + Send + Sync>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            assembly: Duration::from_secs(600),
            asked: Duration::from_secs(3),
            pause: Box::new(std::thread::sleep),
        }
    }
}

impl Patience {
    /// For most requests.
    pub(super) fn common(&self) -> Limits {
        Limits {
            silence: self.stall,
            whole: self.stall * 2,
        }
    }

    /// For one that has an object put together.
    pub(super) fn assembling(&self) -> Limits {
        Limits {
            silence: self.assembly,
            whole: self.assembly * 2,
        }
    }
}

/// How long an answer may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Longest silence.
    pub(super) silence: Duration,
    /// Until its head is there, and then until its end.
    pub(super) whole: Duration,
}

impl Limits {
    pub(super) fn at_most(self, time: Duration) -> Self {
        Self {
            silence: self.silence.min(time),
            whole: self.whole.min(time),
        }
    }
}

/// The way to one bucket.
pub(super) struct Exchange {
    pub(super) settings: S3Settings,
    /// Scheme and host of the bucket.
    scheme: &'static str,
    host: String,
    /// What the paths start with.
    base: String,
    agent: Agent,
    names: Names,
    signer: Signer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) patience: Patience,
    /// Seconds that the server's clock is ahead, as far as requests have to know.
    skew: AtomicI64,
    /// The same, by the last answer: for an address that lives for a minute, a minute is much.
    ahead: AtomicI64,
}

impl Exchange {
    pub(super) fn new(
        settings: &S3Settings,
        clock: Arc<dyn Clock>,
        patience: Patience,
    ) -> Result<Self, S3Error> {
        let (scheme, host, base) = place(settings)?;
        let names = Names::new(Arc::clone(&clock));
        // Uploads, downloads and a small request have one each.
        let connections = settings.concurrency * 2 + 1;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_per_read(Some(patience.stall))
            .timeout_per_write(Some(patience.stall))
            .timeout_await_100(Some(patience.asked))
            .max_response_header_size(HEAD)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .max_idle_age(IDLE)
            .user_agent(concat!("mayfly/", env!("CARGO_PKG_VERSION")))
            .build();
        let links = Links::new(tls::config(settings.ca_file.as_deref())?);
        Ok(Self {
            settings: settings.clone(),
            scheme,
            host,
            base,
            agent: Agent::with_parts(config, links, names.clone()),
            names,
            signer: Signer::new(settings),
            clock,
            patience,
            skew: AtomicI64::new(0),
            ahead: AtomicI64::new(0),
        })
    }

    /// Whether nobody between here and there can read along.
    pub(super) fn is_sealed(&self) -> bool {
        self.scheme == "https"
    }

    /// An address at which anybody may get an object, for `lives`, with `shown` in its query.
    pub(super) fn presigned(
        &self,
        key: &str,
        shown: &[(&str, &str)],
        lives: Duration,
    ) -> Result<String, S3Error> {
        let seconds = self.clock.now().plus(self.ahead.load(Ordering::Relaxed)).0;
        let path = self.path(key);
        let query = self
            .signer
            .presigned(&self.host, &path, shown, seconds, lives.as_secs())?;
        Ok(format!("{}://{}{path}?{query}", self.scheme, self.host))
    }

    /// The path of an object, or of the bucket, as it is sent.
    fn path(&self, key: &str) -> String {
        if key.is_empty() && !self.base.is_empty() {
            return sign::path(&self.base);
        }
        sign::path(&format!("{}/{key}", self.base))
    }

    /// Signs and sends a request, and waits for the head of the answer.
    pub(super) fn run(
        &self,
        request: &Request<'_>,
        extra: &[(&str, &str)],
        payload: &str,
        body: SendBody<'_>,
        limits: Limits,
    ) -> Result<Response<Body>, S3Error> {
        let seconds = self.clock.now().plus(self.skew.load(Ordering::Relaxed)).0;
        let stamp = sign::stamp(seconds)?;
        let path = self.path(request.key);
        let query = sign::query(request.query);
        let mut headers = vec![
            ("host", self.host.as_str()),
            ("x-amz-content-sha256", payload),
            ("x-amz-date", stamp.as_str()),
        ];
        if let Some(token) = &self.settings.credentials.token {
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
        let authorization = self.signer.authorization(
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
                self.scheme, self.host
            ));
        for (name, value) in headers.into_iter().chain(unsigned) {
            built = built.header(name, value);
        }
        let unwritable = |e: http::Error| failure::of_transport(e.into());
        let mut authorization =
            HeaderValue::from_str(&authorization).map_err(|e| unwritable(e.into()))?;
        authorization.set_sensitive(true);
        let built = built
            .header("authorization", authorization)
            .body(body)
            .map_err(unwritable)?;
        let built = self
            .agent
            .configure_request(built)
            .timeout_per_read(Some(limits.silence))
            .timeout_recv_response(Some(limits.whole))
            .build();
        let response = self.agent.run(built).map_err(|e| {
            let error = failure::of_transport(e);
            if matches!(error.kind(), Kind::Unreachable | Kind::TimedOut) {
                self.names.doubt();
            }
            error
        })?;
        if let Some(theirs) = text(response.headers(), "date").and_then(failure::date) {
            let ahead = theirs.saturating_sub(self.clock.now().0);
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// The whole of an answer, of at most `limit` bytes. It may take `time` to come.
    pub(super) fn answer(
        &self,
        request: &Request<'_>,
        response: Response<Body>,
        limit: usize,
        time: Duration,
    ) -> Result<Answer, S3Error> {
        let response = self.accepted(request, response)?;
        let (head, body) = response.into_parts();
        let bytes = match request.method {
            Method::Head => Vec::new(),
            _ => self.whole(body, limit, time)?,
        };
        // Stored bytes may look like anything.
        let is_stored = request.method == Method::Get && !request.key.is_empty();
        if let Some(document) = xml::error_in(&bytes).filter(|_| !is_stored) {
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
    pub(super) fn accepted(
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
            // Where the document is missing, the status still says enough.
            _ => self
                .whole(body, ERROR, self.patience.common().whole)
                .unwrap_or_default(),
        };
        let document = xml::error_in(&bytes).unwrap_or_default();
        Err(self.refusal(request, head.status, &head.headers, document))
    }

    /// All of a body of at most `limit` bytes, which may not come drop by drop for ever.
    fn whole(&self, body: Body, limit: usize, time: Duration) -> Result<Vec<u8>, S3Error> {
        let mut body = reader(body);
        let end = self.clock.elapsed() + time;
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let read = body.read(&mut piece).map_err(failure::of_body)?;
            if read == 0 {
                return Ok(bytes);
            }
            if bytes.len() + read > limit {
                let message = "the answer is longer than any that was expected";
                return Err(S3Error::new(Kind::Broken, message));
            }
            if self.clock.elapsed() > end {
                return Err(S3Error::new(Kind::TimedOut, "the answer takes too long"));
            }
            bytes.extend_from_slice(&piece[..read]);
        }
    }

    fn refusal(
        &self,
        request: &Request<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        document: xml::ErrorDocument,
    ) -> S3Error {
        let status = status.as_u16();
        let region = text(headers, "x-amz-bucket-region")
            .map(str::to_owned)
            .or(document.region.clone())
            .filter(|region| is_region(region));
        let kind = self
            .skewed(status, &document.code, headers)
            .unwrap_or_else(|| failure::of_answer(request, status, &document, region));
        let elsewhere = text(headers, "location").filter(|_| kind == Kind::Refused);
        let message = match (document.message.as_str(), elsewhere) {
            ("", Some(place)) => format!(
                "the server sends requests on to {}: if that is it, write its https:// or http://, host and port as endpoint",
                place.split('?').next().unwrap_or_default()
            ),
            ("", None) => "the server refused".to_owned(),
            (said, _) => format!("the server says: {said}"),
        };
        let retry_after = failure::retry_after(headers, self.clock.now().0);
        S3Error::new(kind, message)
            .answered(status, &document.code)
            .with_retry_after(retry_after)
    }

    /// Learns how far the server's clock is away, when that is why it refused.
    fn skewed(&self, status: u16, code: &str, headers: &HeaderMap) -> Option<Kind> {
        if !matches!(status, 400 | 403) {
            return None;
        }
        let theirs = text(headers, "date").and_then(failure::date)?;
        let by = theirs.saturating_sub(self.clock.now().0);
        let known = self.skew.load(Ordering::Relaxed);
        if code != "RequestTimeTooSkewed" && by.saturating_sub(known).abs() < SKEW {
            return None;
        }
        self.skew.store(by, Ordering::Relaxed);
        Some(Kind::Skewed { by })
    }
}

/// Whether that can be the name of a region, and be shown.
fn is_region(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}
