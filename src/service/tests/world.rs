//! What the tests stand on: a service on a database and a store in memory, a clock turned by hand,
//! and a client that acknowledges what it is told to.

use super::fault_metadata::{FaultMetadata, MetadataFaults};
use crate::metadata::{Metadata, RedbMetadata};
pub(super) use crate::model::{BootId, Clock, Evidence, Timekeeper, Timestamp};
pub(super) use crate::pipeline::Output;
pub(super) use crate::service::*;
use crate::store::{FaultStore, Faults, MemoryStore};
use std::fs::File;
use std::io;
pub(super) use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Mutex;
pub(super) use std::sync::atomic::Ordering;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(super) const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
pub(super) const PASSWORD: &str = "correct horse";
/// The wall clock at the start of every test.
pub(super) const START: i64 = 1_800_000_000;
pub(super) const YEAR: i64 = 365 * 24 * 3600;

/// Seconds since the start, turned by hand; the wall clock can be set besides. The machine has run
/// for an hour then.
pub(super) struct ManualClock {
    elapsed: AtomicU64,
    set: AtomicI64,
    booted: AtomicI64,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            elapsed: AtomicU64::new(0),
            set: AtomicI64::new(0),
            booted: AtomicI64::new(-3600),
        }
    }
}

impl ManualClock {
    pub(super) fn advance(&self, seconds: u64) {
        self.elapsed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock this much forward, or back.
    pub(super) fn step(&self, seconds: i64) {
        self.set.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The machine was off for so long. What the wall clock shows then is a matter of steps.
    pub(super) fn reboot(&self, off: u64) {
        self.advance(off);
        let now = self.elapsed.load(Ordering::SeqCst);
        self.booted.store(now.cast_signed(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed.load(Ordering::SeqCst)).unwrap();
        Timestamp(START)
            .plus(elapsed)
            .plus(self.set.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        let booted = self.booted.load(Ordering::SeqCst);
        let elapsed = self.elapsed.load(Ordering::SeqCst).cast_signed() - booted;
        Duration::from_secs(elapsed.unsigned_abs())
    }
}

/// What the machine says about its clock, told by hand.
#[derive(Clone, Default)]
pub(super) struct Said {
    clock: Arc<ManualClock>,
    pub(super) synchronised: Arc<AtomicBool>,
    pub(super) vouched: Arc<AtomicBool>,
}

impl Evidence for Said {
    fn boot(&self) -> Option<BootId> {
        let booted = self.clock.booted.load(Ordering::SeqCst);
        Some(BootId(i128::from(booted).to_be_bytes()))
    }
    fn is_synchronised(&self, _: Timestamp) -> bool {
        self.synchronised.load(Ordering::SeqCst)
    }
    fn is_vouched(&self) -> bool {
        self.vouched.swap(false, Ordering::SeqCst)
    }
}

/// Everything that outlives a process, and one process on it.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) said: Said,
    pub(super) metadata: Arc<dyn Metadata>,
    pub(super) store: MemoryStore,
    pub(super) faults: Faults,
    pub(super) metadata_faults: MetadataFaults,
    pub(super) fatal: Arc<Mutex<Vec<String>>>,
    pub(super) policy: Policy,
    pub(super) service: Arc<Service>,
    pub(super) owner: Session,
    server_key: Secret,
    master_key: Secret,
}

impl World {
    pub(super) fn new() -> Self {
        Self::mode(Encryption::Link)
    }

    pub(super) fn mode(encryption: Encryption) -> Self {
        let metadata_faults = MetadataFaults::default();
        let metadata: Arc<dyn Metadata> = Arc::new(FaultMetadata {
            inner: Arc::new(RedbMetadata::in_memory().unwrap()),
            faults: metadata_faults.clone(),
        });
        let policy = Policy {
            encryption,
            max_file_size: 1 << 30,
            max_downloads: None,
            max_days: None,
            dedup: true,
            lease: Duration::from_secs(600),
            unlock: Duration::from_secs(300),
            password_cost: (8, 1),
        };
        let said = Said::default();
        let clock = Arc::clone(&said.clock);
        let store = MemoryStore::new(Some(1 << 30));
        let server_key = keys::random_secret();
        let master_key = keys::random_secret();
        let fatal = Arc::new(Mutex::new(Vec::new()));
        let (service, faults) = start(
            &said,
            &metadata,
            &store,
            &fatal,
            (&server_key, &master_key),
            &policy,
        );
        service.recover().unwrap();
        let key = service.add_account("admin", PASSWORD).unwrap().key.key;
        let owner = service
            .authenticate(Some(key.reveal()), Permissions::ALL, HERE)
            .unwrap();
        Self {
            clock,
            said,
            metadata,
            store,
            faults,
            metadata_faults,
            fatal,
            policy,
            service,
            owner,
            server_key,
            master_key,
        }
    }

    /// The process is gone, another one starts on what it left. Leaves the cookies of clients as
    /// they are.
    pub(super) fn restart(&mut self) {
        self.metadata_faults.heal();
        let keys = (&self.server_key, &self.master_key);
        let (service, faults) = start(
            &self.said,
            &self.metadata,
            &self.store,
            &self.fatal,
            keys,
            &self.policy,
        );
        service.recover().unwrap();
        self.service = service;
        self.faults = faults;
    }

    /// Another account.
    pub(super) fn another(&self, name: &str) -> Session {
        let key = self.service.add_account(name, PASSWORD).unwrap().key.key;
        self.service
            .authenticate(Some(key.reveal()), Permissions::ALL, HERE)
            .unwrap()
    }

    pub(super) fn upload(&self, bytes: &[u8], wish: LinkWish) -> FileView {
        self.try_upload(bytes, wish).unwrap()
    }

    pub(super) fn try_upload(&self, bytes: &[u8], wish: LinkWish) -> Result<FileView, Error> {
        let mut input = bytes;
        let declared = Some(bytes.len() as u64);
        let received = self.service.receive(&self.owner, &mut input, declared)?;
        self.service.publish(&self.owner, received, wish)
    }

    pub(super) fn open(&self, view: &FileView) -> Result<OpenFile, Error> {
        self.service.open(Door::Link(view.id.reveal()), None, HERE)
    }

    /// Asks for `range` of a link.
    pub(super) fn ask(
        &self,
        view: &FileView,
        range: Range<u64>,
        cookie: Option<&str>,
        peer: IpAddr,
    ) -> Result<Download, Error> {
        let file = self.open(view)?;
        self.service.download(file, wish(range, cookie, peer))
    }

    /// Downloads all of a link and returns the bytes that the client took.
    pub(super) fn fetch(&self, view: &FileView) -> Result<Vec<u8>, Error> {
        let mut client = Client::patient();
        let download = self.ask(view, 0..view.size, None, HERE)?;
        download.send(&mut client).unwrap();
        Ok(client.body)
    }

    /// What is left of a link for recipients: `(remaining, leased, count)`.
    pub(super) fn left(&self, view: &FileView) -> (u32, u32, u64) {
        let allowance = self
            .service
            .file(&self.owner, view.id.reveal())
            .unwrap()
            .allowance;
        (allowance.remaining, allowance.leased, allowance.count)
    }

    pub(super) fn blobs(&self) -> Vec<BlobId> {
        use crate::store::Store;
        self.store.list(None, 10_000).unwrap()
    }
}

fn start(
    said: &Said,
    metadata: &Arc<dyn Metadata>,
    store: &MemoryStore,
    fatal: &Arc<Mutex<Vec<String>>>,
    (server_key, master_key): (&Secret, &Secret),
    policy: &Policy,
) -> (Arc<Service>, Faults) {
    let (store, faults) = FaultStore::new(Box::new(store.clone()));
    let fatal = Arc::clone(fatal);
    let row = metadata.clock().unwrap();
    let clock = Arc::clone(&said.clock) as Arc<dyn Clock>;
    let said = Box::new(said.clone());
    let clock = Timekeeper::new(clock, said, Timestamp(START - YEAR), row);
    let parts = Parts {
        metadata: Arc::clone(metadata),
        store: Arc::new(store),
        waiting: crate::store::WaitingFiles::open(&std::env::temp_dir(), 0).unwrap(),
        clock: Arc::new(clock),
        server_key: server_key.clone(),
        master_key: Some(master_key.clone()),
        on_fatal: Arc::new(move |what| fatal.lock().unwrap().push(what.to_owned())),
    };
    (Arc::new(Service::new(parts, policy.clone())), faults)
}

pub(super) fn wish(range: Range<u64>, cookie: Option<&str>, peer: IpAddr) -> DownloadWish<'_> {
    DownloadWish {
        parts: vec![Part {
            lead: Vec::new(),
            range,
        }],
        tail: Vec::new(),
        cookie,
        peer,
    }
}

/// A link with that many downloads and no end by time.
pub(super) fn times(count: u32) -> LinkWish {
    LinkWish {
        name: "a.bin".into(),
        content_type: "application/x-test".into(),
        count: Count::Limited(count),
        lifetime: Lifetime::Unlimited,
        password: None,
    }
}

pub(super) fn unlimited() -> LinkWish {
    LinkWish {
        count: Count::Unlimited,
        ..times(1)
    }
}

/// Bytes that differ from place to place.
pub(super) fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i % 251) as u8 ^ (i >> 12) as u8)
        .collect()
}

