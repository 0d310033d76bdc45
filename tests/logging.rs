//! The log of a real server: one line for each event, whatever clients put into it, no secret in
//! any, and nobody waits for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use data_encoding::BASE64;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{Blobs, Conn, Launch, Server, Upload, slow, stranger, within};

/// What can be said in the log, said.
const DEBUG: &str = "download_patience = \"1 s\"\n[log]\nlevel = \"debug\"\n";

/// Words that no line may have: each hostile value carries one.
const MARK: &str = "Xyzzy7";

/// What clients put where names, ids and keys belong.
const HOSTILE: [&str; 9] = [
    "\n2026-01-01T00:00:00Z [INFO] start: forged",
    "\r\n<0>forged",
    "\u{1b}[2J\u{1b}[31m",
    "\u{9b}31m\u{85}",
    "\u{202e}txt.exe\u{2066}",
    "\u{2028}\u{2029}\u{200b}\u{feff}",
    "\" from=192.0.2.66 user=\"",
    "\\\\\0\x07\x7f",
    "%0a%0d%1b${jndi:x}{}%s%n",
];

fn log_of(server: &Server) -> String {
    String::from_utf8(fs::read(server.log_path()).unwrap()).unwrap()
}

/// The lines about `event` with all of these fields.
fn lines<'a>(log: &'a str, event: &str, fields: &[&str]) -> Vec<&'a str> {
    let head = format!("] {event}: ");
    log.lines()
        .filter(|line| {
            line.split_once(&head)
                .is_some_and(|(_, rest)| fields.iter().all(|f| rest.split(' ').any(|w| w == *f)))
        })
        .collect()
}

/// Whether a line is one: time, level, event, and nothing that a terminal obeys.
fn assert_is_a_line(line: &str) {
    let form = || {
        let (time, rest) = line.split_once(' ')?;
        let time = time.len() > 19 && time.ends_with('Z') && time.as_bytes()[10] == b'T';
        let (level, rest) = rest.strip_prefix('[')?.split_once("] ")?;
        let level = ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level);
        let (event, _) = rest.split_once(": ")?;
        let event = event.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        Some(time && level && event)
    };
    assert_eq!(form(), Some(true), "{line:?}");
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!line.chars().any(obeyed), "{line:?}");
}

/// Asks from an address of its own, so that no limit on failures is met.
fn ask_as_stranger(server: &Server, method: &str, target: &str, fields: &[&str]) -> u16 {
    let mut conn = Conn::open_from(stranger(), server.address).unwrap();
    conn.ask(method, target, fields).unwrap();
    conn.head().map_or(0, |head| head.status)
}

fn unlock(server: &Server, id: &str, password: &str) -> u16 {
    let mut conn = Conn::open_from(stranger(), server.address).unwrap();
    let body = format!("password={password}");
    let fields = [
        "Content-Type: application/x-www-form-urlencoded".to_owned(),
        format!("Content-Length: {}", body.len()),
    ];
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    conn.ask("POST", &format!("/d?id={id}"), &fields).unwrap();
    conn.send(&body).unwrap();
    conn.head().map_or(0, |head| head.status)
}

