//! The handler as a whole, over the real service: requests from memory, answers into memory.

mod article;
mod chunks;
mod copies;
mod downloads;
mod files;
mod maxima;
mod pages;
mod permissions;
mod uploads;
mod zips;

use super::*;
use crate::http::{Body, BodyLength, Headers, Method, Payload, Sink};
use crate::metadata::RedbMetadata;
use crate::model::{Secret, Timekeeper, Timestamp};
use crate::service::{Encryption, Parts, Policy};
use crate::store::{MemoryStore, WaitingFiles};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::time::Duration;

/// A clock that is turned by hand.
struct Hand(Mutex<i64>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(START + *self.0.lock().unwrap())
    }
    fn elapsed(&self) -> Duration {
        Duration::from_secs(u64::try_from(*self.0.lock().unwrap()).unwrap())
    }
}

const START: i64 = 1_800_000_000;
const BASE: &str = "https://share.example";
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// A server without sockets, with one account.
struct World {
    api: Api,
    clock: Arc<Hand>,
    key: String,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        Self::on(MemoryStore::new(None), change)
    }

    fn on(store: MemoryStore, change: impl FnOnce(&mut ApiSettings)) -> Self {
        Self::built(store, change, |_| ())
    }

    /// Where links may be given so many downloads and days.
    fn with_maxima(downloads: u32, days: u32) -> Self {
        let store = MemoryStore::new(None);
        Self::built(
            store,
            |_| (),
            |policy| {
                policy.max_downloads = Some(downloads);
                policy.max_days = Some(days);
            },
        )
    }

    fn built(
        store: MemoryStore,
        change: impl FnOnce(&mut ApiSettings),
        change_policy: impl FnOnce(&mut Policy),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(Mutex::new(0)));
        let on_fatal: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(|why: &str| panic!("{why}"));
        let mut settings = ApiSettings {
            base_url: BASE.to_owned(),
            default_downloads: 1,
            default_days: 14,
            max_file_size: 1024 * 1024,
            hotlink_protection: false,
            pages: PageSettings::default(),
            secure_cookies: true,
        };
        change(&mut settings);
        let parts = Parts {
            metadata: Arc::new(
                RedbMetadata::create(&dir.path().join("db"), Arc::clone(&on_fatal)).unwrap(),
            ),
            store: Arc::new(store),
            waiting: WaitingFiles::open(&std::env::temp_dir(), 0).unwrap(),
            clock: Arc::new(Timekeeper::unquestioned(
                Arc::clone(&clock) as Arc<dyn Clock>
            )),
            server_key: Secret::new([7; 32]),
            master_key: Some(Secret::new([8; 32])),
            on_fatal,
        };
        let mut policy = Policy {
            encryption: Encryption::Link,
            max_file_size: settings.max_file_size,
            max_downloads: None,
            max_days: None,
            dedup: true,
            lease: Duration::from_secs(600),
            unlock: Duration::from_secs(300),
            password_cost: (8, 1),
        };
        change_policy(&mut policy);
        let service = Arc::new(Service::new(parts, policy));
        service.recover().unwrap();
        let account = service.add_account("admin", "correct horse").unwrap();
        let api = Api::new(
            Arc::clone(&service),
            settings,
            service.clock(),
            Box::new(|| Ok(None)),
        );
        Self {
            api,
            clock,
            key: account.key.key.reveal().to_owned(),
            _dir: dir,
        }
    }

    /// Lets time pass.
    fn wait(&self, seconds: i64) {
        *self.clock.0.lock().unwrap() += seconds;
        self.api.service.sweep().unwrap();
    }

    /// Asks with the API key.
    fn keyed(&self, ask: Ask) -> Answer {
        self.ask(ask.header("apikey", &self.key))
    }

    fn ask(&self, ask: Ask) -> Answer {
        let mut body = Feed {
            length: ask.length,
            bytes: Cursor::new(ask.body),
            read: false,
        };
        let response = self.api.handle(Request {
            head: &ask.head,
            body: &mut body,
        });
        Answer::of(response, &ask.head, ask.takes, body.read)
    }

    /// Uploads a file with these form fields; the answer's `FileInfo`.
    fn upload(&self, name: &str, kind: &str, bytes: &[u8], fields: &[(&str, &str)]) -> Json {
        let answer = self.keyed(form(name, kind, bytes, fields));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["FileInfo"].clone()
    }

    /// Uploads a small text; its id.
    fn text(&self, bytes: &[u8], fields: &[(&str, &str)]) -> String {
        id(&self.upload("a.txt", "text/plain", bytes, fields))
    }
}

type Json = serde_json::Value;

fn id(info: &Json) -> String {
    info["Id"].as_str().unwrap().to_owned()
}

