//! Crashes under a mixed load: several clients upload, delete, download, change and let end, until
//! the power is cut or the process is killed. After each start everything is compared with what
//! was acknowledged.

use crate::oracle::{Fate, Known, Oracle, Unanswered, listing, now, upload};
use crate::seen::Seen;
use crate::support::{
    Blobs, Conn, Dice, Launch, LoopDisk, Payload, Server, fetch, slow, stranger, within,
};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients at once.
const CLIENTS: u64 = 6;
/// Files that each client keeps at most.
const FILES: usize = 8;
/// After how many rounds the stored files are counted: the walk over them begins seconds after a
/// start.
const COUNT: u64 = 20;

fn rounds(full: u64, usual: u64, few: u64) -> u64 {
    match std::env::var("MAYFLY_FAULT_ROUNDS") {
        Ok(word) if word == "full" => full,
        Ok(word) => word.parse().unwrap(),
        Err(_) if slow() => usual,
        Err(_) => few,
    }
}

struct Client {
    number: u64,
    dice: Dice,
    oracle: Oracle,
    uploads: u64,
}

/// How a call ended for its client.
enum Heard {
    Status(u16),
    /// The connection broke.
    Nothing,
}

impl Client {
    fn new(number: u64) -> Self {
        Self {
            number,
            dice: Dice::new(0x9E37_79B9_7F4A_7C15 ^ (number + 1)),
            oracle: Oracle::default(),
            uploads: 0,
        }
    }

    /// One call. False when there was no answer.
    fn act(&mut self, server: &Server) -> Result<bool, String> {
        let open: Vec<usize> = (0..self.oracle.files.len())
            .filter(|n| self.oracle.files[*n].fate == Fate::There)
            .collect();
        let one = (!open.is_empty()).then(|| {
            let n = self.dice.roll(open.len() as u64);
            open[usize::try_from(n).unwrap()]
        });
        let heard = match (self.dice.roll(100), one) {
            (0..40, _) | (_, None) if open.len() < FILES => self.upload(server)?,
            (40..55, Some(n)) => self.delete(server, n),
            (55..80, Some(n)) => return self.download(server, n),
            (80..92, Some(n)) => self.change(server, n),
            (92.., Some(n)) => self.end(server, n),
            (_, Some(n)) => self.delete(server, n),
            (_, None) => return Ok(true),
        };
        match heard {
            Heard::Status(200) => Ok(true),
            Heard::Nothing => Ok(false),
            Heard::Status(status) => Err(format!("client {} got {status}", self.number)),
        }
    }

    fn upload(&mut self, server: &Server) -> Result<Heard, String> {
        let size = match self.dice.roll(10) {
            0 => 0,
            1..=7 => self.dice.roll(60_000),
            _ => self.dice.roll(600_000),
        };
        // Now and then the bytes of a file that is there: both share what is stored.
        let shared = self.oracle.files.first().filter(|_| size % 5 == 0);
        let seed = shared.map(|k| (k.file.size, k.file.json["seed"].as_u64()));
        let (size, seed) = match seed {
            Some((size, Some(seed))) => (size, seed),
            _ => (size, self.number << 40 | self.uploads),
        };
        let payload = Payload::new(seed, size);
        let limit = self.dice.roll(4);
        let name = format!("{}-{}.bin", self.number, self.uploads);
        self.uploads += 1;
        let upload = upload(&name, &payload, limit);
        let reply = upload.attempt(server).ok().filter(|r| r.whole);
        match reply {
            Some(reply) if reply.status() == 200 => {
                let mut file = upload.acknowledged(&reply);
                file.json = serde_json::json!({ "seed": seed });
                self.oracle.files.push(Known::new(file, limit));
                Ok(Heard::Status(200))
            }
            Some(reply) => Err(format!("upload: {} {}", reply.status(), reply.text())),
            None => {
                self.oracle.unanswered.push(Unanswered {
                    name,
                    payload,
                    limit,
                });
                Ok(Heard::Nothing)
            }
        }
    }

    /// A call of the owner on a file.
    fn call(&self, server: &Server, n: usize, method: &str, path: &str, lines: &[&str]) -> Heard {
        let key = format!("apikey: {}", server.key);
        let id = format!("id: {}", self.oracle.files[n].file.id);
        let mut all = vec![key.as_str(), id.as_str(), "Content-Length: 0"];
        all.extend_from_slice(lines);
        let reply = fetch(server.address, method, path, &all);
        match reply {
            Ok(reply) if reply.whole => Heard::Status(reply.status()),
            _ => Heard::Nothing,
        }
    }

