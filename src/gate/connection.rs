//! The life of one client connection: idle, head, answer, and around again, or a soft end.

use super::answer;
use super::exchange::{End, Exchange, Outcome, Table};
use super::head::{self, Refusal, Scan};
use super::limits::Limits;
use super::own::OwnConnection;
use super::peer::Trusted;
use super::registry::{Entry, Listed, Phase};
use super::relay::Relay;
use super::wire::Client;
use crate::http::Method;
use crate::logging::event;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The first size of a head's buffer.
const FIRST: usize = 1024;
/// The most that is read and thrown away before a connection ends, in bytes: more than a chunk of Gokapi's
/// clients (45 MiB), which would send it again and again if they never got to read why it is refused.
const LINGER_BYTES: usize = 64 << 20;
/// The longest wait for the client to end a connection that we have ended.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
/// The longest wait for a free backend connection.
const BACKEND_TIME: Duration = Duration::from_secs(10);
/// Answers that clients are slow to take, all together, in bytes.
const PENDING: usize = 4 << 20;
/// Heads that are longer than [`FIRST`] and not complete yet, all together, in bytes.
const HEADS: usize = 4 << 20;

/// What all connections share.
pub(super) struct Service {
    pub(super) limits: Arc<Limits>,
    pub(super) trusted: Trusted,
    pub(super) table: Arc<Table>,
    pub(super) own: Arc<OwnConnection>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) relay: Relay,
    pub(super) pending: Cell<usize>,
    pub(super) heads: Cell<usize>,
}

/// How a connection goes on after a request.
enum Next {
    Another,
    Linger,
    Cut,
    Close,
}

/// Serves one connection to its end.
pub(super) async fn serve(service: Rc<Service>, listed: Listed, peer: IpAddr) {
    let entry = &*listed.entry;
    let mut carry = Vec::new();
    loop {
        entry.phase.set(Phase::Idle);
        if listed.is_stopping() {
            return;
        }
        if carry.is_empty() {
            // An empty buffer still holds its memory.
            carry = Vec::new();
            let limit = service.limits.idle;
            if !matches!(
                entry.within(limit, entry.client.readable()).await,
                Some(Ok(()))
            ) {
                return;
            }
        }
        // Boxed, so that an idle connection does not hold the space of a busy one.
        match Box::pin(request(&service, entry, peer, &mut carry)).await {
            Next::Another => {}
            Next::Linger => {
                entry.phase.set(Phase::Lingering);
                drop(carry);
                return Box::pin(linger(entry)).await;
            }
            Next::Cut => return cut(&entry.client),
            Next::Close => return,
        }
    }
}

/// Serves one request; `carry` holds what was read of it so far, and then what follows it.
async fn request(service: &Service, entry: &Entry, peer: IpAddr, carry: &mut Vec<u8>) -> Next {
    let deadline = Instant::now().checked_add(service.limits.head);
    let length = match entry
        .until(deadline, read_head(service, &entry.client, carry))
        .await
    {
        Some(Ok(Some(length))) => length,
        Some(Ok(None)) => return Next::Close,
        Some(Err(refusal)) => {
            if refusal.status == 503 {
                log::warn!(target: event::LIMIT, "kind=headers from={peer}");
            }
            return refuse(service, entry, refusal).await;
        }
        None if service.draining.load(std::sync::atomic::Ordering::Relaxed) => return Next::Close,
        None => {
            let refusal = Refusal {
                status: 408,
                why: "the header of the request took too long",
            };
            return refuse(service, entry, refusal).await;
        }
    };
    entry.phase.set(Phase::Busy);
    let bytes = carry.get(..length).unwrap_or_default();
    let valid = match head::parse(bytes, peer, &service.trusted) {
        Ok(valid) => valid,
        Err(refusal) => return refuse(service, entry, refusal).await,
    };
    let mut buffer = std::mem::take(carry);
    buffer.drain(..length);
    // It is kept while the request is served, and the head may have been long.
    buffer.shrink_to_fit();

    let method = valid.head.method;
    let line = request_line(method, &valid.head.path, valid.head.query.as_deref());
    let (done, outcome) = smol::channel::bounded(1);
    let exchange = Exchange::new(
        Arc::clone(&entry.client),
        Arc::clone(&service.limits),
        Arc::clone(&service.draining),
        valid,
        buffer,
        done,
    );
    let Some(Ok(backend)) = entry.within(BACKEND_TIME, service.relay.take()).await else {
        drop(exchange);
        let refusal = Refusal {
            status: 503,
            why: "the server is busy",
        };
        log::warn!(target: event::LIMIT, "kind=backend from={peer}");
        return refuse(service, entry, refusal).await;
    };
    let Ok(name) = service.table.put(exchange) else {
        log::error!("the system gives no random numbers");
        return Next::Cut;
    };
    let ask = format!("{line}{}: {name:032x}\r\n\r\n", super::EXCHANGE_FIELD);
    let answer = match backend.ask(ask.as_bytes(), method == Method::Head).await {
        Ok(answer) => answer,
        Err(error) => {
            log::error!("the backend failed: {error}");
            // Nobody will take it up any more.
            service.table.withdraw(name);
            return Next::Cut;
        }
    };
    let Ok(Outcome { end, rest }) = outcome.recv().await else {
        return Next::Cut;
    };
    *carry = rest;
    let (keep, bytes) = match end {
        End::Relay { keep, length } => (keep, answer.for_client(!keep, length)),
        End::Send { keep, bytes } => (keep, bytes),
        End::Keep => return Next::Another,
        End::Linger => return Next::Linger,
        End::Cut => return Next::Cut,
    };
    drop(answer);
    match send(service, entry, &bytes).await {
        true if keep => Next::Another,
        true => Next::Linger,
        false => Next::Cut,
    }
}

