//! Requests to the bucket. Small ones are tried again where that may help, large ones are one attempt each.

use super::answer::{Answer, Streaming, length, reader, text};
use super::counted::Counted;
use super::error::{Kind, S3Error};
use super::exchange::{Exchange, Patience};
use super::failure;
use super::health::Health;
use super::link;
use super::request::{Method, Request};
use super::settings::S3Settings;
use super::sign::UNSIGNED;
use crate::model::Clock;
use crate::pipeline::seal::keys::random;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use ureq::SendBody;
use ureq::http::StatusCode;

/// Attempts of [`Client::call`].
const ATTEMPTS: u32 = 4;
/// Longest pause before the second attempt; it doubles from there.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Longest time of all the pauses of a request.
const PAUSES: Duration = Duration::from_secs(30);
/// Largest answer to an upload, in bytes.
const SMALL: usize = 64 * 1024;
/// Bodies in a row that a server did not ask for, after which it is rarely asked whether it wants them.
const SILENT: u32 = 3;
/// One of so many bodies is asked for then: the network may have been slow, or the server another one.
const RARELY: u32 = 100;

/// A pool of connections to one bucket. Clones share it.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    exchange: Exchange,
    health: Health,
    /// Bodies in a row that were sent because the server did not answer the question for them.
    silent: AtomicU32,
}

impl Client {
    /// Makes a client. Touches no network.
    ///
    /// # Errors
    /// [`Kind::Tls`] when the CA file cannot be used, [`Kind::Refused`] when the settings make no URL.
    pub fn new(settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<Self, S3Error> {
        Self::patient(settings, clock, Patience::default())
    }

    pub(super) fn patient(
        settings: &S3Settings,
        clock: Arc<dyn Clock>,
        patience: Patience,
    ) -> Result<Self, S3Error> {
        Ok(Self(Arc::new(Inner {
            health: Health::new(Arc::clone(&clock)),
            exchange: Exchange::new(settings, clock, patience)?,
            silent: AtomicU32::new(0),
        })))
    }

    /// What it was made from.
    pub fn settings(&self) -> &S3Settings {
        &self.0.exchange.settings
    }

    /// What it tells the time by.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.exchange.clock
    }

    /// Whether the server is there.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// A small request and its answer, of at most `limit` bytes. Tried up to four times where that may help, and
    /// once while nothing else goes well either; safe for requests that may be repeated only.
    ///
    /// # Errors
    /// Whatever the last attempt failed with, also an `<Error>` in an answer of status 200.
    pub fn call(
        &self,
        request: &Request<'_>,
        body: &[u8],
        limit: usize,
    ) -> Result<Answer, S3Error> {
        self.call_resting(request, body, limit, None, |time| {
            self.rest(time);
            Ok(())
        })
    }