    fn delete(&mut self, server: &Server, n: usize) -> Heard {
        self.oracle.files[n].fate = Fate::Either;
        let heard = self.call(server, n, "DELETE", "/api/files/delete", &[]);
        match heard {
            Heard::Status(200) => self.oracle.files[n].fate = Fate::Gone,
            // What was used up or has ended is not there to be deleted.
            Heard::Status(404) if self.may_be_over(n) => {
                self.oracle.files[n].fate = Fate::Gone;
                return Heard::Status(200);
            }
            _ => {}
        }
        heard
    }

    fn may_be_over(&self, n: usize) -> bool {
        let known = &self.oracle.files[n];
        known.ends.is_some_and(|at| now() >= at) || (known.limit > 0 && known.begun >= known.limit)
    }

    /// As a stranger, who may give up half way.
    fn download(&mut self, server: &Server, n: usize) -> Result<bool, String> {
        let gives_up = self.dice.roll(4) == 0;
        if !self.oracle.files[n].allowed.is_empty() {
            return Ok(true);
        }
        self.oracle.files[n].begun += 1;
        let over = self.may_be_over(n);
        let known = &mut self.oracle.files[n];
        let Ok(mut conn) = Conn::open_from(stranger(), server.address) else {
            return Ok(false);
        };
        if conn.ask("GET", &known.file.target(), &[]).is_err() {
            return Ok(false);
        }
        let Ok(head) = conn.head() else {
            return Ok(false);
        };
        match head.status {
            200 if gives_up => return Ok(true),
            200 => {}
            // Others have what is left, or had it.
            429 | 404 if over || known.limit > 0 => return Ok(true),
            status => return Err(format!("a stranger got {status}")),
        }
        let mut got = ring::digest::Context::new(&ring::digest::SHA256);
        if !conn.body(&head, |piece| got.update(piece)) {
            return Ok(false);
        }
        known.whole += 1;
        match crate::support::hex(got.finish().as_ref()) == known.file.sha256 {
            true => Ok(true),
            false => Err("wrong bytes".to_owned()),
        }
    }

    /// Another number of downloads, of a file that nobody downloads.
    fn change(&mut self, server: &Server, n: usize) -> Heard {
        let allowed = 100 + self.dice.roll(100);
        let known = &mut self.oracle.files[n];
        if known.limit > 0 || known.begun > 0 || known.ends.is_some() {
            return Heard::Status(200);
        }
        if known.allowed.is_empty() {
            // What an unlimited link lists.
            known.allowed.insert(0);
        }
        known.allowed.insert(allowed);
        let line = format!("allowedDownloads: {allowed}");
        let lines = [line.as_str(), "originalPassword: true"];
        let heard = self.call(server, n, "PUT", "/api/files/modify", &lines);
        if let Heard::Status(200) = heard {
            self.oracle.files[n].allowed = BTreeSet::from([allowed]);
        }
        heard
    }

    /// An end in a second or two.
    fn end(&mut self, server: &Server, n: usize) -> Heard {
        let known = &mut self.oracle.files[n];
        if known.limit > 0 || known.ends.is_some() || !known.allowed.is_empty() {
            return Heard::Status(200);
        }
        let at = now() + 1 + i64::try_from(self.dice.roll(3)).unwrap();
        known.ends = Some(at);
        let line = format!("expiryTimestamp: {at}");
        let lines = [line.as_str(), "originalPassword: true"];
        let heard = self.call(server, n, "PUT", "/api/files/modify", &lines);
        if let Heard::Status(200) = heard {
            self.oracle.files[n].ends_for_sure = true;
        }
        heard
    }
}

/// Lets the clients work until `crash` has come after so many answers. Returns what went wrong.
fn work(
    server: &Server,
    clients: &mut [Client],
    answers: u64,
    crash: impl FnOnce(),
) -> Vec<String> {
    let crashed = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(|| {
                    while !crashed.load(Ordering::SeqCst) {
                        match client.act(server) {
                            Ok(true) => answered.fetch_add(1, Ordering::SeqCst),
                            Ok(false) if crashed.load(Ordering::SeqCst) => break,
                            Ok(false) => return Some("no answer before the crash".to_owned()),
                            Err(e) => return Some(e),
                        };
                    }
                    None
                })
            })
            .collect();
        let limit = Instant::now() + Duration::from_secs(60);
        while answered.load(Ordering::SeqCst) < answers
            && Instant::now() < limit
            && threads.iter().any(|t| !t.is_finished())
        {
            std::thread::yield_now();
        }
        crashed.store(true, Ordering::SeqCst);
        crash();
        wrong.extend(threads.into_iter().filter_map(|t| t.join().unwrap()));
    });
    wrong
}

