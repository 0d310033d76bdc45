//! Writes and syncs that fail, lie, are cut short, are refused, or take their time.

use crate::seen::{Seen, listed};
use crate::support::{
    Blobs, Injector, Launch, LoopDisk, Server, Upload, Uploaded, opener, preload, within,
};
use std::path::Path;
use std::time::{Duration, Instant};

/// A server with one file that no fault may touch.
fn with_bystander() -> (Server, Uploaded) {
    let server = Server::demo();
    let bystander = Upload::fresh(50_000).downloads(0).to(&server);
    (server, bystander)
}

fn attach(server: &Server, only: Option<&Path>, calls: &str, fault: &str) -> Injector {
    Injector::attach(server.pid(), only, calls, fault).expect("strace attaches")
}

pub fn eio_in_blob(seen: &mut Seen) {
    // A thread's first write may be anything; the file is larger than a piece, so some write of it
    // is among the first few. The upload that meets one is the sight.
    let (server, bystander) = with_bystander();
    let mut status = 200;
    for n in 1..=6 {
        // Counts are for each thread, and each upload has a thread of its own.
        let injector = attach(
            &server,
            None,
            "write,pwrite64",
            &format!("error=EIO:when={n}"),
        );
        let upload = Upload::fresh(2 << 20).downloads(0);
        let reply = upload.attempt(&server);
        drop(injector);
        status = reply.map_or(0, |r| r.status());
        if status != 200 || !server.figures().runs() {
            break;
        }
        for id in listed(&server).iter().filter(|id| **id != bystander.id) {
            server.api("DELETE", "/api/files/delete", &[&format!("id: {id}")]);
        }
    }
    seen.status("upload", status);
    seen.nothing_staged("nothing staged", &server);
    let list = listed(&server);
    seen.holds(
        "nothing listed",
        list == [bystander.id.clone()],
        list.len() - 1,
    );
    seen.whole("download", &server, &bystander);
    seen.upload("upload after it", &server, &Upload::fresh(100_000));
    seen.same_process(&server);
}

pub fn eio_in_sync_of_blob(seen: &mut Seen) {
    let (mut server, bystander) = with_bystander();
    // The first sync of the thread that receives an upload is that of its bytes.
    let injector = attach(&server, None, "fdatasync", "error=EIO:when=1");
    let upload = Upload::fresh(100_000).downloads(0);
    seen.upload("upload", &server, &upload);
    // The count is for each thread: the database may meet the fault as well.
    let ended = server.ends_within(Duration::from_secs(4));
    drop(injector);
    let gone = ended.is_some_and(|status| status.code() == Some(74));
    server.restart();
    let nothing = listed(&server) == [bystander.id.clone()];
    seen.holds(
        "after it: ends with 74, or nothing is listed",
        nothing && (gone || ended.is_none()),
        format!("{ended:?}"),
    );
    seen.whole("download", &server, &bystander);
    seen.upload("upload", &server, &Upload::fresh(100_000));
    seen.nothing_staged("nothing staged", &server);
}

/// A commit that fails: its outcome is unknown, so the process ends, and the next one finds out.
fn database_fails(seen: &mut Seen, calls: &str) {
    let mut sights = Vec::new();
    for n in 1..=4 {
        let mut seen = Seen::default();
        let (mut server, bystander) = with_bystander();
        let database = opener::database(&server.dir);
        let injector = attach(
            &server,
            Some(&database),
            calls,
            &format!("error=EIO:when={n}"),
        );
        let upload = Upload::fresh(100_000).downloads(0);
        let acknowledged = seen.upload("upload", &server, &upload);
        if n > 1
            && let Some(file) = acknowledged
        {
            // The upload takes fewer calls than that.
            drop(injector);
            assert!(server.delivers(&file));
            break;
        }
        let ended = server.ends_within(Duration::from_secs(10));
        drop(injector);
        seen.note(match ended.and_then(|s| s.code()) {
            Some(code) => format!("ends with {code}"),
            None => format!("NO end ({ended:?})"),
        });
        let log = server.log();
        let told = log.contains("outcome") && log.contains("start again");
        seen.holds("says what to do", told, &log);
        server.restart();
        // Whatever is listed opens.
        let whole = listed(&server).iter().all(|id| {
            let key = format!("apikey: {}", server.key);
            let target = format!("/api/files/download/{id}");
            server.download(&target, &[&key]).1.is_some()
        });
        seen.holds("after a restart: whole or absent", whole, server.log());
        seen.whole("download", &server, &bystander);
        seen.upload("upload", &server, &Upload::fresh(100_000));
        sights.push(seen.to_string());
    }
    sights.dedup();
    seen.note(sights.join(" | "));
}

pub fn eio_in_database(seen: &mut Seen) {
    database_fails(seen, "pwrite64");
}

pub fn eio_in_sync_of_database(seen: &mut Seen) {
    database_fails(seen, "fdatasync,fsync");
}

/// Stands between the program and the C library: writes to files take a third of their bytes.
const SHORT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>
static size_t part(int fd, size_t n) {
    struct stat s;
    if (n < 2 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) return n;
    return n / 3 + 1;
}
ssize_t write(int fd, const void *b, size_t n) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return next(fd, b, part(fd, n));
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) {
    ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return next(fd, b, part(fd, n), at);
}
"#;

pub fn short(seen: &mut Seen) {
    let home = tempfile::tempdir().unwrap();
    let library = preload::compiled(home.path(), "short", SHORT);
    let launch = Launch::default().with("LD_PRELOAD", library.to_str().unwrap());
    let mut server = Server::launched(launch);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.pid())).unwrap();
    assert!(maps.contains("short.so"), "the library is not loaded");
    let upload = Upload::fresh(1_000_000).downloads(0);
    if let Some(file) = seen.upload("upload", &server, &upload) {
        seen.whole("download", &server, &file);
        server.restart_as(Launch::default());
        let got = server.delivers(&file);
        seen.holds("whole after a restart", got, server.log());
    }
}

