//! Quotas: the disk has plenty, and refuses.

use crate::seen::{Seen, delete};
use crate::support::{Injector, Launch, QuotaDisk, Server, Upload, Uploaded, within};
use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

/// Uploads, and notes the status and whether the answer names the quota.
fn refused(seen: &mut Seen, server: &Server) {
    let reply = Upload::fresh(50_000).attempt(server).unwrap();
    seen.status("upload", reply.status());
    let text = reply.text();
    seen.holds("says so", text.contains("quota"), text);
}

fn ready_again(seen: &mut Seen, name: &str, server: &Server) {
    let ready = || server.get("/ready").status() == 200;
    seen.holds(name, within(Duration::from_secs(10), ready), server.log());
}

/// Takes all that is left.
fn while_there_is_room(file: &mut File) {
    for size in [1 << 20, 1 << 16, 1 << 12] {
        let piece = vec![7; size];
        while file.write_all(&piece).is_ok() {}
    }
}

pub fn used_up(seen: &mut Seen) {
    let disk = QuotaDisk::mount(64).unwrap();
    let (data, others) = (disk.path().join("data"), disk.path().join("others"));
    let settings = "min_free_space = \"1 MiB\"\n";
    let launch = Launch::with_settings(settings).keeping_data_in(&data);
    let mut server = Server::launched(launch);
    let kept = Upload::fresh(1 << 20).downloads(0).to(&server);
    let small: Vec<Uploaded> = (0..6)
        .map(|_| Upload::fresh(1 << 16).downloads(0).to(&server))
        .collect();
    // Open all the time: under a quota no new file can be made.
    let mut filler = File::create(&others).unwrap();
    while_there_is_room(&mut filler);
    let about = rustix::fs::statvfs(&others).unwrap();
    assert!(
        about.f_bavail * about.f_frsize > 256 << 20,
        "not by a quota"
    );
    refused(seen, &server);
    seen.nothing_staged("nothing staged", &server);
    seen.whole("download", &server, &kept);
    let mut statuses = Vec::new();
    let mut log = String::new();
    for (n, file) in small.iter().enumerate() {
        while_there_is_room(&mut filler);
        if n == 3 {
            assert!(server.figures().runs(), "{}", server.log());
            log = server.log();
            server.kill();
            server.restart();
            while_there_is_room(&mut filler);
        }
        statuses.push(delete(&server, file));
    }
    let name = "each delete 200, after a restart too";
    let all = statuses.iter().all(|status| *status == 200);
    seen.holds(name, all, format!("{statuses:?} {}", server.log()));
    let used = log.contains("kept aside for deletions is in use now");
    seen.holds("what was kept aside was used", used, log);
    while_there_is_room(&mut filler);
    seen.upload("upload", &server, &Upload::fresh(50_000));
    drop(filler);
    fs::remove_file(&others).unwrap();
    ready_again(seen, "ready again", &server);
    seen.upload("upload", &server, &Upload::fresh(1 << 20));
    seen.holds("no start but that", server.figures().runs(), server.log());
}

pub fn refuses_all(seen: &mut Seen) {
    let server = Server::demo();
    let kept = Upload::fresh(1 << 20).downloads(0).to(&server);
    let [first, second] = [1, 2].map(|_| Upload::fresh(1 << 16).downloads(0).to(&server));
    // The write is refused once, as long as the ballast is there; each wish for a new one always.
    let faults = [
        ("pwrite64", "error=EDQUOT:when=1"),
        ("fallocate", "error=EDQUOT"),
    ];
    let injector = Injector::attach_all(server.pid(), None, &faults).unwrap();
    seen.delete(&server, &first);
    seen.delete(&server, &second);
    refused(seen, &server);
    seen.nothing_staged("nothing staged", &server);
    seen.whole("download", &server, &kept);
    seen.note(match server.get("/ready").status() {
        503 => "not ready".to_owned(),
        other => format!("/ready {other}"),
    });
    seen.same_process(&server);
    drop(injector);
    ready_again(seen, "after it: ready again", &server);
    seen.delete(&server, &second);
    seen.upload("upload", &server, &Upload::fresh(1 << 20));
}