    /// The same, with an end `within` this time, if given; `rest` waits between the attempts.
    pub(super) fn call_resting(
        &self,
        request: &Request<'_>,
        body: &[u8],
        limit: usize,
        within: Option<Duration>,
        rest: impl Fn(Duration) -> Result<(), S3Error>,
    ) -> Result<Answer, S3Error> {
        let end = within.map(|within| self.clock().elapsed() + within);
        let left = || end.map(|end| end.saturating_sub(self.clock().elapsed()));
        // Where nothing else comes any more, one attempt shows whether that is over.
        let attempts = match self.health().problem() {
            Some(_) => 1,
            None => ATTEMPTS,
        };
        let mut paused = Duration::ZERO;
        let mut attempt = 1;
        loop {
            let outcome = self.once(request, body, limit, left());
            let Err(error) = outcome else {
                return outcome;
            };
            if !error.may_pass() || self.health().is_away() {
                return Err(error);
            }
            if !matches!(error.kind(), Kind::Skewed { .. }) {
                let pause = pause(attempt, error.retry_after(), random());
                paused += pause;
                let is_late = left().is_some_and(|left| left <= pause);
                if attempt >= attempts || paused > PAUSES || is_late {
                    return Err(error);
                }
                rest(pause)?;
            } else if attempt >= ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// One attempt of a small request, which has an end `within` this time, if given.
    pub(super) fn once(
        &self,
        request: &Request<'_>,
        body: &[u8],
        limit: usize,
        within: Option<Duration>,
    ) -> Result<Answer, S3Error> {
        let payload = HEXLOWER.encode(digest(&SHA256, body).as_ref());
        self.admitted(request, || {
            self.small(request, body, &payload, limit, within)
        })
    }

    /// Waits before the attempt after `attempts` ones that failed.
    pub(super) fn pause(&self, attempts: u32, retry_after: Option<Duration>) {
        self.rest(Self::pause_after(attempts, retry_after));
    }

    /// How long that is: some seconds at most, if the server does not ask for more.
    pub(super) fn pause_after(attempts: u32, retry_after: Option<Duration>) -> Duration {
        pause(attempts, retry_after, random())
    }

    /// Waits for so long.
    pub(super) fn rest(&self, time: Duration) {
        (self.0.exchange.patience.pause)(time);
    }

    /// One attempt to send `length` bytes from `body`. Over https the body is not signed; over http `sha256`
    /// has to be given. The server is asked first whether it wants the body, and has to take it at 8 KiB a second on
    /// the whole.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] when it takes too long, [`Kind::Body`] when `body` fails or ends early, and what the server or the way to it fails with.
    pub fn send(
        &self,
        request: &Request<'_>,
        body: &mut dyn Read,
        length: u64,
        sha256: Option<&[u8; 32]>,
    ) -> Result<Answer, S3Error> {
        let payload = match sha256 {
            Some(sum) => HEXLOWER.encode(sum),
            None if self.0.exchange.is_sealed() => UNSIGNED.to_owned(),
            None => {
                return Err(S3Error::new(
                    Kind::Refused,
                    "a body without its hash cannot be sent without TLS",
                ));
            }
        };
        self.admitted(request, || {
            let mut counted = Counted::new(body, length, &**self.clock());
            let bytes = length.to_string();
            let mut extra = vec![("content-length", bytes.as_str())];
            let asks = length > 0 && self.asks();
            if asks {
                extra.push(("expect", "100-continue"));
            }
            link::was_unheard();
            let outcome = self.0.exchange.run(
                request,
                &extra,
                &payload,
                SendBody::from_reader(&mut counted),
                self.0.exchange.patience.common(),
            );
            if asks && counted.left < length {
                self.heard(!link::was_unheard());
            }
            if outcome.is_err() && counted.late {
                let message = "the server takes the body too slowly";
                return Err(S3Error::new(Kind::TimedOut, message));
            }
            match (outcome, counted.failed.take()) {
                (Err(_), Some(source)) => {
                    let message = format!("what was to be sent cannot be read: {source}");
                    Err(S3Error::new(Kind::Body, message).with_source(source))
                }
                (outcome, _) => {
                    let response = outcome?;
                    // Expectation failed: the server wants the body without being asked.
                    if response.status() == StatusCode::EXPECTATION_FAILED {
                        self.0.silent.store(SILENT, Ordering::Relaxed);
                    }
                    let whole = self.0.exchange.patience.common().whole;
                    self.0.exchange.answer(request, response, SMALL, whole)
                }
            }
        })
    }

    /// One attempt to get. The caller reads the body; one that is cut off ends with `UnexpectedEof`.
    ///
    /// # Errors
    /// What the server or the way to it fails with.
    pub fn fetch(&self, request: &Request<'_>) -> Result<Streaming, S3Error> {
        let empty = HEXLOWER.encode(digest(&SHA256, b"").as_ref());
        self.admitted(request, || {
            let limits = self.0.exchange.patience.common();
            let response = self
                .0
                .exchange
                .run(request, &[], &empty, SendBody::none(), limits)?;
            let response = self.0.exchange.accepted(request, response)?;
            let (head, body) = response.into_parts();
            if length(&head.headers).is_none() && text(&head.headers, "transfer-encoding").is_none()
            {
                return Err(S3Error::new(
                    Kind::Broken,
                    "the answer does not say how long it is",
                ));
            }
            Ok(Streaming::new(
                head.status.as_u16(),
                head.headers,
                Box::new(reader(body)),
            ))
        })
    }

    /// An address at which anybody may get the object of that name, for `lives` from now on by the server's own
    /// clock, as far as its last answer told it. `shown`: what is to be in its query, not encoded. Asks nobody.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the clock shows no date.
    pub fn presigned(
        &self,
        key: &str,
        shown: &[(&str, &str)],
        lives: Duration,
    ) -> Result<String, S3Error> {
        self.0.exchange.presigned(key, shown, lives)
    }

    fn small(
        &self,
        request: &Request<'_>,
        body: &[u8],
        payload: &str,
        limit: usize,
        within: Option<Duration>,
    ) -> Result<Answer, S3Error> {
        let bytes = body.len().to_string();
        let with_body = matches!(request.method, Method::Put | Method::Post);
        let mut reader = body;
        let assembles = request.method == Method::Post
            && request.query.iter().any(|(name, _)| *name == "uploadId");
        let patience = &self.0.exchange.patience;
        let mut limits = match assembles {
            true => patience.assembling(),
            false => patience.common(),
        };
        let end = within.map(|within| self.clock().elapsed() + within);
        if let Some(within) = within {
            limits = limits.at_most(within);
        }
        let response = if with_body {
            let extra = [("content-length", bytes.as_str())];
            let body = SendBody::from_reader(&mut reader);
            self.0
                .exchange
                .run(request, &extra, payload, body, limits)?
        } else {
            self.0
                .exchange
                .run(request, &[], payload, SendBody::none(), limits)?
        };
        let left = end.map(|end| end.saturating_sub(self.clock().elapsed()));
        let whole = left.unwrap_or(limits.whole);
        self.0.exchange.answer(request, response, limit, whole)
    }

    /// Runs `exchange` unless the server is away, and takes down how it went.
    fn admitted<T>(
        &self,
        request: &Request<'_>,
        exchange: impl FnOnce() -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        self.health().admit()?;
        let outcome = exchange();
        let error = outcome.as_ref().err();
        self.health().note(error, failure::writes(request));
        outcome
    }

    /// Whether the server is to be asked if it wants the next body.
    fn asks(&self) -> bool {
        if self.0.silent.load(Ordering::Relaxed) < SILENT {
            return true;
        }
        // Another one may just have been answered: the number wraps then.
        let bodies = self.0.silent.fetch_add(1, Ordering::Relaxed);
        bodies.wrapping_sub(SILENT) % RARELY == RARELY - 1
    }

    /// Takes down whether the server said that it wants a body.
    fn heard(&self, answered: bool) {
        if answered {
            self.0.silent.store(0, Ordering::Relaxed);
        } else {
            self.0.silent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How long to wait after a number of attempts: full jitter (`dice` has 16 bits of it), and not less than the
/// server asks for, within reason.
fn pause(attempts: u32, retry_after: Option<Duration>, dice: [u8; 2]) -> Duration {
    let most = PAUSE * 2u32.saturating_pow(attempts - 1);
    let jitter = most * u32::from(u16::from_le_bytes(dice)) / u32::from(u16::MAX);
    jitter
        .max(retry_after.unwrap_or_default())
        .min(LONGEST_PAUSE)
}