/// A request to be made.
struct Ask {
    head: Head,
    length: BodyLength,
    body: Vec<u8>,
    /// Bytes that the client takes before it goes away.
    takes: usize,
}

fn ask(method: Method, target: &str) -> Ask {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Ask {
        head: Head {
            method,
            path: path.to_owned(),
            query,
            http11: true,
            headers: Headers::default(),
            peer: HOME,
        },
        length: BodyLength::None,
        body: Vec::new(),
        takes: usize::MAX,
    }
}

fn get(target: &str) -> Ask {
    ask(Method::Get, target)
}

impl Ask {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.head.headers.push(name, value);
        self
    }

    fn from(mut self, peer: IpAddr) -> Self {
        self.head.peer = peer;
        self
    }

    fn body(mut self, content_type: &str, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self.length = BodyLength::Exact(bytes.len() as u64);
        self.header("Content-Type", content_type)
    }

    fn takes(mut self, bytes: usize) -> Self {
        self.takes = bytes;
        self
    }
}

/// The form that `curl -F` makes: the file first, then the fields.
fn form(name: &str, kind: &str, bytes: &[u8], fields: &[(&str, &str)]) -> Ask {
    let quoted = name.replace('"', "%22").replace(['\r', '\n'], "%0A");
    let mut body = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{quoted}\"\r\nContent-Type: {kind}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(form_fields(fields).as_bytes());
    body.extend_from_slice(b"--XX--\r\n");
    ask(Method::Post, "/api/files/add").body("multipart/form-data; boundary=XX", &body)
}

fn form_fields(fields: &[(&str, &str)]) -> String {
    fields
        .iter()
        .map(|(name, value)| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        })
        .collect()
}

/// A body in memory that knows whether it was touched.
struct Feed {
    length: BodyLength,
    bytes: Cursor<Vec<u8>>,
    read: bool,
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read = true;
        self.bytes.read(out)
    }
}

impl Body for Feed {
    fn length(&self) -> BodyLength {
        self.length
    }
}

/// A client that takes so many bytes and then is gone.
struct Client {
    taken: Vec<u8>,
    takes: usize,
}

impl Sink for Client {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.takes - self.taken.len();
        self.taken
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }

    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        file.read_exact_at(&mut bytes, offset)?;
        self.write_all(&bytes)
    }

    fn settle(&mut self) -> u64 {
        self.taken.len() as u64
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came back.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The length that a client would be told.
    length: Option<u64>,
    /// Whether the body was sent to its end.
    whole: bool,
    /// Whether the request's body was touched.
    read: bool,
}

impl Answer {
    fn of(response: Response, head: &Head, takes: usize, read: bool) -> Self {
        let mut client = Client {
            taken: Vec::new(),
            takes,
        };
        let (length, sent) = match response.payload {
            Payload::Bytes(bytes) => {
                let length = bytes.len() as u64;
                let sent = if head.method == Method::Head {
                    Ok(())
                } else {
                    client.write_all(&bytes)
                };
                (Some(length), sent)
            }
            Payload::Stream(stream) if head.method == Method::Head => (stream.length, Ok(())),
            Payload::Stream(stream) => {
                let sent = (stream.send)(&mut client);
                if let (Some(length), true) = (stream.length, sent.is_ok()) {
                    assert_eq!(length, client.taken.len() as u64, "promised and sent");
                }
                (stream.length, sent)
            }
        };
        Self {
            status: response.status,
            headers: response.headers,
            body: client.taken,
            length,
            whole: sent.is_ok(),
            read,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(n, _)| *n == name);
        let first = all.next().map(|(_, v)| v.as_str());
        assert!(all.next().is_none(), "{name} comes twice");
        first
    }

    /// Name and value of the cookie that came, as a client would send it back.
    fn cookie(&self) -> Option<&str> {
        self.header("Set-Cookie")?.split(';').next()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Json {
        assert_eq!(
            self.header("Content-Type"),
            Some("application/json; charset=UTF-8")
        );
        assert_eq!(self.header("Cache-Control"), Some("no-store"));
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Status, code and text of a failure of the API.
    fn failure(&self) -> (u16, u64, String) {
        let json = self.json();
        assert_eq!(json["Result"], "error");
        (
            self.status,
            json["ErrorCode"].as_u64().unwrap(),
            json["ErrorMessage"].as_str().unwrap().to_owned(),
        )
    }
}

#[test]
fn the_path_of_an_address_is_found() {
    for (url, path) in [
        ("http://h", ""),
        ("http://h:53842", ""),
        ("https://h/a/b", "/a/b"),
        ("http://[::1]:8/x", "/x"),
    ] {
        assert_eq!(prefix(url), path, "{url}");
    }
}
