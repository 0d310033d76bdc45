//! Files that come in chunks to a server whose files go into a bucket: over kills between chunks and in the middle of
//! one, beside an upload that is dead, and without anybody who goes on with them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;
use support::{
    Blobs, Chunks, Conn, Launch, MIB, S3Server, Server, Upload, command, files_below, get, opener,
    within,
};
use tempfile::TempDir;

/// How long the server may take to notice something, or to have cleared up.
const NOTICED: Duration = Duration::from_secs(180);
const NEW_FILES: &str = "[storage]\nkind = \"s3\"\n";
/// No segment and no part ends where these do.
const UNALIGNED: u64 = 5_300_001;

struct World {
    server: Server,
    s3: S3Server,
    home: TempDir,
}

impl World {
    fn start(test: &str) -> Option<Self> {
        let s3 = S3Server::start(test)?;
        let home = tempfile::tempdir().unwrap();
        let settings = s3.daemon_settings(home.path(), S3Server::SECRET, NEW_FILES);
        let server = Server::launched(Launch::with_settings(&settings));
        let world = Self { server, s3, home };
        world.becomes_ready();
        Some(world)
    }

    fn becomes_ready(&self) {
        let address = self.server.address;
        let ready = within(NOTICED, || get(address, "/ready", &[]).status() == 200);
        assert!(ready, "{}", self.server.log());
    }

    fn kill(&mut self) {
        self.server.kill();
        self.s3.age();
        self.server.restart();
        self.becomes_ready();
    }

    /// What the storage has beside whole objects: a file for each multipart upload, and for each of its parts.
    fn unfinished(&self, of: &str) -> usize {
        let entries = std::fs::read_dir(self.s3.home()).unwrap().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(of)).count()
    }

    fn objects(&self) -> usize {
        let names = files_below(&self.s3.bucket()).into_iter();
        // The owner's mark stays.
        names.filter(|name| !name.ends_with("mayfly-owner")).count()
    }

    /// Bytes that wait on the local disk for a bucket.
    fn waits(&self) -> u64 {
        let incoming = Blobs::in_dir(&self.server.dir).incoming;
        let size = |path: &std::path::PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
        incoming.iter().map(size).sum()
    }

    /// Waits until nothing is left but so many objects.
    fn has_nothing_but(&self, objects: usize) {
        let mut left = (0, 0, 0, Vec::new());
        let clean = within(NOTICED, || {
            left = (
                self.objects(),
                self.unfinished(".upload"),
                opener::rows(&self.server.dir, "multiparts").len(),
                Blobs::in_dir(&self.server.dir).incoming,
            );
            left == (objects, 0, 0, Vec::new())
        });
        assert!(clean, "{left:?}\n{}", self.server.log());
    }

    /// Runs a command of the program on this server.
    fn told(&self, arguments: &[&str], input: &str) -> String {
        let mut child = command()
            .args(arguments)
            .arg("--config")
            .arg(self.server.settings_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without having read it.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }
}

