//! A bucket that does what a script says: it keeps a few objects in memory, honours ranges and
//! `If-Match`, and cuts, lies and fails when it is told to. Signatures are not looked at.

use mayfly::store::s3::{Credentials, S3Settings};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Without the bucket.
    pub key: String,
    /// First and last byte.
    pub range: Option<(usize, usize)>,
    pub if_match: Option<String>,
    /// How many requests came before.
    pub number: usize,
}

impl Asked {
    /// Bytes asked for.
    pub fn length(&self) -> usize {
        self.range.map_or(0, |(first, last)| last + 1 - first)
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// The right answer.
    Serve,
    /// So many bytes of the right body, then the connection ends.
    Cut(usize),
    /// The right head, with a `Content-Length` and a body that are so many bytes too short.
    Shorter(usize),
    /// The right bytes, said to be so many bytes further on.
    Shifted(usize),
    /// The right bytes with another tag.
    OtherTag,
    /// The whole object with status 200.
    Whole,
    /// An error with this status and code.
    Fail(u16, &'static str),
    /// The connection ends without an answer.
    HangUp,
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

struct Object {
    bytes: Arc<[u8]>,
    tag: String,
}

struct State {
    script: Box<Script>,
    objects: Mutex<BTreeMap<String, Object>>,
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    open: usize,
    ever: usize,
    /// How many a client may have open.
    allowed: usize,
    /// How often there were more.
    too_many: usize,
}

/// The running bucket; its threads end with the connections.
pub struct ScriptedBucket {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl ScriptedBucket {
    /// Starts it.
    pub fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            objects: Mutex::default(),
            asked: Mutex::default(),
            connections: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&serving);
                state.comes();
                std::thread::spawn(move || {
                    // Whoever breaks off is not served on.
                    let _ = state.serve(connection);
                    state.connections.lock().unwrap().open -= 1;
                });
            }
        });
        Self { address, state }
    }

    /// Puts an object there.
    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        self.state.put(key, bytes);
    }

    /// Takes an object away.
    pub fn remove(&self, key: &str) {
        self.state.objects.lock().unwrap().remove(key);
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Connections in all. There were never more at once than the client may have.
    pub fn connections(&self) -> usize {
        let connections = self.state.connections.lock().unwrap();
        assert_eq!(connections.too_many, 0, "more than allowed at once");
        connections.ever
    }

    /// For the one client, with so many requests at once.
    pub fn settings(&self, concurrency: usize) -> S3Settings {
        self.state.connections.lock().unwrap().allowed = concurrency;
        S3Settings {
            endpoint: format!("http://{}", self.address),
            region: "us-east-1".to_owned(),
            bucket: "test".to_owned(),
            prefix: String::new(),
            path_style: true,
            credentials: Credentials {
                key_id: "test-key-id".to_owned().into(),
                secret: "test-secret".to_owned().into(),
                token: None,
            },
            ca_file: None,
            concurrency,
        }
    }
}

impl State {
    fn put(&self, key: &str, bytes: Vec<u8>) {
        let mut objects = self.objects.lock().unwrap();
        let tag = format!("\"{}-{}\"", key, objects.len());
        let bytes = bytes.into();
        objects.insert(key.to_owned(), Object { bytes, tag });
    }

    /// Counts a connection. One that the other end has closed already counts until its thread has
    /// seen that, so a count that is too high has time to fall.
    fn comes(&self) {
        let mut connections = self.connections.lock().unwrap();
        connections.open += 1;
        connections.ever += 1;
        drop(connections);
        let fits = super::within(Duration::from_secs(60), || {
            let connections = self.connections.lock().unwrap();
            connections.open <= connections.allowed
        });
        self.connections.lock().unwrap().too_many += usize::from(!fits);
    }

