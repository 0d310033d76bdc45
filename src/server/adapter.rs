//! From tiny_http to a handler and back.
//!
//! tiny_http hands over a request that says nothing but which exchange it belongs to. Small work
//! whose body is already here is done at once, and its answer goes back through tiny_http. All
//! else goes to another set of workers together with the exchange, and tiny_http gets an empty
//! answer that the gate throws away: nobody waits inside tiny_http for a client.

use super::workers::{Passwords, Threads};
use crate::gate::{EXCHANGE_FIELD, Exchange, Framed, SMALL, Table, fields, is_bodyless};
use crate::http::{Handler, Method, Payload, Request, Response, Room};
use crate::logging::event;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The largest body of a request that a worker other than a transfer reads, in bytes.
const SMALL_BODY: usize = 16 * 1024;

/// What the control workers share.
pub(super) struct Adapter {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) table: Arc<Table>,
    pub(super) threads: Arc<Sets>,
    pub(super) passwords: Arc<Passwords>,
}

/// The sets of threads that are started on demand, apart so that none can starve another.
pub(super) struct Sets {
    pub(super) changes: Threads,
    pub(super) uploads: Threads,
    pub(super) downloads: Threads,
    /// Wait for small bodies, from anybody and as slow as the limits allow.
    pub(super) forms: Threads,
}

impl Adapter {
    /// Serves one request of tiny_http.
    pub(super) fn serve(&self, request: tiny_http::Request) {
        let name = request
            .headers()
            .iter()
            .find(|h| h.field.equiv(EXCHANGE_FIELD))
            .map(|h| h.value.as_str());
        let Some(exchange) = name.and_then(|name| self.table.take(name)) else {
            return respond(request, 400, &[], Vec::new());
        };
        match self.route(exchange) {
            None => respond(request, 202, &[], Vec::new()),
            Some((exchange, response)) => relay(request, exchange, response),
        }
    }

    /// Brings an exchange to its workers. Comes back with an answer that is small and ready, or
    /// not at all: then someone else answers.
    fn route(&self, mut exchange: Exchange) -> Option<(Exchange, Response)> {
        let Ok(room) = catch_unwind(AssertUnwindSafe(|| self.handler.room(&exchange.head))) else {
            log::error!("a handler panicked");
            return Some((exchange, refusal(500, "something went wrong here")));
        };
        let handler = Arc::clone(&self.handler);
        let downloads = self.threads.downloads.clone();
        let threads = match room {
            Room::Change => &self.threads.changes,
            Room::Upload => &self.threads.uploads,
            Room::Download => &self.threads.downloads,
            Room::Control | Room::Password => &self.threads.forms,
        };
        let is_small = matches!(room, Room::Control | Room::Password);
        let is_here = is_small && exchange.body.is_here(SMALL_BODY);
        let refused = match room {
            Room::Control if is_here => {
                let response = handle(&*self.handler, &mut exchange);
                if is_small_answer(&exchange, &response) {
                    return Some((exchange, response));
                }
                match hand_on(exchange, response, &downloads) {
                    None => Ok(()),
                    Some(exchange) => Err((exchange, BUSY)),
                }
            }
            Room::Password if is_here => self
                .passwords
                .queue(exchange, move |exchange| {
                    answer_promptly(&*handler, exchange, &downloads)
                })
                .map_err(|exchange| (exchange, TOO_MANY)),
            Room::Password => {
                let passwords = Arc::clone(&self.passwords);
                threads
                    .start(exchange, move |exchange| {
                        wait_and_queue(exchange, &passwords, handler, downloads);
                    })
                    .map_err(|exchange| (exchange, BUSY))
            }
            Room::Change => threads
                .start(exchange, move |exchange| {
                    answer_promptly(&*handler, exchange, &downloads)
                })
                .map_err(|exchange| (exchange, BUSY)),
            Room::Control | Room::Upload | Room::Download => threads
                .start(exchange, move |exchange| answer(&*handler, exchange))
                .map_err(|exchange| (exchange, BUSY)),
        };
        let (exchange, (status, why)) = refused.err()?;
        limited(workers(room), exchange.head.peer);
        Some((exchange, refusal(status, why)))
    }
}

/// What stands in the log when the workers of a room are all at work.
fn workers(room: Room) -> &'static str {
    match room {
        Room::Control => "answers",
        Room::Change => "changes",
        Room::Upload => "uploads",
        Room::Download => "downloads",
        Room::Password => "password-checks",
    }
}

/// Somebody was sent away.
fn limited(kind: &str, from: IpAddr) {
    log::warn!(target: event::LIMIT, "kind={kind} from={from}");
}

