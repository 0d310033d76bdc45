//! Files that come in chunks, to a real server from real `curl`: in every order, over SIGKILL and restart, and from
//! whoever should not get at them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{
    Blobs, Launch, MB, MIB, Payload, Server, Shell, figures_say_nothing, have, hex, in_buckets,
    slow, within,
};

const UUID: &str = "0123-456789-abcdef";
const OK: &str = r#"{"result":"OK"}"#;
/// No segment ends where these do.
const UNALIGNED: u64 = 5_000_001 + 300_000;

/// A file cut into chunks, and what sends them.
struct Sender<'a> {
    shell: Shell,
    server: &'a Server,
    payload: Payload,
    chunk: u64,
    uuid: String,
}

impl<'a> Sender<'a> {
    fn new(server: &'a Server, size: u64, chunk: u64) -> Self {
        let shell = Shell::beside(server);
        let payload = Payload::fresh(size);
        let sender = Self {
            shell,
            server,
            payload,
            chunk,
            uuid: UUID.to_owned(),
        };
        for n in 0..sender.count() {
            let from = n * chunk;
            let bytes = sender.payload.part(from, (from + chunk).min(size));
            sender.shell.write(&format!("chunk{n}"), bytes);
        }
        sender
    }

    fn count(&self) -> u64 {
        self.payload.size().div_ceil(self.chunk)
    }

    /// As Gokapi's command line sends a chunk: what it is comes behind it.
    fn command(&self, n: u64, file: &str) -> Command {
        let mut command = self.curl();
        command
            .arg("-F")
            .arg(format!("file=@{file};filename=uploadedfile"))
            .args(["-F", &format!("filesize={}", self.payload.size())])
            .args(["-F", &format!("offset={}", n * self.chunk)])
            .args(["-F", &format!("uuid={}", self.uuid)])
            .arg(format!("{}/api/chunk/add", self.server.url));
        command
    }

    /// The same, with what it is in the address.
    fn direct(&self, n: u64, file: &str) -> Command {
        let mut command = self.curl();
        let size = self.payload.size();
        command.args(["-F", &format!("file=@{file}")]).arg(format!(
            "{}/api/chunk/add?uuid={}&filesize={size}&offset={}",
            self.server.url,
            self.uuid,
            n * self.chunk
        ));
        command
    }

    fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--noproxy", "*", "--max-time", "900"])
            .args(["-H", &format!("apikey: {}", self.server.key)])
            .args(["-H", "Expect:"])
            .current_dir(self.shell.home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    fn send(&self, n: u64) -> String {
        let name = format!("chunk{n}");
        let command = match n % 2 {
            0 => self.command(n, &name),
            _ => self.direct(n, &name),
        };
        said(command)
    }

    fn complete(&self) -> serde_json::Value {
        let size = format!("filesize: {}", self.payload.size());
        let uuid = format!("uuid: {}", self.uuid);
        let lines = [&uuid, "filename: base64:YS5iaW4=", &size];
        let more = ["allowedDownloads: 0", "expiryDays: 0"];
        let lines = [&lines[..], &more].concat();
        self.server.api("GET", "/api/chunk/complete", &lines).json()
    }

    /// Completes, and compares what comes out with what went in.
    fn arrives(&self) {
        let answer = self.complete();
        assert_eq!(answer["Result"], "OK", "{answer}");
        assert_eq!(answer["FileInfo"]["Name"], "a.bin");
        let id = answer["FileInfo"]["Id"].as_str().unwrap();
        let (status, sha256) = self.server.download(&format!("/downloadFile?id={id}"), &[]);
        let whole = self.payload.part(0, self.payload.size());
        let wanted = ring::digest::digest(&ring::digest::SHA256, &whole);
        assert_eq!((status, sha256), (200, Some(hex(wanted.as_ref()))));
    }
}

fn said(mut command: Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn left_out() -> bool {
    !have("curl")
}

#[test]
fn forty_mebibytes_come_in_chunks_in_order_reversed_and_three_at_once() {
    if left_out() {
        return;
    }
    let server = Server::demo();
    for chunk in [6 * MIB, UNALIGNED] {
        let sender = Sender::new(&server, 40 * MIB, chunk);
        (0..sender.count()).for_each(|n| assert_eq!(sender.send(n), OK));
        sender.arrives();
        (0..sender.count())
            .rev()
            .for_each(|n| assert_eq!(sender.send(n), OK));
        sender.arrives();
        std::thread::scope(|scope| {
            for of in 0..3 {
                let sender = &sender;
                scope.spawn(move || {
                    (of..sender.count())
                        .step_by(3)
                        .for_each(|n| assert_eq!(sender.send(n), OK));
                });
            }
        });
        sender.arrives();
    }
    let blobs = Blobs::in_dir(&server.dir);
    assert!(in_buckets() || blobs.published.len() == 6);
    assert_eq!(blobs.incoming.len(), 0, "{:?}", blobs.incoming);
}

#[test]
fn what_cannot_be_is_refused_and_what_was_sent_stays() {
    if left_out() {
        return;
    }
    let server = Server::demo();
    let sender = Sender::new(&server, 13 * MIB, 6 * MIB);
    assert_eq!(sender.send(0), OK);
    assert_eq!(sender.send(0), OK, "sent again");
    sender
        .shell
        .run("cp chunk0 other; printf x | dd of=other conv=notrunc bs=1 seek=3000000 status=none");
    for command in [sender.command(0, "other"), sender.direct(0, "other")] {
        assert!(said(command).contains("\"ErrorCode\":7"));
    }
    sender
        .shell
        .run("head -c 4000000 chunk1 > small; cat chunk1 chunk1 > large");
    for command in [sender.command(1, "small"), sender.direct(1, "small")] {
        assert!(said(command).contains("\"ErrorCode\":11"));
    }
    for command in [sender.command(1, "large"), sender.direct(1, "large")] {
        assert!(said(command).contains("\"ErrorCode\":13"));
    }
    let gap = sender.complete();
    let text = gap["ErrorMessage"].as_str().unwrap();
    assert!(text.contains("bytes 6291456 to 13631487"), "{text}");
    // Another key is another upload, and can neither complete this one nor see it.
    let new = server.api(
        "POST",
        "/api/auth/create",
        &["friendlyName: second", "basicPermissions: true"],
    );
    let key = new.json()["Id"].as_str().unwrap().to_owned();
    let key = format!("apikey: {key}");
    let size = format!("filesize: {}", 13 * MIB);
    let uuid = format!("uuid: {UUID}");
    let lines = [&key[..], &uuid, "filename: x", &size, "Content-Length: 0"];
    let foreign = support::fetch(server.address, "POST", "/api/chunk/complete", &lines).unwrap();
    assert_eq!(foreign.status(), 400);
    assert!(foreign.text().contains("chunk file does not exist"));
    assert_eq!(sender.send(2), OK);
    assert_eq!(sender.send(1), OK);
    sender.arrives();
    assert_eq!(
        sender.complete()["ErrorMessage"],
        "chunk file does not exist"
    );
}

/// Sends slowly, until something of the chunk is in its place.
fn begun(server: &Server, mut command: Command, at: u64) -> Child {
    let child = command.args(["--limit-rate", "1M"]).spawn().unwrap();
    let has_come = || {
        let mut incoming = Blobs::in_dir(&server.dir).incoming.into_iter();
        // Of what goes into a bucket, parts wait; this chunk is what comes last.
        let (assembly, at) = match in_buckets() {
            true => (incoming.next_back(), MIB),
            false => (incoming.next(), at),
        };
        let bytes = assembly.and_then(|path| {
            let mut file = std::fs::File::open(path).ok()?;
            file.seek(SeekFrom::Start(at)).ok()?;
            let mut bytes = [0; 64];
            file.read_exact(&mut bytes).ok()?;
            Some(bytes)
        });
        bytes.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    };
    assert!(within(Duration::from_secs(120), has_come));
    child
}

#[test]
fn what_was_acknowledged_survives_a_kill_in_the_middle_of_a_chunk_and_between_two() {
    if left_out() {
        return;
    }
    let plain = Launch::with_settings("encryption = \"none\"\n");
    for (chunk, launch) in [(6 * MIB, plain), (UNALIGNED, Launch::default())] {
        let mut server = Server::launched(launch);
        let sender = Sender::new(&server, 20 * MIB, chunk);
        assert_eq!(sender.send(1), OK);
        let mut child = begun(&server, sender.direct(2, "chunk2"), 2 * chunk + MIB);
        let (shell, payload) = (sender.shell, sender.payload);
        server.kill();
        let output = child.wait().unwrap();
        assert!(!output.success(), "the chunk was not acknowledged");
        server.restart();
        let sender = Sender {
            shell,
            server: &server,
            payload,
            chunk,
            uuid: UUID.to_owned(),
        };
        let gap = sender.complete()["ErrorMessage"].to_string();
        assert!(gap.contains("bytes 0 to"), "{gap}");
        // What had come of it is there, and nothing else can take its place.
        sender.shell.run(
            "cp chunk2 other; printf x | dd of=other conv=notrunc bs=1 seek=900000 status=none",
        );
        assert!(said(sender.direct(2, "other")).contains("\"ErrorCode\":7"));
        assert_eq!(sender.send(2), OK);
        assert_eq!(sender.send(0), OK);
        let (shell, payload) = (sender.shell, sender.payload);
        server.kill();
        server.restart();
        let sender = Sender {
            shell,
            server: &server,
            payload,
            chunk,
            uuid: UUID.to_owned(),
        };
        assert_eq!(sender.send(0), OK);
        for n in 3..sender.count() {
            assert_eq!(sender.send(n), OK);
        }
        sender.arrives();
        let clean = || Blobs::in_dir(&server.dir).incoming.is_empty();
        assert!(within(Duration::from_secs(60), clean));
    }
}

#[test]
fn sixteen_uploads_at_once_do_not_mix() {
    if left_out() {
        return;
    }
    let server = Server::demo();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let server = &server;
            scope.spawn(move || {
                let mut sender = Sender::new(server, 2 * UNALIGNED, UNALIGNED);
                sender.uuid = format!("{UUID}-{n}");
                assert_eq!(sender.send(n % 2), OK);
                assert_eq!(sender.send(1 - n % 2), OK);
                sender.arrives();
            });
        }
    });
}

