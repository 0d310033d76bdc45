//! The socket against clients that are slow, loud or foreign, and the order of its coming and going.

use super::wire::LINE_MAX;
use super::*;
use crate::metadata::RedbMetadata;
use crate::model::{Secret, SystemClock, Timekeeper};
use crate::service::{Encryption, Parts, Policy, Service};
use crate::store::{MemoryStore, WaitingFiles};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Server {
    dir: tempfile::TempDir,
    socket: Option<AdminSocket>,
}

impl Server {
    fn start() -> Self {
        Self::with_patience(Duration::from_secs(20))
    }

    fn with_patience(patience: Duration) -> Self {
        let parts = Parts {
            metadata: Arc::new(RedbMetadata::in_memory().unwrap()),
            store: Arc::new(MemoryStore::new(None)),
            waiting: WaitingFiles::open(&std::env::temp_dir(), 0).unwrap(),
            clock: Arc::new(Timekeeper::unquestioned(Arc::new(SystemClock::new()))),
            server_key: Secret::new([1; 32]),
            master_key: None,
            on_fatal: Arc::new(|_| {}),
        };
        let policy = Policy {
            encryption: Encryption::Link,
            max_file_size: 1 << 20,
            dedup: true,
            lease: Duration::from_secs(600),
            unlock: Duration::from_secs(300),
            password_cost: (8, 1),
            max_downloads: None,
            max_days: None,
        };
        let service = Arc::new(Service::new(parts, policy));
        service.add_account("admin", "correct horse").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = place(dir.path(), None);
        let socket =
            AdminSocket::with_patience(service, None, &path, dir.path(), patience).unwrap();
        Self {
            dir,
            socket: Some(socket),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(SOCKET)
    }

    /// Sends bytes and takes the answer to its end.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).unwrap();
        // It may hang up before it has everything.
        let _refused = stream.write_all(bytes);
        let _hung_up = stream.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _reset = stream.read_to_string(&mut answer);
        answer
    }

    fn answers(&self) -> bool {
        let list = Request::ListUsers { after: None };
        matches!(ask(&self.path(), &list), Ok(Answer::Users(users)) if users.len() == 1)
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_answered() {
    let server = Server::start();
    for wrong in [
        "\n",
        "nonsense\n",
        "{}\n",
        "\"ListUsers\"\n",
        "{\"ListUsers\":{\"after\":-1}}\n",
        "{\"ListUsers\":{\"after\":null,\"more\":1}}\n",
        "{\"RevokeKey\":{\"id\":\"a\",\"id\":\"b\"}}\n",
    ] {
        let answer = server.send(wrong.as_bytes());
        assert!(answer.contains("does not understand"), "{wrong}: {answer}");
        assert!(answer.ends_with('\n'));
    }
    let deep = "[".repeat(100_000) + "\n";
    assert!(server.send(deep.as_bytes()).contains("does not understand"));
    assert_eq!(
        server.send(b"{\"ListUsers\":{\"after\":null}}"),
        "",
        "no end of line"
    );
    assert_eq!(server.send(&vec![b'x'; LINE_MAX + 10]), "", "too long");
    assert!(server.answers());
}

#[test]
fn a_client_that_says_nothing_is_given_up_and_the_next_one_is_served() {
    let server = Server::with_patience(Duration::from_millis(200));
    let silent = UnixStream::connect(server.path()).unwrap();
    let mut slow = UnixStream::connect(server.path()).unwrap();
    slow.write_all(b"{").unwrap();
    let began = Instant::now();
    assert!(server.answers(), "after the others are given up");
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut rest = String::new();
    (&silent).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the connection is closed");
}

#[test]
fn a_client_that_goes_before_its_answer_does_no_harm() {
    let server = Server::start();
    for _ in 0..20 {
        let mut stream = UnixStream::connect(server.path()).unwrap();
        stream
            .write_all(b"{\"ListUsers\":{\"after\":null}}\n")
            .unwrap();
        drop(stream);
    }
    assert!(server.answers());
}

#[test]
fn many_at_once_are_served_one_after_the_other() {
    let server = Server::start();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| server.answers())).collect();
        assert!(clients.into_iter().all(|client| client.join().unwrap()));
    });
}

#[test]
fn it_ends_while_somebody_is_connected_and_leaves_nothing() {
    let mut server = Server::start();
    let mut stream = UnixStream::connect(server.path()).unwrap();
    stream
        .write_all(b"{\"ListUsers\":{\"after\":null}}\n")
        .unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("admin"));
    let began = Instant::now();
    server.socket.take();
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(!server.path().exists());
    let list = Request::ListUsers { after: None };
    assert!(matches!(
        ask(&server.path(), &list),
        Err(AskError::Absent(_))
    ));
}

#[test]
fn long_listings_come_in_pages() {
    let server = Server::start();
    let add = |name: &str| Request::AddUser {
        name: name.to_owned(),
        password: Hidden(zeroize::Zeroizing::new("correct horse".to_owned())),
        admin: false,
    };
    for n in 0..150 {
        let answer = ask(&server.path(), &add(&format!("user {n}"))).unwrap();
        assert!(matches!(answer, Answer::NewUser { .. }));
    }
    let (mut seen, mut after) = (Vec::new(), None);
    while let Ok(Answer::Users(page)) = ask(&server.path(), &Request::ListUsers { after }) {
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        assert!(page.len() <= 64);
        seen.extend(page.into_iter().map(|user| user.id));
    }
    assert_eq!(seen, (1..=151).collect::<Vec<_>>());
}