const BUSY: (u16, &str) = (503, "too much is going on here, try again soon");
const TOO_MANY: (u16, &str) = (429, "there are too many password checks, try again soon");

/// Waits for the body in this thread, so that the one for passwords never does.
fn wait_and_queue(
    mut exchange: Exchange,
    passwords: &Passwords,
    handler: Arc<dyn Handler>,
    downloads: Threads,
) {
    if let Err(error) = exchange.body.gather(SMALL_BODY) {
        let (status, why) = match error.kind() {
            ErrorKind::StorageFull => (413, "the body of the request is too long"),
            ErrorKind::TimedOut => (408, "the body of the request took too long"),
            _ => (400, "the body of the request is broken"),
        };
        return exchange.answer(refusal(status, why));
    }
    let queued = passwords.queue(exchange, move |exchange| {
        answer_promptly(&*handler, exchange, &downloads);
    });
    if let Err(exchange) = queued {
        limited("password-checks", exchange.head.peer);
        let (status, why) = TOO_MANY;
        exchange.answer(refusal(status, why));
    }
}

/// Handles a request and answers it, also where that takes as long as the client likes.
fn answer(handler: &dyn Handler, mut exchange: Exchange) {
    let response = handle(handler, &mut exchange);
    exchange.answer(response);
}

/// Handles a request in a thread that must not wait for clients: they could stop it for everybody.
fn answer_promptly(handler: &dyn Handler, mut exchange: Exchange, downloads: &Threads) {
    let response = handle(handler, &mut exchange);
    if is_small_answer(&exchange, &response) {
        return exchange.answer(response);
    }
    if let Some(exchange) = hand_on(exchange, response, downloads) {
        limited("answers", exchange.head.peer);
        let (status, why) = BUSY;
        exchange.answer(refusal(status, why));
    }
}

/// Gives an answer that is not small to a thread that may wait for the client. The exchange comes
/// back when there is none.
fn hand_on(exchange: Exchange, response: Response, downloads: &Threads) -> Option<Exchange> {
    downloads
        .start((exchange, response), |(exchange, response)| {
            exchange.answer(response);
        })
        .err()
        .map(|(exchange, _)| exchange)
}

/// Calls the handler; a panic is a 500.
fn handle(handler: &dyn Handler, exchange: &mut Exchange) -> Response {
    let request = Request {
        head: &exchange.head,
        body: &mut exchange.body,
    };
    catch_unwind(AssertUnwindSafe(|| handler.handle(request))).unwrap_or_else(|_| {
        log::error!("a handler panicked");
        refusal(500, "something went wrong here")
    })
}

fn refusal(status: u16, why: &str) -> Response {
    let response = match status {
        429 | 503 => Response::new(status).with("Retry-After", "5"),
        _ => Response::new(status),
    };
    response.body("text/plain; charset=utf-8", format!("{why}\n"))
}

/// Whether the gate sends a response, through tiny_http or not: nobody waits for the client then.
fn is_small_answer(exchange: &Exchange, response: &Response) -> bool {
    let head: usize = response
        .headers
        .iter()
        .map(|(n, v)| n.len() + v.len() + 4)
        .sum();
    let silent = exchange.head.method == Method::Head || is_bodyless(response.status);
    let body = match &response.payload {
        _ if silent => 0,
        Payload::Bytes(bytes) => bytes.len(),
        Payload::Stream(_) => return false,
    };
    head <= SMALL && body <= SMALL && response.headers.len() <= 64
}

/// Answers through tiny_http.
fn relay(request: tiny_http::Request, exchange: Exchange, response: Response) {
    let Response {
        status,
        headers,
        payload,
    } = response;
    // What tiny_http cannot know of a body that is not sent, the gate puts in.
    let length = match &payload {
        Payload::Bytes(_) => None,
        Payload::Stream(stream) => Some(match stream.length {
            Some(length) => Framed::Length(length),
            None if exchange.head.http11 => Framed::Chunked,
            None => Framed::Unmarked,
        }),
    };
    exchange.relay(length);
    let bytes = match payload {
        Payload::Bytes(bytes) => bytes,
        Payload::Stream(_) => Vec::new(),
    };
    respond(request, status, &headers, bytes);
}

fn respond(
    request: tiny_http::Request,
    status: u16,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) {
    let mut response = tiny_http::Response::from_data(body)
        .with_status_code(status)
        .with_chunked_threshold(usize::MAX);
    for (name, value) in fields(headers) {
        if let Ok(header) = tiny_http::Header::from_bytes(name, value.as_bytes()) {
            response.add_header(header);
        }
    }
    // The gate notices when its connection breaks.
    if let Err(error) = request.respond(response) {
        log::error!("the gate did not take an answer: {error}");
    }
}