/// Compares everything with what the clients know.
fn check(server: &Server, clients: &mut [Client], count: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let listed = listing(server);
    for client in clients.iter_mut() {
        wrong.extend(client.oracle.check(server, &listed));
    }
    let names: BTreeSet<&String> = clients.iter().flat_map(|c| c.oracle.names()).collect();
    let over = |entry: &serde_json::Value| {
        entry["UnlimitedTime"] == false && entry["ExpireAt"].as_i64() <= Some(now())
    };
    let strange = listed
        .iter()
        .filter(|(name, entry)| !names.contains(name) && !over(entry));
    wrong.extend(strange.map(|(name, _)| format!("{name} came back")));
    let staged = Blobs::in_dir(&server.dir).incoming;
    if !staged.is_empty() {
        wrong.push(format!("half files: {staged:?}"));
    }
    if count {
        let stored = || Blobs::in_dir(&server.dir).published.len();
        let ended: usize = clients.iter().map(|client| client.oracle.ended()).sum();
        let few = within(Duration::from_secs(30), || {
            stored() <= listing(server).len() + ended
        });
        if !few {
            wrong.push(format!("{} stored files nobody knows", stored()));
        }
        // Too many at once are taken for the files of another database, and stay.
        if server.log().contains("the database knows nothing of") {
            wrong.push("stored files nobody knows, left alone".to_owned());
        }
    }
    wrong
}

/// The rounds. `crash` ends the server in its way, `repair` does what a machine does by itself when
/// the power is back.
fn crashes(
    seen: &mut Seen,
    launch: Launch,
    rounds: u64,
    crash: impl Fn(&Server),
    repair: impl Fn(&mut Server) -> bool,
) {
    let began = Instant::now();
    let mut server = Server::launched(launch.clone());
    let mut clients: Vec<Client> = (0..CLIENTS).map(Client::new).collect();
    let mut dice = Dice::new(0x2545_F491_4F6C_DD1D);
    let mut wrong = Vec::new();
    let mut repaired = true;
    for round in 1..=rounds {
        let answers = 1 + dice.roll(40);
        let mut found = work(&server, &mut clients, answers, || crash(&server));
        server.kill();
        repaired = repair(&mut server);
        if !repaired {
            wrong.push(format!("round {round}: it does not mount again"));
            break;
        }
        if let Err(e) = server.try_restart_as(launch.clone()) {
            wrong.push(format!("round {round}: no start: {} {}", e.why, e.log));
            repaired = false;
            break;
        }
        let count = round % COUNT == 0 || round == rounds;
        found.extend(check(&server, &mut clients, count));
        wrong.extend(found.into_iter().map(|w| format!("round {round}: {w}")));
        if wrong.len() > 5 {
            break;
        }
    }
    let uploads: u64 = clients.iter().map(|c| c.uploads).sum();
    eprintln!(
        "{rounds} crashes, {uploads} uploads, {:.0} s",
        began.elapsed().as_secs_f32()
    );
    let of = |words: &[&str]| {
        let chosen = wrong
            .iter()
            .filter(|w| words.iter().any(|word| w.contains(word)));
        chosen.cloned().collect::<Vec<_>>().join(", ")
    };
    let (half, back) = (
        of(&["half", "nobody knows"]),
        of(&["came back", "stranger gets"]),
    );
    let others = wrong
        .iter()
        .filter(|w| !half.contains(*w) && !back.contains(*w));
    let others: Vec<String> = others.cloned().collect();
    let whole = others.is_empty();
    seen.holds("acknowledged uploads whole", whole, others.join(", "));
    seen.holds("no half file", half.is_empty(), &half);
    seen.holds("no link came back", back.is_empty(), &back);
    seen.holds("no manual repair", repaired, server.log());
}

pub fn kills(seen: &mut Seen) {
    let kill = |server: &Server| signal(server, Signal::KILL);
    crashes(
        seen,
        Launch::with_settings(""),
        rounds(500, 60, 6),
        kill,
        |_| true,
    );
}

pub fn power_cuts(seen: &mut Seen) {
    let disk = LoopDisk::mount(256).unwrap();
    let data = disk.path().join("data");
    let launch = Launch::with_settings("min_free_space = \"1 MiB\"\n").keeping_data_in(&data);
    let cut = |server: &Server| {
        // A sync that is under way when the file system shuts down would report success.
        signal(server, Signal::STOP);
        let stopped = within(Duration::from_secs(10), || all_stopped(server.pid()));
        assert!(stopped, "the server does not stop");
        assert!(disk.cut(), "the power cannot be cut");
        signal(server, Signal::KILL);
    };
    let repair = |_: &mut Server| disk.unmount() && disk.mount_again();
    crashes(seen, launch, rounds(200, 25, 3), cut, repair);
}

fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether every thread has come to a stop: one in a system call ends that first.
fn all_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}