#[test]
fn every_event_has_one_line_and_none_has_a_secret() {
    let mut server = Server::launched(Launch::with_settings(DEBUG));
    let mut secrets = vec![MARK.to_owned(), server.key.clone(), server.admin.1.clone()];
    let name = |n: usize| format!("{MARK}-name-{n}{}.txt", HOSTILE[n].replace('"', ""));

    // Uploads, with names that no head would take and names that the form takes.
    let mut uploads = 0;
    let mut upload = |wish: Upload| {
        let reply = wish.attempt(&server).unwrap();
        if reply.status() != 200 {
            return None;
        }
        uploads += 1;
        let file = wish.acknowledged(&reply);
        secrets.push(file.id.clone());
        Some(file)
    };
    for n in 0..HOSTILE.len() {
        upload(Upload::fresh(100).named(&name(n)).typed("text/plain"));
    }
    let plain = |n: usize| Upload::fresh(1000).named(&format!("{MARK}-plain-{n}.bin"));
    let once = upload(plain(1).downloads(1)).unwrap();
    let many = upload(plain(2).downloads(0)).unwrap();
    let gone = upload(plain(3)).unwrap();
    let late = upload(plain(4)).unwrap();
    let changed = upload(plain(5).downloads(3)).unwrap();
    let due = upload(plain(6)).unwrap();
    let locked = upload(plain(7).downloads(2).password(&format!("{MARK}-password"))).unwrap();
    let image = upload(plain(8).downloads(2).typed("image/png")).unwrap();
    let torn = upload(
        Upload::fresh(20_000_000)
            .named(&format!("{MARK}-torn"))
            .downloads(2),
    );
    let torn = torn.unwrap();
    let damaged = upload(Upload::fresh(77_777).named(MARK).downloads(2)).unwrap();
    let hotlink = image.json["fileInfo"]["hotlinkId"].as_str().unwrap_or("");
    secrets.extend((!hotlink.is_empty()).then(|| hotlink.to_owned()));

    // An upload that breaks off.
    let mut conn = Conn::open(server.address).unwrap();
    let cut = Upload::fresh(1_000_000).named(MARK);
    cut.send_on(&mut conn, &server.key, Some(1000)).unwrap();
    drop(conn);

    // Downloads: the last one, one without a limit, one by the owner, one that breaks off.
    assert!(server.delivers(&once) && server.delivers(&many));
    let own = format!("/api/files/download/{}", many.id);
    assert_eq!(server.api("GET", &own, &[]).status(), 200);
    let mut conn = Conn::open_narrow(server.address, 4096).unwrap();
    conn.ask("GET", &torn.target(), &[]).unwrap();
    let head = conn.head().unwrap();
    secrets.extend(
        head.cookie()
            .and_then(|c| Some(c.split_once('=')?.1.to_owned())),
    );
    drop(conn);

    // What an owner does.
    let by_id = |file: &support::Uploaded| format!("id: {}", file.id);
    assert_eq!(
        server
            .api("DELETE", "/api/files/delete", &[&by_id(&gone)])
            .status(),
        200
    );
    let later = [&*by_id(&late), "delay: 600"];
    assert_eq!(
        server.api("DELETE", "/api/files/delete", &later).status(),
        200
    );
    assert_eq!(
        server
            .api("POST", "/api/files/restore", &[&by_id(&late)])
            .status(),
        200
    );
    let more = [
        &*by_id(&changed),
        "allowedDownloads: 9",
        "originalPassword: true",
    ];
    assert_eq!(server.api("PUT", "/api/files/modify", &more).status(), 200);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let soon = format!("expiryTimestamp: {}", now.unwrap().as_secs() + 1);
    let soon = [&*by_id(&due), &soon, "originalPassword: true"];
    assert_eq!(server.api("PUT", "/api/files/modify", &soon).status(), 200);

    // Failures: keys, users, passwords and ids that are none, and damage.
    let mut keys = 0;
    for hostile in HOSTILE {
        let printable: String = hostile.chars().filter(|c| !c.is_control()).collect();
        let field = format!("apikey: {MARK}{printable}");
        let status = ask_as_stranger(&server, "GET", "/api/files/list", &[&field]);
        keys += usize::from(status == 401);
        let user = BASE64.encode(format!("user{hostile}:{MARK}{hostile}").as_bytes());
        let field = format!("Authorization: Basic {user}");
        let fields = [&*field, "Content-Length: 0"];
        assert_eq!(
            ask_as_stranger(&server, "POST", "/api/auth/create", &fields),
            401
        );
        let encoded: String = hostile.bytes().map(|b| format!("%{b:02x}")).collect();
        let target = format!("/d?id={MARK}{encoded}&q={MARK}");
        assert_eq!(ask_as_stranger(&server, "GET", &target, &[]), 404);
        assert_eq!(
            unlock(&server, &locked.id, &format!("{MARK}{encoded}")),
            403
        );
    }
    let blobs = Blobs::in_dir(&server.dir).published;
    let blob = blobs
        .iter()
        .find(|b| (77_777..90_000).contains(&fs::metadata(b).unwrap().len()));
    fs::write(blob.unwrap(), b"short").unwrap();
    assert!(!server.delivers(&damaged));

    let over = |log: &str| {
        !lines(log, "expired", &["by=time"]).is_empty()
            && lines(log, "download", &["result=broken-off"]).len() == 1
            && lines(log, "upload", &["result=broken-off"]).len() == 1
    };
    let all = within(Duration::from_secs(20), || over(&log_of(&server)));
    server.stop(Duration::from_secs(20));
    let log = log_of(&server);
    assert!(all, "{log}");

    log.lines().for_each(assert_is_a_line);
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret}\n{log}");
    }
    let account = "account=1";
    let expected: [(&str, &[&str], usize); 17] = [
        ("start", &["listening"], 1),
        (
            "upload",
            &["result=complete", account, "stored=own"],
            uploads,
        ),
        ("upload", &["result=broken-off", account], 1),
        (
            "download",
            &["result=complete", "counted=yes", "from=127.0.0.1"],
            2,
        ),
        (
            "download",
            &["result=complete", "counted=no", "from=127.0.0.1"],
            1,
        ),
        ("download", &["result=broken-off", "counted=no"], 1),
        ("expired", &["by=downloads"], 1),
        ("expired", &["by=time"], 1),
        ("deleted", &[account, "delay=0"], 1),
        ("deleted", &[account, "delay=600"], 1),
        ("restored", &[account], 1),
        ("changed", &[account, "what=downloads"], 1),
        ("changed", &[account, "what=expiry"], 1),
        ("login-failed", &["kind=api-key"], keys),
        ("login-failed", &["kind=password"], HOSTILE.len()),
        ("password-wrong", &[], HOSTILE.len()),
        ("stop", &["why=asked"], 1),
    ];
    for (event, fields, count) in expected {
        assert_eq!(
            lines(&log, event, fields).len(),
            count,
            "{event} {fields:?}\n{log}"
        );
    }
    assert!(!lines(&log, "fault", &[]).is_empty(), "{log}");
    assert!(keys >= 7, "{keys}");
    // What a user called himself does not pass for a field.
    assert_eq!(
        lines(&log, "login-failed", &["from=192.0.2.66"]),
        Vec::<&str>::new()
    );
}

