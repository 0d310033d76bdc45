//! The gate's thread: it accepts, keeps the caps, and outlives every lack of resources.

use super::answer;
use super::connection::{self, Service};
use super::descriptors::within_descriptors;
use super::exchange::Table;
use super::head::Refusal;
use super::limits::{Census, Limits, Place};
use super::own::OwnConnection;
use super::peer::Trusted;
use super::registry::Registry;
use super::relay::Relay;
use crate::logging::event;
use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;
use smol::{Async, LocalExecutor, Timer};
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections that may wait to be accepted; the system has a limit of its own below or above.
const BACKLOG: i32 = 4096;
/// Connections that are accepted before the others get a turn.
const BATCH: u32 = 64;
/// The pause after an accept that failed for want of resources.
const WANT: Duration = Duration::from_millis(50);
/// Failures of accept, one after another, that no passing want explains.
const HOPELESS: u32 = 100;
/// The least time between two complaints about it.
const SILENCE: Duration = Duration::from_secs(60);
/// Connections over the cap that are told so at once; others are closed without a word.
pub(super) const TURNED_AWAY: usize = 64;
/// The longest wait for workers after their connections were cut.
const AFTER_CUT: Duration = Duration::from_secs(5);
/// The longest pause between two looks at the deadlines.
const TICK: Duration = Duration::from_millis(500);

/// What a gate needs to start.
pub(crate) struct Setup {
    pub(crate) listener: TcpListener,
    pub(crate) limits: Arc<Limits>,
    pub(crate) trusted: Vec<(std::net::IpAddr, u8)>,
    /// The backend's socket.
    pub(crate) backend: PathBuf,
    /// How many connections to it.
    pub(crate) backends: usize,
    pub(crate) table: Arc<Table>,
    pub(crate) own: Arc<OwnConnection>,
    /// Called at most once, with the cause, when connections are no longer accepted although
    /// nobody asked for that.
    pub(crate) on_loss: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A running gate.
pub(crate) struct Gate {
    orders: Sender<Duration>,
    thread: JoinHandle<usize>,
    life: Arc<Life>,
}

/// Whether connections are accepted, and who hears when that ends by itself.
struct Life {
    alive: AtomicBool,
    on_loss: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Life {
    /// It ends as it should.
    fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    /// It ends by itself, unless it has ended already.
    fn lose(&self, cause: &str) {
        if self.alive.swap(false, Ordering::Relaxed) {
            log::error!("no connections are accepted any more: {cause}");
            (self.on_loss)(cause);
        }
    }
}

impl Gate {
    /// Starts the thread; returns when it accepts connections.
    ///
    /// # Errors
    /// What the operating system reports.
    pub(crate) fn start(setup: Setup) -> io::Result<Self> {
        let (orders, order) = bounded(1);
        let (ready, started) = bounded(1);
        let life = Arc::new(Life {
            alive: AtomicBool::new(true),
            on_loss: Arc::clone(&setup.on_loss),
        });
        let own = Arc::clone(&life);
        let thread = std::thread::Builder::new()
            .name("gate".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                let _fallen = Fallen(&own);
                smol::block_on(run(setup, &order, &ready, &own))
            })?;
        match started.recv_blocking() {
            Ok(Ok(())) => Ok(Self {
                orders,
                thread,
                life,
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the gate ended while it started")),
        }
    }

    /// Whether it accepts connections.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.alive.load(Ordering::Relaxed)
    }

    /// Stops accepting at once, waits up to `patience` for running requests, cuts the rest, and
    /// returns how many were cut.
    pub(crate) fn drain(self, patience: Duration) -> usize {
        let _ = self.orders.try_send(patience);
        self.thread.join().unwrap_or_else(|_| {
            log::error!("the gate panicked");
            0
        })
    }
}

/// Says that the gate is gone after a panic.
struct Fallen<'a>(&'a Life);

impl Drop for Fallen<'_> {
    fn drop(&mut self) {
        self.0.lose("the gate panicked");
    }
}

