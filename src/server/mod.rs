//! To come.

use crate::http::Handler;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Limits and deadlines of serving. The defaults are those of the documentation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections in total.
    pub connections: usize,
    /// Client connections from one address (IPv6: one /64). Loopback and trusted proxies are exempt.
    pub connections_per_address: usize,
    /// Bodies in transfer at once, uploads and downloads together.
    pub transfers: usize,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Without any byte of a body.
    pub body_stall: Duration,
    /// Fewest bytes of a body per second, averaged over a minute.
    pub body_rate: u64,
    /// Without any byte taken by the client.
    pub write_stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 64,
            transfers: 1024,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            body_stall: Duration::from_secs(30),
            body_rate: 1024,
            write_stall: Duration::from_secs(120),
        }
    }
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Serves `listener` with `handler` until stopped. `trusted` are networks (address, prefix
    /// length) of proxies whose `X-Forwarded-For` counts.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn start(
        _listener: TcpListener,
        _handler: Arc<dyn Handler>,
        _limits: Limits,
        _trusted: Vec<(IpAddr, u8)>,
    ) -> io::Result<Self> {
        todo!()
    }

    /// Stops accepting at once, lets running requests end for up to `patience`, then cuts the rest.
    /// Returns how many were cut.
    pub fn drain(self, _patience: Duration) -> usize {
        todo!()
    }
}