pub fn lying(seen: &mut Seen) {
    // Nothing of what is written is there, and the program is told that one byte is. Nobody can
    // notice that at once; what counts is that no wrong byte ever goes out.
    let (mut wrong, mut silent) = (Vec::new(), Vec::new());
    for (only_database, calls) in [(false, "write"), (true, "pwrite64")] {
        for n in 1..=5 {
            let (mut server, bystander) = with_bystander();
            let database = only_database.then(|| opener::database(&server.dir));
            let fault = format!("retval=1:when={n}");
            let injector = attach(&server, database.as_deref(), calls, &fault);
            let upload = Upload::fresh(300_000).downloads(0);
            let acknowledged = upload
                .attempt(&server)
                .ok()
                .filter(|r| r.whole && r.status() == 200)
                .map(|r| upload.acknowledged(&r));
            drop(injector);
            let files: Vec<&Uploaded> = acknowledged.iter().chain([&bystander]).collect();
            for restarted in [false, true] {
                if restarted && let Err(e) = server.try_restart_as(Launch::default()) {
                    // A page that nobody wrote may make the database unreadable.
                    let told = e.log.contains("mayfly: ") && e.log.contains("backup");
                    if !only_database || !told || e.code != Some(74) {
                        silent.push(format!("{calls} {n}: {} {}", e.why, e.log));
                    }
                    break;
                }
                for file in &files {
                    let (status, got) = server.download(&file.target(), &[]);
                    if status == 200 && got.is_some_and(|got| got != file.sha256) {
                        wrong.push(format!("{calls} {n}"));
                    }
                }
            }
        }
    }
    seen.holds("never wrong bytes", wrong.is_empty(), wrong.join(", "));
    let told = "starts, or says what is damaged";
    seen.holds(told, silent.is_empty(), silent.join(", "));
}

pub fn read_only(seen: &mut Seen) {
    let disk = LoopDisk::mount(64).unwrap();
    let data = disk.path().join("data");
    let launch = Launch::with_settings("min_free_space = \"1 MiB\"\n").keeping_data_in(&data);
    let mut server = Server::launched(launch);
    let kept = Upload::fresh(300_000).downloads(0).to(&server);
    let other = Upload::fresh(30_000).downloads(0).to(&server);
    assert!(disk.fail(), "the error cannot be triggered");
    seen.whole("download", &server, &kept);
    seen.upload("upload", &server, &Upload::fresh(100_000));
    seen.delete(&server, &other);
    seen.note(match server.get("/ready").status() {
        503 => "not ready".to_owned(),
        status => format!("/ready {status}"),
    });
    seen.same_process(&server);
    server.kill();
    assert!(disk.unmount() && disk.mount_again(), "it mounts again");
    server.restart();
    seen.upload("after a remount: upload", &server, &Upload::fresh(100_000));
    seen.delete(&server, &other);
    seen.whole("download", &server, &kept);
}

pub fn read_only_start(seen: &mut Seen) {
    let disk = LoopDisk::mount(64).unwrap();
    let data = disk.path().join("data");
    let launch = Launch::with_settings("min_free_space = \"1 MiB\"\n").keeping_data_in(&data);
    let mut server = Server::launched(launch);
    let kept = Upload::fresh(300_000).downloads(0).to(&server);
    server.kill();
    let mount = disk.path().to_str().unwrap().to_owned();
    for (options, remedy) in [("ro", "may be failing"), ("bind,ro", "ReadWritePaths=")] {
        assert!(disk.remount(options), "{options}");
        match server.try_restart_as(server.launch().clone()) {
            Ok(()) => seen.note("NO end"),
            Err(refused) => {
                seen.note(match refused.code {
                    Some(code) => format!("ends with {code}"),
                    None => format!("NO end ({})", refused.why),
                });
                let remount = format!("remount,rw {mount}");
                let told = [&remount, remedy].iter().all(|w| refused.log.contains(*w));
                seen.holds("names mount and remedy", told, refused.log);
            }
        }
        assert!(disk.remount("bind,rw") && disk.remount("rw"), "{options}");
    }
    let unit = include_str!("../../systemd/mayfly.service");
    let prevents = |line: &str| {
        let codes = line.strip_prefix("RestartPreventExitStatus=");
        codes.is_some_and(|codes| codes.split(' ').any(|code| code == "78"))
    };
    let never = unit.lines().any(prevents);
    seen.holds("the unit does not try it for ever", never, "");
    server.restart();
    seen.upload("after a remount: upload", &server, &Upload::fresh(100_000));
    seen.whole("download", &server, &kept);
}

pub fn slow(seen: &mut Seen) {
    let (server, bystander) = with_bystander();
    let injector = attach(&server, None, "fdatasync,fsync", "delay_enter=3s");
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| {
            let mut own = Seen::default();
            let began = Instant::now();
            own.upload("upload", &server, &Upload::fresh(100_000));
            assert!(began.elapsed() > Duration::from_secs(3), "nothing was slow");
            own.to_string()
        });
        let staged = || !Blobs::in_dir(&server.dir).incoming.is_empty();
        assert!(within(Duration::from_secs(10), staged), "it has begun");
        let meanwhile = server.delivers(&bystander) && !upload.is_finished();
        seen.holds("others download meanwhile", meanwhile, "");
        let probe = server.probe();
        let fast = probe.is_some_and(|t| t < Duration::from_secs(1));
        seen.holds("health < 1 s", fast, format!("{probe:?}"));
        seen.note(upload.join().unwrap());
    });
    drop(injector);
    seen.same_process(&server);
}