/// A client: takes `takes` bytes, then its connection breaks; acknowledges all but `unread` of
/// what it took.
pub(super) struct Client {
    pub(super) body: Vec<u8>,
    takes: u64,
    unread: u64,
}

impl Client {
    pub(super) fn patient() -> Self {
        Self::taking(u64::MAX)
    }

    pub(super) fn taking(takes: u64) -> Self {
        Self {
            body: Vec::new(),
            takes,
            unread: 0,
        }
    }

    /// Lets everything into the socket and acknowledges only `acknowledged` bytes of it.
    pub(super) fn deaf_after(acknowledged: u64, of: u64) -> Self {
        Self {
            unread: of - acknowledged,
            ..Self::patient()
        }
    }
}

impl Output for Client {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.takes - self.body.len() as u64).unwrap_or(usize::MAX);
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn send_file(&mut self, _: &File, _: u64, _: u64) -> io::Result<()> {
        unreachable!("a store in memory has no files")
    }

    fn settle(&mut self) -> u64 {
        (self.body.len() as u64).saturating_sub(self.unread)
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) use crate::model::Permissions;
pub(super) use std::ops::Range;

pub(super) const MIB: usize = 1 << 20;

/// Whether somebody else has it, and it may come back.
pub(super) fn busy<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Busy(wait)) if wait.as_secs() > 0)
}

/// Whether it is unknown, or over: nobody can tell.
pub(super) fn gone<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::NotFound))
}

impl World {
    /// Everything that is in the store.
    pub(super) fn stored_bytes(&self) -> Vec<u8> {
        use crate::store::Store;
        let mut all = Vec::new();
        for id in self.blobs() {
            let blob = self.store.open(&id).unwrap();
            let mut bytes = vec![0; usize::try_from(blob.size()).unwrap()];
            blob.read_exact_at(&mut bytes, 0).unwrap();
            all.extend(bytes);
        }
        all
    }
}