/// A server whose standard error is a pipe, and where it listens.
fn server_with_a_pipe(home: &std::path::Path) -> (Child, std::net::SocketAddr) {
    let settings = home.join("mayfly.toml");
    let data = home.join("data");
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n{DEBUG}",
        data.display()
    );
    fs::write(&settings, text).unwrap();
    let mut child = support::command()
        .args(["serve", "--config"])
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut address = None;
    while address.is_none() {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "no start");
        let url = line.trim().strip_prefix("URL=http://");
        address = url.map(|url| url.trim_end_matches('/').parse().unwrap());
    }
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    (child, address.unwrap())
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_request() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, address) = server_with_a_pipe(home.path());
    let stderr = child.stderr.take().unwrap();
    // As small as a pipe can be: it is full after a few lines.
    rustix::pipe::fcntl_setpipe_size(&stderr, 4096).unwrap();

    // Each is a line of a kind that is not limited.
    let requests = 1500;
    let mut times = Vec::new();
    for _ in 0..requests {
        let began = Instant::now();
        let mut conn = Conn::open_from(stranger(), address).unwrap();
        conn.ask("GET", "/d/there-is-none", &["Connection: close"])
            .unwrap();
        assert_eq!(conn.reply().unwrap().status(), 404);
        times.push(began.elapsed());
    }
    times.sort();
    let slowest = times[times.len() * 99 / 100];
    assert!(slowest < Duration::from_secs(1), "p99 {slowest:?}");
    eprintln!("p99 of requests with a full log: {slowest:?}");

    // Now somebody reads: what waited comes, and how many did not fit. The end, too, is told.
    let (tell, told) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        for line in BufReader::new(stderr).lines() {
            let line = line.unwrap();
            if line.contains("dropped=") {
                let _nobody_waits = tell.send(());
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    });
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let log = reading.join().unwrap();
    let written = lines(&log, "debug", &["unknown"]).len();
    let dropped: usize = lines(&log, "log", &[])
        .iter()
        .filter_map(|line| number_after(line, "dropped="))
        .sum();
    assert_eq!(
        written + dropped,
        requests,
        "{written} written, {dropped} dropped"
    );
    assert!(dropped > 0 && written >= 768, "{written} {dropped}");
    assert_eq!(lines(&log, "stop", &[]).len(), 2, "{log}");
    log.lines().for_each(assert_is_a_line);
}

fn number_after(line: &str, key: &str) -> Option<usize> {
    line.split_once(key)?.1.split(' ').next()?.parse().ok()
}

#[test]
fn the_end_does_not_wait_for_ever_for_somebody_to_read() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, address) = server_with_a_pipe(home.path());
    let stderr = child.stderr.take().unwrap();
    rustix::pipe::fcntl_setpipe_size(&stderr, 4096).unwrap();
    for _ in 0..100 {
        let mut conn = Conn::open_from(stranger(), address).unwrap();
        conn.ask("GET", "/api/files/list", &["apikey: wrongwrong"])
            .unwrap();
        assert_eq!(conn.head().unwrap().status, 401);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = within(Duration::from_secs(15), || {
        child.try_wait().unwrap().is_some()
    });
    if !ended {
        let _ = child.kill();
    }
    drop(stderr);
    assert!(ended, "it waits for a reader that never comes");
}