    fn serve(&self, connection: TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut input = BufReader::new(connection.try_clone()?);
        let mut output = connection;
        while let Some((asked, body)) = self.read(&mut input)? {
            let act = (self.script)(&asked);
            let goes_on = self.answer(&asked, body, act, &mut output)?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, input: &mut impl BufRead) -> io::Result<Option<(Asked, Vec<u8>)>> {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ');
        let mut asked = Asked {
            method: words.next().unwrap_or_default().to_owned(),
            key: words.next().unwrap_or_default().replacen("/test/", "", 1),
            range: None,
            if_match: None,
            number: 0,
        };
        let mut length = 0;
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "if-match" => asked.if_match = Some(value.to_owned()),
                "range" => {
                    let (first, last) = value
                        .strip_prefix("bytes=")
                        .and_then(|range| range.split_once('-'))
                        .unwrap();
                    asked.range = Some((first.parse().unwrap(), last.parse().unwrap()));
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let mut all = self.asked.lock().unwrap();
        asked.number = all.len();
        all.push(asked.clone());
        Ok(Some((asked, body)))
    }

    fn answer(
        &self,
        asked: &Asked,
        body: Vec<u8>,
        act: Act,
        output: &mut TcpStream,
    ) -> io::Result<bool> {
        if let Act::HangUp = act {
            return Ok(false);
        }
        if let Act::Fail(status, code) = act {
            return fail(output, status, code);
        }
        match asked.method.as_str() {
            "PUT" => {
                self.put(&asked.key, body);
                head(output, 200, 0, "")?;
                return Ok(true);
            }
            "DELETE" => {
                self.objects.lock().unwrap().remove(&asked.key);
                head(output, 204, 0, "")?;
                return Ok(true);
            }
            _ => {}
        }
        let found = {
            let objects = self.objects.lock().unwrap();
            let found = objects.get(&asked.key);
            found.map(|object| (Arc::clone(&object.bytes), object.tag.clone()))
        };
        let Some((bytes, tag)) = found else {
            return fail(output, 404, "NoSuchKey");
        };
        if asked.method == "HEAD" {
            head(output, 200, bytes.len(), "")?;
            return Ok(true);
        }
        if asked.if_match.as_ref().is_some_and(|wanted| *wanted != tag) {
            return fail(output, 412, "PreconditionFailed");
        }
        let whole = (0, usize::MAX);
        let (first, last) = asked.range.unwrap_or(whole);
        if first >= bytes.len() {
            return fail(output, 416, "InvalidRange");
        }
        let last = last.min(bytes.len() - 1);
        let part = &bytes[first..=last];
        let range = |shift: usize| {
            format!(
                "Content-Range: bytes {}-{}/{}\r\n",
                first + shift,
                last + shift,
                bytes.len() + shift,
            )
        };
        let tagged = |tag: &str, shift| format!("{}ETag: {tag}\r\n", range(shift));
        match act {
            Act::Cut(most) => {
                head(output, 206, part.len(), &tagged(&tag, 0))?;
                output.write_all(&part[..most.min(part.len())])?;
                return Ok(false);
            }
            Act::Shorter(by) => {
                let part = &part[..part.len().saturating_sub(by)];
                head(output, 206, part.len(), &tagged(&tag, 0))?;
                output.write_all(part)?;
            }
            Act::Shifted(by) => {
                head(output, 206, part.len(), &tagged(&tag, by))?;
                output.write_all(part)?;
            }
            Act::OtherTag => {
                head(output, 206, part.len(), &tagged("\"other\"", 0))?;
                output.write_all(part)?;
            }
            Act::Whole => {
                head(output, 200, bytes.len(), "")?;
                output.write_all(&bytes)?;
            }
            Act::Serve | Act::Fail(..) | Act::HangUp => {
                head(output, 206, part.len(), &tagged(&tag, 0))?;
                output.write_all(part)?;
            }
        }
        Ok(true)
    }
}

fn head(output: &mut impl Write, status: u16, length: usize, more: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\n{more}\r\n");
    output.write_all(head.as_bytes())
}

fn fail(output: &mut impl Write, status: u16, code: &str) -> io::Result<bool> {
    let document = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    head(output, status, document.len(), "")?;
    output.write_all(document.as_bytes())?;
    Ok(true)
}