fn request_line(method: Method, path: &str, query: Option<&str>) -> String {
    let method = method.name();
    match query {
        Some(query) => format!("{method} {path}?{query} HTTP/1.1\r\n"),
        None => format!("{method} {path} HTTP/1.1\r\n"),
    }
}

/// Reads until a head is complete, and returns its length; `None` when the client left.
async fn read_head(
    service: &Service,
    client: &Client,
    carry: &mut Vec<u8>,
) -> Result<Option<usize>, Refusal> {
    let mut scan = Scan::default();
    let mut share = Share::none(&service.heads, HEADS);
    let mut blank = 0;
    loop {
        // One empty line before a request is allowed (RFC 9112 section 2.2).
        if blank == 0 && carry.starts_with(b"\r\n") {
            carry.drain(..2);
            blank += 1;
        }
        if carry.as_slice() != b"\r"
            && let Some(length) = scan.end(carry)?
        {
            return Ok(Some(length));
        }
        let end = carry.len();
        let size = (end * 2).clamp(FIRST, head::LENGTH.max(end + 1));
        if !share.grow(size - FIRST) {
            return Err(Refusal {
                status: 503,
                why: "too many long headers arrive at once, try again soon",
            });
        }
        carry.resize(size, 0);
        let room = carry.get_mut(end..).unwrap_or_default();
        let result = (&**client).read(room).await;
        carry.truncate(end + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Ok(None),
        }
    }
}

/// Answers in the gate's own words; the connection cannot go on.
async fn refuse(service: &Service, entry: &Entry, refusal: Refusal) -> Next {
    match send(service, entry, &answer::refusal(refusal)).await {
        true => Next::Linger,
        false => Next::Cut,
    }
}

/// Sends a small answer. False when the client does not take it.
async fn send(service: &Service, entry: &Entry, bytes: &[u8]) -> bool {
    let sent = match write_now(&entry.client, bytes) {
        Some(sent) => sent,
        None => return false,
    };
    let left = bytes.get(sent..).unwrap_or_default();
    if left.is_empty() {
        return true;
    }
    let mut share = Share::none(&service.pending, PENDING);
    if !share.grow(left.len()) {
        return false;
    }
    let write = async { (&*entry.client).write_all(left).await };
    matches!(
        entry.within(service.limits.write_stall, write).await,
        Some(Ok(()))
    )
}

fn write_now(client: &Client, bytes: &[u8]) -> Option<usize> {
    match std::io::Write::write(&mut client.get_ref(), bytes) {
        Ok(count) => Some(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

/// A share of a memory that has a bound for all connections together; given back on drop.
struct Share<'a> {
    taken: &'a Cell<usize>,
    most: usize,
    size: usize,
}

impl<'a> Share<'a> {
    fn none(taken: &'a Cell<usize>, most: usize) -> Self {
        let size = 0;
        Self { taken, most, size }
    }

    /// Makes the share `size` bytes. False when there is no room for that.
    fn grow(&mut self, size: usize) -> bool {
        let sum = self.taken.get() + size.saturating_sub(self.size);
        if size <= self.size {
            return true;
        }
        if sum > self.most {
            return false;
        }
        self.taken.set(sum);
        self.size = size;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - self.size);
    }
}

/// Ends a connection such that the client gets to read the answer: closing while bytes of the
/// client are unread would reset the connection and destroy the answer on its way.
pub(super) async fn linger(entry: &Entry) {
    let client = &entry.client;
    if client.get_ref().shutdown(Shutdown::Write).is_err() {
        return;
    }
    let drain = async {
        let mut budget = LINGER_BYTES;
        while budget > 0 && client.readable().await.is_ok() {
            // On the stack between two waits only: a crowd of these has no memory of its own.
            let mut scratch = [0; 16 * 1024];
            match std::io::Read::read(&mut client.get_ref(), &mut scratch) {
                Ok(0) => return,
                Ok(count) => budget = budget.saturating_sub(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    entry.within(LINGER_TIME, drain).await;
}

/// Ends a connection with a reset, so that the client cannot take a part for the whole.
pub(super) fn cut(client: &Client) {
    // If this fails the connection ends without a reset, which a declared length still betrays.
    let _ = rustix::net::sockopt::set_socket_linger(client.get_ref(), Some(Duration::ZERO));
}
