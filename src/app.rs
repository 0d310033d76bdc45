//! The composition root: the only file that names every concrete type. Turns settings into a
//! running server, and a running server into an orderly end.
//!
//! Order of a start: data directory and its lock, keys, store, metadata, recovery, first account,
//! server, background work. Nothing is served before everything that an earlier process left behind
//! is accounted for.

mod bucket_watch;
mod data_dir;
mod doctor;
mod doubles;
pub mod durable;
mod error;
mod first_account;
mod first_admin;
mod journal;
mod listening;
mod machine;
mod mover;
mod opened;
mod pages;
mod read_only;
mod readiness;
mod reload;
mod stopped;
mod storage;
mod supervision;

pub use doctor::examine;
pub use error::StartError;
pub use first_account::Usable;
pub use first_admin::{FirstAdmin, Openers, first_admin};
pub use pages::check_pages;
pub use reload::{Load, source as settings_source};
pub use stopped::Stopped;
pub use storage::{
    Finding, Mend, Outcome, Trouble, bucket_endpoint_in, is_temporary_key, try_bucket,
};
pub use supervision::database_probe;

use crate::admin::{self, AdminSocket, Moves};
use crate::api::{Api, ApiSettings};
use crate::config::Settings;
use crate::metadata::{Metadata, MetadataError};
use crate::model::{Clock, MADE, Timekeeper};
use crate::server::Server;
use crate::service::{Policy, Service};
use crate::store::s3::S3Store;
use crate::tasks::notify::{self, Notice};
use crate::tasks::watchdog::Watchdog;
use crate::tasks::{Background, Ending, Endings, Wish};
use bucket_watch::BucketWatch;
use data_dir::DataDir;
use doubles::Doubles;
use machine::Machine;
use mover::Mover;
use opened::Missing;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long running requests may take to end when the database is in doubt: answers that are on
/// their way may leave, nothing else. Else it is [`Settings::drain`].
pub const PATIENCE_IN_DOUBT: Duration = Duration::from_secs(2);

/// Memory and passes of argon2id for new passwords: 12 MiB, three passes (RFC 9106 section 4 asks
/// for more memory than a small machine has to spare; OWASP's list names this one).
const PASSWORD_COST: (u32, u32) = (12 * 1024, 3);

/// A running Mayfly. Dropping it cuts every connection; [`App::stop`] is the polite way.
pub struct App {
    server: Option<Server>,
    admin: Option<AdminSocket>,
    mover: Arc<Mover>,
    background: Option<Background>,
    api: Arc<Api>,
    /// With a service manager only.
    watchdog: Option<Watchdog>,
    reload: reload::Reload,
    /// With a bucket only.
    bucket: Option<BucketWatch>,
    doubles: Option<Doubles>,
    far: Option<Arc<S3Store>>,
    settings: Settings,
    service: Arc<Service>,
    endings: Endings,
    address: SocketAddr,
    url: String,
    first_account: Option<first_account::Kept>,
    /// Held, never used: with it the lock on the directory.
    _data_dir: DataDir,
}

/// Starts a server.
///
/// # Errors
/// [`StartError`], which says what to do. Nothing is left running then.
pub fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<App, StartError> {
    let data_dir = DataDir::lock(&settings.data_dir)?;
    data_dir.refuse_foreign()?;
    let endings = Endings::new();
    let opened = opened::open(
        &settings,
        &data_dir,
        Missing::IsMade,
        &endings.on_fatal(),
        |metadata| timekeeper(clock, &settings.data_dir, metadata),
    )?;
    let (metadata, storage) = (opened.metadata, opened.storage);
    let service = Arc::new(opened.service);
    let ready = || {
        readiness::of(
            &metadata,
            &storage,
            &data_dir.database(),
            &endings,
            &service,
        )
    };
    service.recover().map_err(StartError::Service)?;
    let first_account =
        first_account::ensure(&service, &settings.credentials_file, &settings.account.name)?;

    let listener = listening::listener(settings.listen)?;
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Serve { source })?;
    let url = settings
        .public_url
        .clone()
        .unwrap_or_else(|| local_url(address));
    let api = Arc::new(Api::new(
        Arc::clone(&service),
        api_settings(&settings, &url),
        service.clock(),
        ready(),
    ));
    let server = Server::start(
        listener,
        Arc::<Api>::clone(&api),
        settings.limits.clone(),
        settings.trusted_proxies.clone(),
        endings.on_loss(),
    )
    .map_err(|source| StartError::Serve { source })?;
    let mover = Arc::new(Mover::new(storage.bucket.as_ref(), &metadata));
    let admin = admin_socket(&service, &mover, &settings);
    let background = Background::start(Arc::clone(&service), service.clock())
        .map_err(|source| StartError::Serve { source })?;
    let bucket = storage.bucket.as_ref().map(BucketWatch::start);
    let far = storage.bucket.as_ref().map(|b| Arc::clone(&b.store));
    let bucket = bucket
        .transpose()
        .map_err(|source| StartError::Serve { source })?;
    let doubles = storage.bucket.as_ref();
    let doubles = doubles.map(|bucket| Doubles::start(bucket, &metadata));
    let doubles = doubles
        .transpose()
        .map_err(|source| StartError::Serve { source })?;
    let watchdog = supervision::start(&server, &metadata, ready(), &url)
        .map_err(|source| StartError::Serve { source })?;
    Ok(App {
        server: Some(server),
        admin,
        mover,
        background: Some(background),
        watchdog,
        reload: reload::Reload::default(),
        bucket,
        doubles,
        far,
        settings,
        api,
        service,
        endings,
        address,
        url,
        first_account,
        _data_dir: data_dir,
    })
}

