//! TLS in front of a plain server: takes connections, does the handshake and passes the bytes on.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes that wait on the way.
const PENDING: usize = 64 * 1024;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(600);

/// A TLS server for `localhost` and 127.0.0.1 before another server.
pub struct TlsFront {
    pub address: SocketAddr,
    /// PEM of the authority that signed its certificate.
    pub ca_file: PathBuf,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
}

/// What has passed.
#[derive(Default)]
struct Seen {
    handshakes: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl TlsFront {
    /// Passes on to `behind`; puts the authority's certificate into `home`.
    pub fn before(behind: SocketAddr, home: &Path) -> Self {
        let identity = Identity::of(&["localhost", "127.0.0.1"]);
        Self::with(&identity, behind, home)
    }

    /// The same with another certificate.
    pub fn with(identity: &Identity, behind: SocketAddr, home: &Path) -> Self {
        let config = Arc::clone(&identity.config);
        let ca_file = home.join("ca.pem");
        std::fs::write(&ca_file, &identity.authority).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            ca_file,
            seen: Arc::default(),
            over: Arc::default(),
        };
        let (seen, over) = (Arc::clone(&front.seen), Arc::clone(&front.over));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
                std::thread::spawn(move || {
                    // A connection that breaks is the test's business, not this thread's.
                    let _ = client.and_then(|client| pass(client, behind, config, &seen));
                });
            }
        });
        front
    }

    /// Handshakes that were completed.
    pub fn handshakes(&self) -> usize {
        self.seen.handshakes.load(Ordering::SeqCst)
    }

    /// Method and target of each request so far: `PUT /bucket/key`.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.seen.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// A certificate with its key, ready to serve.
pub struct Identity {
    config: Arc<ServerConfig>,
    /// PEM of who signed it.
    pub authority: String,
}

impl Identity {
    /// A certificate for `names`, signed by an authority made for it.
    pub fn of(names: &[&str]) -> Self {
        Self::made_from(parameters(names))
    }

    /// One that ended long ago.
    pub fn expired(names: &[&str]) -> Self {
        let mut certificate = parameters(names);
        certificate.not_before = rcgen::date_time_ymd(2020, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(2021, 1, 1);
        Self::made_from(certificate)
    }

    /// What `openssl req -x509` makes: signed by itself, and marked as an authority.
    pub fn signed_by_itself(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut certificate = parameters(names);
        certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = certificate.self_signed(&key).unwrap();
        Self {
            config: serving(certificate.der().to_vec(), key.serialize_der()),
            authority: certificate.pem(),
        }
    }

    fn made_from(certificate: CertificateParams) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut authority.distinguished_name;
        name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(authority, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        Self {
            config: serving(certificate.der().to_vec(), key.serialize_der()),
            authority: authority.pem(),
        }
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

fn serving(certificate: Vec<u8>, key: Vec<u8>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate)],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key)),
        )
        .unwrap();
    Arc::new(config)
}

/// Moves bytes both ways until one side ends.
fn pass(
    mut client: TcpStream,
    behind: SocketAddr,
    config: Arc<ServerConfig>,
    seen: &Seen,
) -> io::Result<()> {
    let mut server = TcpStream::connect(behind)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
    }
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let (mut up, mut buffer) = (Vec::new(), vec![0; PENDING]);
    let (mut counted, mut over) = (false, false);
    // The client speaks first, and then only when it was answered.
    let mut answered = true;
    loop {
        if !counted && !tls.is_handshaking() {
            counted = true;
            seen.handshakes.fetch_add(1, Ordering::SeqCst);
        }
        if over && !tls.wants_write() {
            return client.shutdown(Shutdown::Both);
        }
        let mut from_client = PollFlags::empty();
        from_client.set(PollFlags::IN, up.len() < PENDING && !over);
        from_client.set(PollFlags::OUT, tls.wants_write());
        let mut from_server = PollFlags::empty();
        from_server.set(PollFlags::IN, !tls.wants_write() && !over);
        from_server.set(PollFlags::OUT, !up.is_empty() && !over);
        let mut ready = [
            PollFd::new(&client, from_client),
            PollFd::new(&server, from_server),
        ];
        let limit = Timespec::try_from(SILENCE).map_err(io::Error::other)?;
        if poll(&mut ready, Some(&limit))? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        let (at_client, at_server) = (ready[0].revents(), ready[1].revents());
        if tls.wants_write() && !at_client.is_empty() {
            again(tls.write_tls(&mut client))?;
        }
        if from_client.contains(PollFlags::IN) && !at_client.is_empty() {
            let read = again(tls.read_tls(&mut client))?;
            if let Err(e) = tls.process_new_packets() {
                let _ = tls.write_tls(&mut client);
                return Err(io::Error::other(e));
            }
            match again(tls.reader().read(&mut buffer))? {
                Some(plain @ 1..) => {
                    let bytes = &buffer[..plain];
                    if std::mem::take(&mut answered)
                        && let Some(request) = request_in(bytes)
                    {
                        let requests = seen.requests.lock();
                        requests
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(request);
                    }
                    up.extend_from_slice(bytes);
                }
                Some(0) => return server.shutdown(Shutdown::Both),
                _ if read == Some(0) => return server.shutdown(Shutdown::Both),
                _ => {}
            }
        }
        if !up.is_empty()
            && !over
            && let Some(written) = again(server.write(&up))?
        {
            up.drain(..written);
        }
        if from_server.contains(PollFlags::IN) && !at_server.is_empty() {
            match again(server.read(&mut buffer))? {
                Some(0) => {
                    tls.send_close_notify();
                    over = true;
                }
                Some(read) => {
                    answered = true;
                    tls.writer().write_all(&buffer[..read])?;
                }
                None => {}
            }
        }
    }
}

/// Method and target, where a request begins: what follows `100 Continue` is none.
fn request_in(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| *b == b'\r')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    line.strip_suffix(" HTTP/1.1").map(str::to_owned)
}

/// Nothing, when it has to be tried again.
fn again(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}
