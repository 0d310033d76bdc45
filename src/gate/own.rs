//! The one connection that the program makes to itself, to find out whether it can be reached.
//!
//! It is known by the address that it comes from. The system gives that to nobody else while the
//! connection is open, so no client can pass for it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Where the own connection comes from, while there is one. It counts towards no limit.
#[derive(Default)]
pub(crate) struct OwnConnection(Mutex<Option<SocketAddr>>);

impl OwnConnection {
    /// Says where it comes from, before it comes; `None` when it is over.
    pub(crate) fn set(&self, from: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }

    /// Whether a connection from there is the own one. A listener for both IP versions reports
    /// IPv4 addresses as mapped ones.
    pub(super) fn is(&self, from: SocketAddr) -> bool {
        let own = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own.is_some_and(|own| {
            own.port() == from.port() && own.ip().to_canonical() == from.ip().to_canonical()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_address_is_known_and_only_while_it_is_said() {
        let own = OwnConnection::default();
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(!own.is(address("127.0.0.1:5000")));
        own.set(Some(address("127.0.0.1:5000")));
        assert!(own.is(address("127.0.0.1:5000")));
        assert!(own.is(address("[::ffff:127.0.0.1]:5000")));
        assert!(!own.is(address("127.0.0.1:5001")));
        assert!(!own.is(address("127.0.0.2:5000")));
        own.set(None);
        assert!(!own.is(address("127.0.0.1:5000")));
    }
}
