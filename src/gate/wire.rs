//! The client's socket, as workers use it: never blocking longer than a deadline says.
//!
//! The socket is non-blocking and belongs to the gate's event loop between requests; while a
//! worker holds the exchange, the loop leaves it alone, and the worker waits with `poll(2)`.

use crate::model::progress;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smol::Async;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The socket of one client.
pub(super) type Client = Arc<Async<TcpStream>>;

/// Waits until one of `flags` holds, an error or a hang-up included, for at most `limit`. Returns
/// what holds; empty after `limit`.
pub(super) fn wait(client: &Client, flags: PollFlags, limit: Duration) -> io::Result<PollFlags> {
    // A time that does not fit is as good as for ever.
    let deadline = Instant::now().checked_add(limit);
    loop {
        let timeout = deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
            .and_then(|left| Timespec::try_from(left).ok());
        let mut sockets = [PollFd::new(client.get_ref(), flags)];
        match progress::waiting(|| poll(&mut sockets, timeout.as_ref())) {
            Ok(_) => return Ok(sockets[0].revents()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the client has closed its end, or the connection has broken.
pub(super) fn is_gone(client: &Client) -> bool {
    // An error or a hang-up of both sides is told in any case.
    let mut sockets = [PollFd::new(client.get_ref(), PollFlags::RDHUP)];
    matches!(poll(&mut sockets, Some(&Timespec::default())), Ok(1..))
}

/// Waits until one of `flags` holds, an error or a hang-up included; `TimedOut` when nothing moved
/// during `stall`.
///
/// The system calls a socket writable again when a third of its buffer is free. A slow client may
/// take minutes for that, so when it is time, what it has acknowledged meanwhile counts.
pub(super) fn wait_for_client(
    client: &Client,
    flags: PollFlags,
    stall: Duration,
) -> io::Result<()> {
    let queued = || match flags.contains(PollFlags::OUT) {
        true => mayfly_sys::unacknowledged(client.get_ref()).unwrap_or(0),
        false => 0,
    };
    loop {
        let before = queued();
        if !wait(client, flags, stall)?.is_empty() {
            return Ok(());
        }
        if queued() >= before {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// Runs `operation` until it does not block any more; `TimedOut` when nothing moved during `stall`.
pub(super) fn ready<T>(
    client: &Client,
    flags: PollFlags,
    stall: Duration,
    mut operation: impl FnMut(&TcpStream) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match operation(client.get_ref()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                wait_for_client(client, flags, stall)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => {
                progress::step();
                return result;
            }
        }
    }
}

/// Reads what is there, or waits for it.
pub(super) fn read(client: &Client, out: &mut [u8], stall: Duration) -> io::Result<usize> {
    ready(client, PollFlags::IN, stall, |mut socket| socket.read(out))
}

/// Writes all of `bytes`; with `more`, the system may wait for what follows before it sends.
/// `sent` counts what the system has taken, also when this fails.
pub(super) fn write_all(
    client: &Client,
    mut bytes: &[u8],
    more: bool,
    stall: Duration,
    sent: &mut u64,
) -> io::Result<()> {
    use rustix::net::{SendFlags, send};
    let flags = match more {
        true => SendFlags::NOSIGNAL | SendFlags::MORE,
        false => SendFlags::NOSIGNAL,
    };
    while !bytes.is_empty() {
        let count = ready(client, PollFlags::OUT, stall, |socket| {
            Ok(send(socket, bytes, flags)?)
        })?;
        *sent += count as u64;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpListener};

    #[test]
    fn a_client_that_closes_its_end_has_gone_and_one_that_says_nothing_has_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let client = Arc::new(Async::new(listener.accept().unwrap().0).unwrap());
        assert!(!is_gone(&client));
        other.shutdown(Shutdown::Write).unwrap();
        assert!(wait(&client, PollFlags::IN, Duration::from_secs(60)).is_ok());
        assert!(is_gone(&client));
    }
}
