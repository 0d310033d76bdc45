//! Answers on the admin socket: one connection at a time, each with a deadline, on one small
//! thread. Whoever may connect may stop the server as well, so there is nobody to be fair to.

use super::moves::Moves;
use super::perform::perform;
use super::socket::Place;
use super::wire::{self, Answer, Reason};
use crate::service::Service;
use smol::Async;
use smol::channel::{Receiver, Sender};
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The service calls few levels deep and keeps its buffers on the heap.
const STACK: usize = 256 * 1024;
/// How long a client may take to send its request, and again to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a failure to accept: descriptors may have run out.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket and its thread. Dropping it ends both.
pub struct AdminSocket {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
    _place: Place,
}

impl AdminSocket {
    /// Listens at `path`, with a link to it in `data_dir`, of which the caller holds the lock.
    ///
    /// # Errors
    /// When there can be no socket, or no thread.
    pub fn start(
        service: Arc<Service>,
        moves: Arc<dyn Moves>,
        path: &Path,
        data_dir: &Path,
    ) -> io::Result<Self> {
        Self::with_patience(service, Some(moves), path, data_dir, PATIENCE)
    }

    /// As [`AdminSocket::start`], with another time for clients to send and to take.
    pub(super) fn with_patience(
        service: Arc<Service>,
        moves: Option<Arc<dyn Moves>>,
        path: &Path,
        data_dir: &Path,
        patience: Duration,
    ) -> io::Result<Self> {
        let (listener, place) = Place::listen(path, data_dir)?;
        let listener = Async::new(listener)?;
        let (stop, stopped) = smol::channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .stack_size(STACK)
            .spawn(move || serve(&service, moves.as_deref(), &listener, &stopped, patience))?;
        Ok(Self {
            stop,
            thread: Some(thread),
            _place: place,
        })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread of the admin socket had panicked");
        }
    }
}

fn serve(
    service: &Service,
    moves: Option<&dyn Moves>,
    listener: &Async<UnixListener>,
    stopped: &Receiver<()>,
    patience: Duration,
) {
    loop {
        let accepted = smol::block_on(smol::future::or(
            async {
                let _closed = stopped.recv().await;
                None
            },
            async { Some(listener.accept().await) },
        ));
        match accepted {
            None => return,
            Some(Ok((stream, _))) => {
                let answered = stream
                    .into_inner()
                    .and_then(|stream| answer(service, moves, &stream, patience));
                if let Err(e) = answered {
                    log::warn!("admin socket: a request was not answered: {e}");
                }
            }
            Some(Err(e)) => {
                log::warn!("admin socket: {e}");
                smol::block_on(smol::future::or(
                    async {
                        let _closed = stopped.recv().await;
                    },
                    async {
                        smol::Timer::after(PAUSE).await;
                    },
                ));
            }
        }
    }
}

/// One request, one answer.
fn answer(
    service: &Service,
    moves: Option<&dyn Moves>,
    mut stream: &UnixStream,
    patience: Duration,
) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?.uid;
    if !peer.is_root() && peer != rustix::process::geteuid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.set_nonblocking(false)?;
    let deadline = Instant::now() + patience;
    let line = match wire::read_line(stream, deadline) {
        // Only looked whether somebody is here.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        line => line?,
    };
    let answer = match wire::request(&line) {
        Some(request) => perform(service, moves, &request),
        None => Answer::Refused {
            reason: Reason::Wrong,
            message: "the server does not understand this command: it may be of another version than the program, restart it".to_owned(),
        },
    };
    drop(line);
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&wire::to_line(&answer)?)
}
