//! A connection to the server: TCP, with TLS on it for `https`. Every read and write has its end, and no byte is
//! copied more often than it has to be: one transfer is one connection that moves gigabytes.

use super::socket::Socket;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};
use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;
use ureq::Timeout;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

thread_local! {
    /// Whether a server has not said in time that it wants a body, since somebody looked.
    static UNHEARD: Cell<bool> = const { Cell::new(false) };
}

/// Whether the last request of this thread went on to its body without a word of the server. Asking forgets it.
/// Only the time after the head counts: that before it is this side's, and the network's.
pub(super) fn was_unheard() -> bool {
    UNHEARD.take()
}

/// Makes connections.
pub(super) struct Links(Arc<ClientConfig>);

impl Links {
    pub(super) fn new(tls: ClientConfig) -> Self {
        Self(Arc::new(tls))
    }
}

impl Connector for Links {
    type Out = Link;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Link>, ureq::Error> {
        let mut socket = connected(details)?;
        let tls = if details.needs_tls() {
            Some(self.sealed(details, &mut socket)?)
        } else {
            None
        };
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Link {
            buffers,
            socket,
            tls,
        }))
    }
}

impl Links {
    /// The handshake.
    fn sealed(
        &self,
        details: &ConnectionDetails<'_>,
        socket: &mut Socket,
    ) -> Result<ClientConnection, ureq::Error> {
        let host = details.uri.host().unwrap_or_default();
        // An IPv6 address stands in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::Tls("the endpoint's host cannot be in a certificate"))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        let outcome = tls.complete_io(socket);
        outcome.map_err(|e| in_time(e, details.timeout))?;
        Ok(tls)
    }
}

/// Reaches one of the server's addresses. None may use up the time of the others.
fn connected(details: &ConnectionDetails<'_>) -> Result<Socket, ureq::Error> {
    let start = Instant::now();
    let limit = details.timeout.not_zero().map(|limit| *limit);
    let mut last = None;
    for (tried, address) in details.addrs.iter().enumerate() {
        let outcome = match limit {
            None => TcpStream::connect(address),
            Some(limit) => {
                let left = limit.saturating_sub(start.elapsed());
                let share = if tried + 1 == details.addrs.len() {
                    left
                } else {
                    left / 2
                };
                if share.is_zero() {
                    break;
                }
                TcpStream::connect_timeout(address, share)
            }
        };
        match outcome {
            Ok(stream) => {
                let mut socket = Socket::new(stream)?;
                socket.until(limit.map(|limit| start + limit), details.timeout);
                return Ok(socket);
            }
            Err(e) => last = Some(in_time(e, details.timeout)),
        }
    }
    Err(last.unwrap_or(ureq::Error::Timeout(details.timeout.reason)))
}

/// One connection.
pub(super) struct Link {
    buffers: LazyBuffers,
    socket: Socket,
    tls: Option<ClientConnection>,
}

impl Transport for Link {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.socket.until(end(timeout), timeout);
        let output = &self.buffers.output()[..amount];
        let written = match &mut self.tls {
            Some(tls) => Stream::new(tls, &mut self.socket).write_all(output),
            None => self.socket.write_all(output),
        };
        written.map_err(|e| in_time(e, timeout.for_write()))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.socket.until(end(timeout), timeout);
        let input = self.buffers.input_append_buf();
        let read = match &mut self.tls {
            Some(tls) => Stream::new(tls, &mut self.socket).read(input),
            None => self.socket.read(input),
        };
        let read = read.map_err(|e| {
            let error = in_time(e, timeout.for_read());
            if matches!(error, ureq::Error::Timeout(Timeout::Await100)) {
                UNHEARD.set(true);
            }
            error
        })?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Nothing may have come: an answer to no request is none. TLS may have something to say by itself, such as
    /// how to resume the session.
    fn is_open(&mut self) -> bool {
        let Some(tls) = &mut self.tls else {
            return self.socket.is_silent();
        };
        self.socket.without_waiting(|socket| {
            loop {
                match tls.read_tls(socket) {
                    Ok(0) => return false,
                    Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
                    Ok(_) => {}
                }
                match tls.process_new_packets() {
                    Ok(state)
                        if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                    _ => return false,
                }
            }
        })
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links(..)")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)")
    }
}

/// When the phase of the exchange is over.
fn end(timeout: NextTimeout) -> Option<Instant> {
    timeout
        .not_zero()
        .and_then(|t| Instant::now().checked_add(*t))
}

/// A limit that was reached has a name.
fn in_time(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}