impl App {
    /// What links begin with, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens: with the port that the system chose, if it was to choose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The service, for whoever runs in the same process.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The credentials of the first account, as far as their file is there, after a check of what still
    /// opens it: a key that does not is replaced. Given out once: a long life in memory does secrets
    /// no good.
    ///
    /// # Errors
    /// [`StartError::Credentials`] when nothing in the file opens the account.
    pub fn usable_credentials(&mut self) -> Result<Option<Usable>, StartError> {
        let path = &self.settings.credentials_file;
        let kept = self.first_account.take();
        kept.map(|kept| first_account::check(&self.service, path, kept))
            .transpose()
    }

    /// Forgets the credentials of the first account.
    pub fn forget_credentials(&mut self) {
        self.first_account = None;
    }

    /// Where the wish to end comes from.
    pub fn endings(&self) -> &Endings {
        &self.endings
    }

    /// Says that it is ready, and waits until somebody or something wants it to end. Whenever somebody
    /// wants the settings to be read again, `load` reads them on a thread of its own, however long that
    /// takes: those that are wrong change nothing.
    pub fn wait(&mut self, load: Load) -> Ending {
        let beginning = Notice::Status(supervision::beginning(&self.url));
        notify::tell(&[Notice::Ready, beginning]);
        // Reading settings and opening everything takes much code that is not needed again.
        mayfly_sys::give_back_code();
        loop {
            match self.endings.next(self.reload.look) {
                Some(Wish::End(ending)) => return ending,
                Some(Wish::Reload) => self.begin_reload(&load),
                Some(Wish::Reloaded) => self.end_reload(&load),
                None => self.reload_takes_long(),
            }
        }
    }

    /// Stops accepting, lets running requests end for up to `patience`, and puts everything away.
    /// Returns how many connections had to be cut.
    pub fn stop(mut self, patience: Duration) -> usize {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> usize {
        if let Some(watchdog) = &self.watchdog {
            watchdog.stopping();
            let status = "Stopping: running requests may end".to_owned();
            notify::tell(&[Notice::Stopping, Notice::Status(status)]);
        }
        drop(self.admin.take());
        drop(self.bucket.take());
        drop(self.doubles.take());
        self.mover.stop();
        let far = self.far.take();
        let wake = || far.iter().for_each(|store| store.stop());
        let cut = self
            .server
            .take()
            .map_or(0, |server| server.drain_and(patience, wake));
        far.iter().for_each(bucket_watch::sign_off);
        if let Some(background) = self.background.take() {
            background.begin_no_more();
            // First what must not be lost: a job may wait for a store that hangs.
            if let Err(e) = self.service.flush_counts() {
                log::error!("the last download counts are lost: {e}");
            }
            if let Err(e) = self.service.put_clock_away() {
                log::error!("the time is not kept for the next start: {e}");
            }
            background.stop();
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.stop();
        }
        cut
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// The way in for the commands. Files are served without it, too.
fn admin_socket(
    service: &Arc<Service>,
    mover: &Arc<Mover>,
    settings: &Settings,
) -> Option<AdminSocket> {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    let place = settings
        .admin_socket
        .clone()
        .unwrap_or_else(|| admin::place(&settings.data_dir, runtime.as_deref()));
    let moves = Arc::<Mover>::clone(mover);
    match AdminSocket::start(Arc::clone(service), moves, &place, &settings.data_dir) {
        Ok(socket) => Some(socket),
        Err(e) => {
            log::warn!(
                "no admin socket at {}: {e}. The commands key and user work only while the server is stopped",
                place.display()
            );
            None
        }
    }
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        encryption: settings.encryption,
        max_file_size: settings.max_file_size,
        max_downloads: Some(settings.max_downloads).filter(|n| *n > 0),
        max_days: Some(settings.max_days).filter(|n| *n > 0),
        dedup: settings.dedup,
        lease: settings.lease,
        unlock: settings.unlock,
        password_cost: PASSWORD_COST,
    }
}

fn api_settings(settings: &Settings, url: &str) -> ApiSettings {
    ApiSettings {
        base_url: url.to_owned(),
        default_downloads: settings.default_downloads,
        default_days: settings.default_days,
        max_file_size: settings.max_file_size,
        hotlink_protection: settings.hotlink_protection,
        pages: pages::page_settings(settings),
        secure_cookies: url.starts_with("https://"),
    }
}

/// The clock, with all that is known about it.
fn timekeeper(
    clock: Arc<dyn Clock>,
    data_dir: &Path,
    metadata: &dyn Metadata,
) -> Result<Timekeeper, StartError> {
    let row = match metadata.clock() {
        // As with damage elsewhere: what can be done without it is done.
        Err(MetadataError::Corrupt(what)) => {
            log::error!("{what}: what was known about the clock is lost");
            None
        }
        row => row?,
    };
    let machine = Box::new(Machine::new(data_dir));
    Ok(Timekeeper::new(clock, machine, MADE, row))
}

/// How a visitor on this machine reaches the listener.
fn local_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        log::warn!(
            "links begin with an address that works on this machine only: set public_url to the address that visitors use"
        );
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
        return format!("http://{local}");
    }
    format!("http://{address}")
}
