//! SIGTERM while transfers run: they may end, for a while, and nothing half stays.

use crate::seen::Seen;
use crate::support::{Conn, Server, Upload, within};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(22);

fn terminate(server: &Server) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

pub fn sigterm(seen: &mut Seen) {
    let mut server = Server::demo();
    // More than all buffers on the way hold, so that the download is still going on.
    let large = Upload::fresh(64 << 20).downloads(0).to(&server);
    let mut download = Conn::open_narrow(server.address, 4096).unwrap();
    download.ask("GET", &large.target(), &[]).unwrap();
    let head = download.head().unwrap();

    let upload = Upload::fresh(5 << 20).downloads(0);
    let mut slow = server.connect();
    upload
        .send_on(&mut slow, &server.key, Some(1 << 20))
        .unwrap();
    let address = server.address;
    let begun = within(Duration::from_secs(5), || {
        !crate::support::Blobs::in_dir(&server.dir)
            .incoming
            .is_empty()
    });
    assert!(begun, "the upload has begun");
    terminate(&server);
    let refuses = within(Duration::from_secs(5), || {
        TcpStream::connect(address).is_err()
    });
    seen.holds("no new connections", refuses, "after 5 s");
    upload.send_rest_on(&mut slow, 1 << 20).unwrap();
    let reply = slow.reply();
    seen.status("upload", reply.as_ref().map_or(0, |r| r.status()));
    let mut got = ring::digest::Context::new(&ring::digest::SHA256);
    let whole = download.body(&head, |piece| got.update(piece));
    let sha256 = crate::support::hex(got.finish().as_ref());
    seen.holds("download whole", whole && sha256 == large.sha256, whole);
    let status = server.ends_within(LIMIT);
    seen.note(match status.and_then(|s| s.code()) {
        Some(code) => format!("ends with {code}"),
        None => "NO end".to_owned(),
    });
    server.restart();
    let file = reply.ok().map(|r| upload.acknowledged(&r));
    let there = file.is_some_and(|f| server.delivers(&f)) && server.delivers(&large);
    seen.holds("after a restart: whole", there, server.log());
}

pub fn sigterm_stuck(seen: &mut Seen) {
    let mut server = Server::demo();
    let large = Upload::fresh(64 << 20).downloads(0).to(&server);
    let mut download = Conn::open_narrow(server.address, 4096).unwrap();
    download.ask("GET", &large.target(), &[]).unwrap();
    download.head().unwrap();
    let mut stuck = server.connect();
    let upload = Upload::fresh(5 << 20);
    upload
        .send_on(&mut stuck, &server.key, Some(1 << 20))
        .unwrap();
    let began = Instant::now();
    terminate(&server);
    let status = server.ends_within(LIMIT + Duration::from_secs(20));
    let took = began.elapsed();
    seen.note(match status.and_then(|s| s.code()) {
        Some(code) => format!("ends with {code}"),
        None => "NO end".to_owned(),
    });
    seen.holds("within 22 s", took < LIMIT, format!("{took:?}"));
    server.restart();
    seen.nothing_staged("nothing staged after a restart", &server);
    seen.whole("download", &server, &large);
}
