//! A database of the first schema, brought to today's: killed or failing at each write of the start.
//!
//! `schema1.txt` holds the rows and files of a data directory as the first release made it; the
//! database is built from them anew for each case.

use crate::seen::Seen;
use crate::support::{Launch, Payload, Server, Upload, under};
use redb::{Database, TableDefinition};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Lines of words: `table NAME`, `row NAME KEY VALUE`, `file PATH BYTES`, `link ID SEED SIZE`, all
/// bytes in hexadecimal digits. The secrets in it are of a server that never was.
const SCHEMA_1: &str = include_str!("schema1.txt");

/// Calls that change the database, in the order of interest.
const CALLS: [&str; 4] = ["pwrite64", "fdatasync", "fsync", "ftruncate"];
/// Most calls of one kind that are gone through.
const MOST: u32 = 60;

struct Link {
    id: String,
    payload: Payload,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().collect();
    let pairs = digits.chunks(2).map(|p| std::str::from_utf8(p).unwrap());
    pairs.map(|p| u8::from_str_radix(p, 16).unwrap()).collect()
}

/// Makes the data directory; returns the links in it.
fn build(dir: &Path) -> Vec<Link> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    let database = Database::create(dir.join("mayfly.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut links = Vec::new();
    for line in SCHEMA_1.lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["table", name] => {
                let table: TableDefinition<&[u8], &[u8]> = TableDefinition::new(name);
                transaction.open_table(table).unwrap();
            }
            ["row", name, key, value] => {
                let table: TableDefinition<&[u8], &[u8]> = TableDefinition::new(name);
                let mut table = transaction.open_table(table).unwrap();
                let (key, value) = (unhex(key), unhex(value));
                table.insert(&key[..], &value[..]).unwrap();
            }
            ["file", path, bytes] => {
                let path = dir.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, unhex(bytes)).unwrap();
            }
            ["link", id, seed, size] => links.push(Link {
                id: id.to_owned(),
                payload: Payload::new(seed.parse().unwrap(), size.parse().unwrap()),
            }),
            _ => panic!("schema1.txt: {line}"),
        }
    }
    transaction.commit().unwrap();
    links
}

/// A stopped server whose directory is made anew before each case.
struct Old {
    server: Server,
    links: Vec<Link>,
}

impl Old {
    fn new() -> Self {
        let mut server = Server::demo();
        server.kill();
        let links = build(&server.dir);
        // The key in the fixture is from now on the server's.
        server.restart();
        server.kill();
        Self { server, links }
    }

    /// Starts on the old database with a fault, and ends again what has started.
    fn start_with(&mut self, calls: &str, fault: &str) -> Result<(), crate::support::Refused> {
        build(&self.server.dir);
        let database = self.server.dir.join("mayfly.redb");
        let launch = Launch {
            prefix: under(Some(&database), calls, fault),
            ..Launch::default()
        };
        let result = self.server.try_restart_as(launch);
        if result.is_ok() {
            self.server.stop(Duration::from_secs(30));
        }
        result
    }

    fn all_whole(&self) -> bool {
        self.links.iter().all(|link| {
            let target = format!("/downloadFile?id={}", link.id);
            self.server.download(&target, &[]) == (200, Some(link.payload.sha256()))
        })
    }
}

pub fn killed(seen: &mut Seen) {
    let mut old = Old::new();
    let mut kills = 0;
    let (mut not_started, mut not_whole) = (Vec::new(), Vec::new());
    for calls in CALLS {
        for n in 1..=MOST {
            let fault = format!("signal=SIGKILL:when={n}");
            if old.start_with(calls, &fault).is_ok() {
                break;
            }
            kills += 1;
            if let Err(e) = old.server.try_restart_as(Launch::default()) {
                not_started.push(format!("{calls} {n}: {}", e.log));
            } else if !old.all_whole() {
                not_whole.push(format!("{calls} {n}"));
            }
        }
    }
    eprintln!("migration: {kills} kills");
    assert!(
        kills >= 4,
        "only {kills} points: the calls have other names"
    );
    build(&old.server.dir);
    // Without the fault that the last start did not come to.
    old.server.restart_as(Launch::default());
    let list = not_started.join(", ");
    seen.holds("starts after each", not_started.is_empty(), list);
    seen.holds("download whole", not_whole.is_empty(), not_whole.join(", "));
    seen.nothing_staged("nothing staged", &old.server);
    let later = Upload::fresh(5000).downloads(0).to(&old.server);
    let there = old.server.delivers(&later);
    seen.holds("an upload made after it is whole", there, old.server.log());
}

pub fn failing(seen: &mut Seen) {
    let mut old = Old::new();
    let (mut silent, mut not_started, mut not_whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut failures = 0;
    for calls in CALLS {
        for n in 1..=MOST {
            let fault = format!("error=EIO:when={n}");
            match old.start_with(calls, &fault) {
                Ok(()) => break,
                Err(e) => {
                    failures += 1;
                    let told = e.log.lines().any(|l| l.starts_with("mayfly: "));
                    if !told || e.code != Some(74) {
                        silent.push(format!("{calls} {n}: {:?} {}", e.code, e.log));
                    }
                }
            }
            if let Err(e) = old.server.try_restart_as(Launch::default()) {
                not_started.push(format!("{calls} {n}: {}", e.log));
            } else if !old.all_whole() {
                not_whole.push(format!("{calls} {n}"));
            }
        }
    }
    eprintln!("migration: {failures} failures");
    let told = "refused with a message, or served";
    seen.holds(told, silent.is_empty() && failures > 0, silent.join(", "));
    let list = not_started.join(", ");
    seen.holds("starts after each", not_started.is_empty(), list);
    seen.holds("download whole", not_whole.is_empty(), not_whole.join(", "));
}