#[test]
fn a_flood_of_failures_is_a_few_lines_and_a_number() {
    let mut server = Server::demo();
    let flood = 400;
    let mut answers = std::collections::BTreeMap::new();
    let mut conn = Conn::open(server.address).unwrap();
    for _ in 0..flood {
        conn.ask("GET", "/api/files/list", &["apikey: wrongwrong"])
            .unwrap();
        *answers.entry(conn.reply().unwrap().status()).or_insert(0) += 1;
    }
    server.stop(Duration::from_secs(20));
    let log = log_of(&server);
    let told = |kind: &str| -> usize {
        let kind = format!("of=\"{kind}\"");
        lines(&log, "log", &[])
            .iter()
            .filter(|line| line.ends_with(&kind))
            .filter_map(|line| number_after(line, "suppressed="))
            .sum()
    };
    let limited = lines(&log, "limit", &["kind=api-key"]).len();
    let failed = lines(&log, "login-failed", &["kind=api-key"]).len();
    assert!((1..=120).contains(&limited), "{limited}\n{log}");
    assert_eq!(
        limited + told("limit: kind=api-key"),
        answers[&429],
        "{log}"
    );
    assert_eq!(
        failed + told("login-failed: kind=api-key"),
        answers[&401],
        "{log}"
    );
}

#[test]
fn a_file_takes_the_log_and_only_its_owner_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mayfly.log");
    let settings = format!("[log]\ntarget = \"file\"\nfile = \"{}\"\n", path.display());
    let mut server = Server::launched(Launch::with_settings(&settings));
    Upload::fresh(10).to(&server);
    // As logrotate does it: the next line makes a new file.
    let moved = home.path().join("moved");
    assert!(within(Duration::from_secs(10), || {
        fs::read_to_string(&path).is_ok_and(|log| log.contains("upload: "))
    }));
    fs::rename(&path, &moved).unwrap();
    server.stop(Duration::from_secs(20));
    let [first, second] = [&moved, &path].map(|p| fs::read_to_string(p).unwrap());
    assert!(!lines(&first, "start", &[]).is_empty() && lines(&first, "stop", &[]).is_empty());
    assert_eq!(lines(&second, "stop", &[]).len(), 2, "{second}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(log_of(&server), "", "nothing on standard error");
}

#[test]
fn the_last_words_do_not_wait_for_a_reader_either() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::io::write(&writer, &[b'x'; 4096]).unwrap();
    let mut child = support::command()
        .args(["serve", "--config"])
        .arg(home.path().join("there-is-none"))
        .stdin(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    let ended = within(Duration::from_secs(15), || {
        child.try_wait().unwrap().is_some()
    });
    if !ended {
        let _ = child.kill();
    }
    assert_eq!(child.wait().unwrap().code(), Some(78));
    drop(reader);
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal");
    let journal = fs::File::create(&path).unwrap();
    let about = journal.metadata().unwrap();
    let stream = format!("{}:{}", about.dev(), about.ino());
    let run = |variable: &str| {
        let log = fs::File::options().append(true).open(&path).unwrap();
        log.set_len(0).unwrap();
        let mut child = support::command()
            .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
            .arg(home.path().join("data"))
            .env("JOURNAL_STREAM", variable)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        let started = within(Duration::from_secs(30), || text().contains("listening on"));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
        assert!(started, "{}", text());
        text()
    };
    let log = run(&stream);
    assert!(log.contains("\n<6>start: version="), "{log}");
    assert!(log.contains("\n<6>stop: stopping why=asked\n"), "{log}");
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");
    // Inherited from somebody whose standard error was the journal; this one's is not.
    let log = run(&format!("{}:{}", about.dev(), about.ino() + 1));
    log.lines().for_each(assert_is_a_line);
}

/// What a process has written, from /proc: bytes to media, bytes altogether, calls.
fn written(pid: u32) -> [u64; 3] {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    ["write_bytes: ", "wchar: ", "syscw: "].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    })
}

#[test]
fn an_idle_server_writes_nothing() {
    if !slow() {
        eprintln!("LEFT OUT: an idle server: takes two minutes, needs MAYFLY_SLOW=1");
        return;
    }
    let minute = Duration::from_secs(62);
    let server = Server::demo();
    let file = Upload::fresh(1000).downloads(0).to(&server);
    assert!(server.delivers(&file));
    // What this left to do is done: the sweep comes every 3 s, counts are written each minute.
    std::thread::sleep(minute);
    let (before, log) = (written(server.pid()), log_of(&server));
    std::thread::sleep(minute);
    let after = written(server.pid());
    let [media, bytes, calls] = [0, 1, 2].map(|n| after[n] - before[n]);
    assert_eq!(log_of(&server), log);
    assert_eq!(media, 0, "bytes to media");
    // Threads wake each other with eight bytes through an eventfd; nothing else is written.
    assert_eq!(bytes, calls * 8, "{calls} calls");
}