async fn run(
    setup: Setup,
    order: &Receiver<Duration>,
    ready: &Sender<io::Result<()>>,
    life: &Life,
) -> usize {
    let opened = async {
        let relay = Relay::open(&setup.backend, setup.backends).await?;
        // The standard library asks for a queue of 128, which a burst overflows; each client that
        // does not fit waits a second for its next try. Asked again, a listener takes the new length.
        rustix::net::listen(&setup.listener, BACKLOG)?;
        Ok((relay, Async::new(setup.listener)?))
    };
    let (relay, listener) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            life.end();
            let _ = ready.send(Err(error)).await;
            return 0;
        }
    };
    let tick = tick_of(&setup.limits);
    let census = Census::new(
        within_descriptors(&setup.limits),
        setup.limits.connections_per_address,
    );
    let draining = Arc::new(AtomicBool::new(false));
    let service = Rc::new(Service {
        limits: setup.limits,
        trusted: Trusted::new(setup.trusted),
        table: setup.table,
        own: setup.own,
        draining: Arc::clone(&draining),
        relay,
        pending: Cell::new(0),
        heads: Cell::new(0),
    });
    let registry = Rc::new(Registry::default());
    let executor = LocalExecutor::new();
    let _ = ready.send(Ok(())).await;

    let ticker = async {
        loop {
            let now = Timer::after(tick).await;
            registry.tick(now);
        }
    };
    let repairs = async {
        let mut failures = 0;
        loop {
            match service.relay.repair().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if failures == HOPELESS {
                        life.lose(&format!("the backend cannot be reached: {error}"));
                    }
                    Timer::after(WANT).await;
                }
            }
        }
    };
    let serving = async {
        let patience = {
            let accepting = async {
                let error = accept_all(&listener, &executor, &service, &registry, &census).await;
                life.lose(&format!("accepting fails again and again: {error}"));
                std::future::pending().await
            };
            accepting.or(order.recv()).await.unwrap_or(Duration::ZERO)
        };
        life.end();
        drop(listener);
        draining.store(true, Ordering::Relaxed);
        registry.stop();
        if emptied(&registry, patience).await {
            return 0;
        }
        let count = registry.cut();
        if !emptied(&registry, AFTER_CUT).await {
            log::error!("requests did not end after their connections were cut");
        }
        count
    };
    executor.run(serving.or(ticker.or(repairs))).await
}

/// Waits until no connection is left, for at most `patience`.
async fn emptied(registry: &Registry, patience: Duration) -> bool {
    let deadline = Instant::now().checked_add(patience);
    let mut pause = Duration::from_millis(1);
    while !registry.is_empty() {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return false;
        }
        Timer::after(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    true
}

/// Accepts connections. Returns the error when no passing want explains it any more.
async fn accept_all<'a>(
    listener: &Async<TcpListener>,
    executor: &LocalExecutor<'a>,
    service: &Rc<Service>,
    registry: &Rc<Registry>,
    census: &Rc<Census>,
) -> io::Error {
    let turned_away = Rc::new(Cell::new(0));
    let mut failures = 0u32;
    let mut complained: Option<Instant> = None;
    let mut batch = 0;
    loop {
        batch += 1;
        if batch == BATCH {
            batch = 0;
            smol::future::yield_now().await;
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                failures = 0;
                admit(
                    executor,
                    service,
                    registry,
                    census,
                    &turned_away,
                    stream,
                    address,
                );
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if complained.is_none_or(|when| when.elapsed() >= SILENCE) {
                    log::error!("cannot accept connections for now: {error}");
                    complained = Some(Instant::now());
                }
                failures = failures.saturating_add(1);
                if failures > HOPELESS && !is_a_want(&error) {
                    return error;
                }
                Timer::after(WANT).await;
            }
        }
    }
}

/// Starts to serve a connection, or turns it away.
fn admit(
    executor: &LocalExecutor<'_>,
    service: &Rc<Service>,
    registry: &Rc<Registry>,
    census: &Rc<Census>,
    turned_away: &Rc<Cell<usize>>,
    stream: Async<TcpStream>,
    address: SocketAddr,
) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.get_ref().set_nodelay(true);
    let client = Arc::new(stream);
    let peer = address.ip().to_canonical();
    let exempt = peer.is_loopback() || service.trusted.contains(peer);
    let listed = registry.list(Arc::clone(&client));
    let own = service.own.is(address);
    let place = (!own).then(|| census.admit(peer, exempt)).flatten();
    if place.is_none() && !own {
        log::warn!(target: event::LIMIT, "kind=connections from={peer}");
        if turned_away.get() < TURNED_AWAY {
            turned_away.set(turned_away.get() + 1);
            let turned_away = Rc::clone(turned_away);
            executor
                .spawn(async move {
                    turn_away(&listed.entry).await;
                    turned_away.set(turned_away.get() - 1);
                })
                .detach();
        }
        return;
    };
    // Boxed at once: each wrapper around the future would hold room for it again.
    let serving = Box::pin(connection::serve(Rc::clone(service), listed, peer));
    executor
        .spawn(async move {
            let _place: Option<Place> = place;
            if AssertUnwindSafe(serving).catch_unwind().await.is_err() {
                log::error!("serving a connection panicked; it was closed");
            }
        })
        .detach();
}

async fn turn_away(entry: &super::registry::Entry) {
    entry.phase.set(super::registry::Phase::Lingering);
    let refusal = Refusal {
        status: 503,
        why: "there are too many connections",
    };
    // A fresh connection takes this much at once, or is not worth more.
    let _ = io::Write::write(&mut entry.client.get_ref(), &answer::refusal(refusal));
    connection::linger(entry).await;
}

/// Whether accept failed because of the one connection that it was about.
fn is_the_clients(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::CONNABORTED | Errno::CONNRESET | Errno::INTR | Errno::PROTO | Errno::PERM)
    )
}

/// Whether accept failed for want of something that others may give back.
fn is_a_want(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC)
    )
}

/// Deadlines may be late by this much.
fn tick_of(limits: &Limits) -> Duration {
    [limits.head, limits.idle, limits.write_stall]
        .into_iter()
        .fold(TICK * 4, Duration::min)
        .div_f32(4.0)
        .clamp(Duration::from_millis(2), TICK)
}