/// Sends 16 files of 256 MiB at once: memory stays small, and no byte is written more than `most` times.
fn sixteen(test: &str, direct: bool, most: f64) {
    if left_out() || in_buckets() || figures_say_nothing(test) || !slow() {
        return;
    }
    let server = Server::demo();
    let size = 256 * MIB;
    let source = Sender::new(&server, size, 45 * MIB);
    server.figures().forget_peak();
    let before = server.figures().caused_to_be_written();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (server, source) = (&server, &source);
            scope.spawn(move || {
                let sender = Sender {
                    shell: Shell::beside(server),
                    server,
                    payload: source.payload.clone(),
                    chunk: source.chunk,
                    uuid: format!("{UUID}-{n}"),
                };
                for n in 0..sender.count() {
                    let file = source.shell.path(&format!("chunk{n}"));
                    let file = file.to_str().unwrap();
                    let command = match direct {
                        true => sender.direct(n, file),
                        false => sender.command(n, file),
                    };
                    assert_eq!(said(command), OK);
                }
                assert_eq!(sender.complete()["Result"], "OK");
            });
        }
    });
    let peak = server.figures().peak();
    let written = server.figures().caused_to_be_written() - before;
    let times = written as f64 / (16 * size) as f64;
    let way = if direct { "first" } else { "last" };
    eprintln!(
        "16 x 256 MiB in chunks of 45 MiB that say {way} where they belong: peak {:.1} MB, written {times:.4} times",
        peak as f64 / MB as f64,
    );
    assert!(peak <= 30 * MB, "{peak}");
    assert!(times <= most, "{times}");
}

#[test]
fn sixteen_large_uploads_take_little_memory_and_are_written_once() {
    sixteen("chunks of 16 files of 256 MiB", true, 1.01);
}

#[test]
fn those_that_say_last_where_they_belong_take_no_more_memory() {
    let test = "chunks of 16 files of 256 MiB, as Gokapi's command line sends them";
    sixteen(test, false, 2.01);
}
