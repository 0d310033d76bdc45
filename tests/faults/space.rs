//! No space: uploads are refused, everything else goes on, and nothing has to be started again.

use crate::seen::Seen;
use crate::support::{Launch, Server, SmallDisk, Upload, within};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

fn serve_on(disk: &SmallDisk, min_free: &str) -> Server {
    let settings = format!("min_free_space = \"{min_free}\"\n");
    let data = disk.path().join("data");
    Server::launched(Launch::with_settings(&settings).keeping_data_in(&data))
}

/// What has to go on while there is no space, and after some was freed.
fn others_go_on(seen: &mut Seen, server: &Server, kept: &crate::support::Uploaded) {
    seen.nothing_staged("nothing staged", server);
    seen.whole("download", server, kept);
    seen.delete(server, kept);
}

fn refused(seen: &mut Seen, upload: &Upload) {
    let disk = SmallDisk::mount("size=24m").unwrap();
    let server = serve_on(&disk, "1 MiB");
    let kept = Upload::fresh(4 << 20).downloads(0).to(&server);
    seen.upload("upload", &server, upload);
    others_go_on(seen, &server, &kept);
    let later = Upload::fresh(6 << 20).downloads(0);
    seen.upload("upload after it", &server, &later);
    seen.same_process(&server);
}

pub fn declared(seen: &mut Seen) {
    refused(seen, &Upload::fresh(60 << 20));
}

pub fn undeclared(seen: &mut Seen) {
    refused(seen, &Upload::fresh(60 << 20).chunked());
}

/// Fills a file system to the last byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 1 << 12] {
        let piece = vec![7; size];
        while file.write_all(&piece).is_ok() {}
    }
}

pub fn taken_by_others(seen: &mut Seen) {
    // Large enough for the server to keep something aside.
    let disk = SmallDisk::mount("size=200m").unwrap();
    let server = serve_on(&disk, "1 MiB");
    let kept = Upload::fresh(1 << 20).downloads(0).to(&server);
    let [first, second] = [1, 2].map(|_| Upload::fresh(1 << 16).downloads(0).to(&server));
    let fillers = [disk.path().join("others"), disk.path().join("more")];
    fill(&fillers[0]);
    seen.upload("upload", &server, &Upload::fresh(50_000));
    seen.nothing_staged("nothing staged", &server);
    seen.whole("download", &server, &kept);
    seen.note(match server.get("/ready").status() {
        503 => "not ready".to_owned(),
        other => format!("/ready {other}"),
    });
    seen.delete(&server, &first);
    fill(&fillers[1]);
    seen.note("filled again");
    seen.delete(&server, &second);
    seen.whole("download", &server, &kept);
    for filler in &fillers {
        fs::remove_file(filler).unwrap();
    }
    let ready = within(Duration::from_secs(5), || {
        server.get("/ready").status() == 200
    });
    seen.holds("ready again", ready, "after 5 s");
    seen.delete(&server, &second);
    seen.upload("upload", &server, &Upload::fresh(1 << 20));
    seen.same_process(&server);
}

pub fn at_start(seen: &mut Seen) {
    let disk = SmallDisk::mount("size=200m").unwrap();
    let mut server = serve_on(&disk, "1 MiB");
    let kept = Upload::fresh(1 << 20).downloads(0).to(&server);
    let [first, second] = [1, 2].map(|_| Upload::fresh(1 << 16).downloads(0).to(&server));
    let fillers = [disk.path().join("others"), disk.path().join("more")];
    fill(&fillers[0]);
    seen.delete(&server, &first);
    fill(&fillers[1]);
    server.kill();
    server.restart();
    seen.whole("download after a restart", &server, &kept);
    seen.delete(&server, &second);
    for filler in &fillers {
        fs::remove_file(filler).unwrap();
    }
    seen.delete(&server, &second);
    seen.upload("upload", &server, &Upload::fresh(1 << 20));
}

pub fn inodes(seen: &mut Seen) {
    let disk = SmallDisk::mount("size=64m,nr_inodes=60").unwrap();
    let server = serve_on(&disk, "1 MiB");
    let kept = Upload::fresh(100_000).downloads(0).to(&server);
    let others = disk.path().join("others");
    fs::create_dir(&others).unwrap();
    let full = (0..200).find(|n| File::create(others.join(n.to_string())).is_err());
    assert!(full.is_some(), "the limit has no effect");
    seen.upload("upload", &server, &Upload::fresh(100_000));
    others_go_on(seen, &server, &kept);
    fs::remove_dir_all(&others).unwrap();
    seen.upload("upload after it", &server, &Upload::fresh(100_000));
    seen.same_process(&server);
}
