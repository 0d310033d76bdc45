//! The listener: one that the service manager has opened (sd_listen_fds(3)), or our own.

use super::StartError;
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// The listener. One that was passed counts, whatever `listen` says; of several the first one.
pub(super) fn listener(listen: SocketAddr) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen { listen, source };
    let Some(passed) = passed().map_err(failed)? else {
        return TcpListener::bind(listen).map_err(failed);
    };
    let address = passed.local_addr().map_err(failed)?;
    if address == listen {
        log::info!("the service manager passed the socket that listens on {address}");
    } else {
        log::warn!(
            "the service manager passed a socket that listens on {address}, which counts; the setting listen = \"{listen}\" does not, as long as mayfly.socket is in use"
        );
    }
    Ok(passed)
}

/// The first TCP listener that was passed. What else was passed is told and left alone.
fn passed() -> io::Result<Option<TcpListener>> {
    let mut first = None;
    for number in sd_notify::listen_fds()? {
        let socket = mayfly_sys::duplicate(number)?;
        match (is_tcp_listener(&socket), &first) {
            (true, None) => first = Some(TcpListener::from(socket)),
            (true, Some(_)) => log::warn!(
                "the service manager passed several listening sockets; the first one is used, and {} is not",
                TcpListener::from(socket)
                    .local_addr()
                    .map_or_else(|e| e.to_string(), |address| address.to_string())
            ),
            (false, _) => log::warn!(
                "the service manager passed descriptor {number}, which is not used: it is no listening TCP socket. mayfly.socket takes ListenStream= with a port, or an address and a port"
            ),
        }
    }
    Ok(first)
}

fn is_tcp_listener(socket: &OwnedFd) -> bool {
    let family = sockopt::socket_domain(socket);
    matches!(family, Ok(AddressFamily::INET | AddressFamily::INET6))
        && sockopt::socket_type(socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(socket) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpStream, UdpSocket};

    #[test]
    fn only_a_tcp_socket_that_listens_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        assert!(is_tcp_listener(&listener.into()));
        assert!(!is_tcp_listener(&client.into()));
        assert!(!is_tcp_listener(
            &UdpSocket::bind("127.0.0.1:0").unwrap().into()
        ));
        assert!(!is_tcp_listener(&unix.into()));
        assert!(!is_tcp_listener(
            &std::fs::File::open("/dev/null").unwrap().into()
        ));
    }
}
