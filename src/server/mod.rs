//! Serving: tiny_http behind the gate, and the workers that answer.
//!
//! A request passes the gate, tiny_http and one of several sets of workers. Small answers go back the
//! same way; bodies of any size go between the worker and the client's socket. A handler that
//! panics costs its client a 500 and nobody else anything.

mod adapter;
mod directory;
mod probe;
mod workers;

pub use crate::gate::Limits;

use crate::gate::{Gate, OwnConnection, Setup, Table};
use crate::http::Handler;
use adapter::{Adapter, Sets};
use directory::Directory;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use workers::{Control, Passwords, Threads};

pub use probe::SelfProbe;

/// Threads for small requests. As many as connections between gate and backend, so that no request
/// waits inside tiny_http, whose queue has no limit.
const CONTROL: usize = 8;
/// Their stacks, in bytes: templates and JSON want some room.
const CONTROL_STACK: usize = 1 << 20;
/// Small requests that wait for the disk at once. They share its syncs.
const CHANGES: usize = 64;
/// Small requests that wait for their own bodies at once.
const FORMS: usize = 64;
/// The longest wait for all threads together after the gate has cut its connections.
const AFTER_CUT: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    gate: Option<Gate>,
    /// Ends when the server is dropped, after the gate.
    _backend: Backend,
    threads: Arc<Sets>,
    passwords: Arc<Passwords>,
    control: Arc<Control>,
    own: Arc<OwnConnection>,
}

/// Tells whether a set of workers has given a sign of life since this last told so, and its name.
/// Never blocks.
pub type WorkerSign = (&'static str, Box<dyn FnMut() -> bool + Send>);

/// tiny_http, its socket, and the threads that take its requests.
struct Backend {
    http: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
    /// Removed last: tiny_http connects to its own socket to stop.
    _directory: Directory,
}

impl Server {
    /// Serves `listener` with `handler` until stopped. `trusted` are networks (address, prefix
    /// length) of proxies whose `X-Forwarded-For` counts. `on_loss` is called at most once, with the
    /// cause, when it stops accepting connections by itself: it must be replaced then. It must not
    /// block.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn start(
        listener: TcpListener,
        handler: Arc<dyn Handler>,
        limits: Limits,
        trusted: Vec<(IpAddr, u8)>,
        on_loss: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let directory = Directory::create()?;
        let path = directory.socket();
        let http = tiny_http::Server::from_listener(UnixListener::bind(&path)?, None)
            .map_err(io::Error::other)?;
        let table = Arc::new(Table::new());
        let threads = Arc::new(Sets {
            changes: Threads::new("change", CHANGES),
            uploads: Threads::new("upload", limits.uploads),
            downloads: Threads::new("download", limits.downloads),
            forms: Threads::new("form", FORMS),
        });
        let passwords = Arc::new(Passwords::start()?);
        let mut backend = Backend {
            http: Arc::new(http),
            stopping: Arc::new(AtomicBool::new(false)),
            control: Arc::default(),
            threads: Vec::with_capacity(CONTROL),
            _directory: directory,
        };
        let adapter = Arc::new(Adapter {
            handler,
            table: Arc::clone(&table),
            threads: Arc::clone(&threads),
            passwords: Arc::clone(&passwords),
        });
        for _ in 0..CONTROL {
            let thread = backend.worker(Arc::clone(&adapter))?;
            backend.threads.push(thread);
        }
        let own = Arc::new(OwnConnection::default());
        let gate = Gate::start(Setup {
            listener,
            limits: Arc::new(limits),
            trusted,
            backend: path,
            backends: CONTROL,
            table,
            own: Arc::clone(&own),
            on_loss,
        })?;
        Ok(Self {
            address,
            gate: Some(gate),
            control: Arc::clone(&backend.control),
            _backend: backend,
            threads,
            passwords,
            own,
        })
    }

    /// Whether it accepts connections. False means that it has given up and must be replaced.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.gate.as_ref().is_some_and(Gate::is_alive)
    }

    /// A question to itself: asks for `path` as a client does, through the listener.
    #[must_use]
    pub fn self_probe(&self, path: &'static str) -> SelfProbe {
        SelfProbe::new(self.address, path, Arc::clone(&self.own))
    }

    /// Signs of life, one for each set of workers. A set lives when it has a worker to spare, or when
    /// one has moved bytes, ended a job, or waits for a client, which never lasts: clients that are
    /// slow together are no reason to take the whole for dead.
    #[must_use]
    pub fn worker_signs(&self) -> Vec<WorkerSign> {
        let sets = &self.threads;
        vec![
            ("the workers for pages", self.control.sign(CONTROL)),
            ("the workers for changes", sets.changes.sign()),
            ("the workers for uploads", sets.uploads.sign()),
            ("the workers for downloads", sets.downloads.sign()),
            ("the workers for forms", sets.forms.sign()),
            ("the worker for passwords", self.passwords.sign()),
        ]
    }

    /// Tells how many uploads and how many downloads run.
    pub fn transfers(&self) -> impl Fn() -> (usize, usize) + Send + 'static {
        let sets = Arc::clone(&self.threads);
        move || (sets.uploads.count(), sets.downloads.count())
    }

    /// Stops accepting at once, lets running requests end for up to `patience`, then cuts the rest.
    /// Returns how many were cut.
    pub fn drain(self, patience: Duration) -> usize {
        self.drain_and(patience, || ())
    }

    /// The same; when the rest is cut, `wake` is to wake those whose requests wait for something else
    /// than their clients.
    pub fn drain_and(mut self, patience: Duration, wake: impl FnOnce()) -> usize {
        self.stop(patience, wake)
    }

    fn stop(&mut self, patience: Duration, wake: impl FnOnce()) -> usize {
        let Some(gate) = self.gate.take() else {
            return 0;
        };
        let cut = gate.drain(patience);
        wake();
        let Sets {
            changes,
            uploads,
            downloads,
            forms,
        } = &*self.threads;
        // Forms may still go on to the passwords.
        let end = Instant::now() + AFTER_CUT;
        for threads in [forms, changes, uploads, downloads] {
            if !threads.ended(end.saturating_duration_since(Instant::now())) {
                log::error!("some requests did not end; they are left behind");
            }
        }
        self.passwords.stop();
        cut
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO, || ());
    }
}

impl Backend {
    fn worker(&self, adapter: Arc<Adapter>) -> io::Result<JoinHandle<()>> {
        let http = Arc::clone(&self.http);
        let stopping = Arc::clone(&self.stopping);
        let control = Arc::clone(&self.control);
        std::thread::Builder::new()
            .name("control".to_owned())
            .stack_size(CONTROL_STACK)
            .spawn(move || {
                while !stopping.load(Ordering::Relaxed) {
                    match http.recv() {
                        Ok(request) => control.run(|| adapter.serve(request)),
                        // Its listener is gone; the connections that it has go on.
                        Err(error) if !stopping.load(Ordering::Relaxed) => {
                            log::error!("the backend accepts no more connections: {error}");
                        }
                        Err(_) => {}
                    }
                }
            })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for _ in &self.threads {
            self.http.unblock();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a control worker had panicked");
            }
        }
    }
}