#[test]
fn chunks_go_on_after_kills_between_and_within_them_and_the_dead_upload_beside_them_is_ended() {
    let Some(mut world) = World::start("chunks into a bucket over kills") else {
        return;
    };
    let file = Chunks::fresh(40 * MIB + 12_345, UNALIGNED, "0123-456789-abcdef");
    assert_eq!(file.count(), 8);
    file.send(&world.server, 3);
    file.send(&world.server, 0);
    assert_eq!(world.unfinished(".upload-"), 1);
    // Somebody else's, in one request, is in the middle of its second part.
    let dead = Upload::fresh(20 * MIB);
    let mut conn = world.server.connect();
    dead.send_on(&mut conn, &world.server.key, Some(17 * MIB))
        .unwrap();
    let both = within(NOTICED, || world.unfinished(".upload-") == 2);
    assert!(both, "{}", world.server.log());
    world.kill();
    drop(conn);
    // The sweep of the start ends that one, and spares the one whose chunks wait.
    let one = within(NOTICED, || world.unfinished(".upload-") == 1);
    assert!(one, "{}", world.server.log());

    file.send(&world.server, 6);
    // In the middle of a chunk, whose bytes do not wait for a part to be whole.
    let before = world.waits();
    let mut conn = Conn::open(world.server.address).unwrap();
    file.send_on(&mut conn, &world.server.key, 1, Some(3 * MIB))
        .unwrap();
    let comes = within(NOTICED, || world.waits() > before + MIB);
    assert!(comes, "{}", world.server.log());
    world.kill();
    drop(conn);
    // What had come of it is there, and nothing else can take its place.
    let mut other = Chunks::fresh(file.payload.size(), file.each, &file.uuid);
    let reply = other.attempt(&world.server, &world.server.key, 1).unwrap();
    assert_eq!(reply.status(), 409, "{}", reply.text());
    other.uuid = "another-0123456789".to_owned();
    for number in [1, 7, 2] {
        file.send(&world.server, number);
        other.send(&world.server, number);
    }
    world.kill();
    let gap = file.complete(&world.server, &world.server.key).unwrap();
    let bytes = format!("bytes {} to {}", 4 * UNALIGNED, 6 * UNALIGNED - 1);
    assert!(gap.text().contains(&bytes), "{}", gap.text());
    file.send(&world.server, 5);
    // As one whose answer was lost.
    file.send(&world.server, 0);
    world.kill();
    file.send(&world.server, 4);
    for number in [0, 3, 4, 5, 6] {
        other.send(&world.server, number);
    }
    let (link, another) = (file.link(&world.server), other.link(&world.server));
    world.kill();
    assert!(
        file.come_back(&world.server, &link),
        "{}",
        world.server.log()
    );
    assert!(
        other.come_back(&world.server, &another),
        "{}",
        world.server.log()
    );
    world.has_nothing_but(2);
    for link in [&link, &another] {
        let id = format!("id: {link}");
        world.server.api("DELETE", "/api/files/delete", &[&id]);
    }
    world.has_nothing_but(0);
}

#[test]
fn nothing_stays_of_chunks_whose_account_is_removed_also_where_the_bucket_left_the_settings() {
    for bucket_leaves in [false, true] {
        let Some(mut world) = World::start("chunks into a bucket that nobody goes on with") else {
            return;
        };
        let added = world.told(&["user", "add", "guest"], "a long password\n");
        let key = added.lines().find_map(|line| line.strip_prefix("API_KEY="));
        let key = key.unwrap_or_else(|| panic!("{added}"));
        let file = Chunks::fresh(20 * MIB, UNALIGNED, "0123-456789-abcdef");
        for number in [0, 2] {
            let reply = file.attempt(&world.server, key, number).unwrap();
            assert_eq!(reply.status(), 200, "{}", reply.text());
        }
        assert!(world.waits() > 0);
        assert_eq!(world.unfinished(".upload-"), 1);
        // While another chunk comes in: that one is refused, and nothing ends.
        let mut conn = Conn::open(world.server.address).unwrap();
        file.send_on(&mut conn, key, 1, Some(MIB)).unwrap();
        world.told(&["user", "remove", "guest", "--yes"], "");
        let with_bucket = world.server.launch().clone();
        world.server.kill();
        drop(conn);
        world.s3.age();
        if bucket_leaves {
            let disk = Launch::with_settings("min_free_space = 0\n");
            world.server.restart_as(disk);
            let gone = within(NOTICED, || {
                Blobs::in_dir(&world.server.dir).incoming.is_empty()
            });
            assert!(gone, "{}", world.server.log());
            assert_eq!(world.unfinished(".upload-"), 1, "nobody asked the bucket");
            world.server.stop(NOTICED);
        }
        world.server.restart_as(with_bucket);
        world.becomes_ready();
        world.has_nothing_but(0);
        drop(world.home);
    }
}
