//! One fault after the other, at each operation of a story: first the story is told once and its
//! operations are counted, then it is told again with the first, the second and each later one
//! failing.

use crate::seen::{Seen, delete, listed};
use crate::support::{Injector, Server, Upload, Uploaded, opener};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What writes to files, and what makes it durable.
const CALLS: &str = "write,writev,pwrite64,pwritev,fallocate,ftruncate,fdatasync,fsync,sync_file_range,renameat2,unlinkat,mkdirat";
/// More than that are stepped through evenly: each takes a part of a second, and often a start.
const MOST: usize = 60;

/// What went wrong, by the words of the table.
#[derive(Default)]
struct Wrong(BTreeMap<&'static str, Vec<String>>);

impl Wrong {
    fn unless(&mut self, holds: bool, words: &'static str, details: impl FnOnce() -> String) {
        let list = self.0.entry(words).or_default();
        if !holds {
            list.push(details());
        }
    }
}

/// How the story went: what the client was told.
struct Told {
    upload: u16,
    file: Option<Uploaded>,
    delete: Option<u16>,
}

/// An upload, and its deletion.
fn story(server: &Server) -> Told {
    let upload = Upload::fresh(200_000).downloads(0);
    let reply = upload.attempt(server).ok().filter(|r| r.whole);
    let status = reply.as_ref().map_or(0, |r| r.status());
    let file = reply.filter(|_| status == 200);
    let file = file.map(|reply| upload.acknowledged(&reply));
    Told {
        upload: status,
        delete: file.as_ref().map(|file| delete(server, file)),
        file,
    }
}

/// How many calls each thread made, and how many of them failed on purpose.
fn counted(record: &Path) -> (usize, usize) {
    let text = std::fs::read_to_string(record).unwrap();
    let mut threads: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.contains(" resumed>")) {
        if let Some((thread, _)) = line.split_once(' ') {
            *threads.entry(thread).or_default() += 1;
        }
    }
    let most = threads.values().copied().max().unwrap_or(0);
    (most, text.matches("(INJECTED)").count())
}

pub fn write_and_sync(seen: &mut Seen) {
    let home = tempfile::tempdir().unwrap();
    let record = home.path().join("calls");
    let mut wrong = Wrong::default();
    // strace counts for each thread. So the writing thread of the database has a series of its own,
    // in which nothing that came before it has failed.
    for of_database in [false, true] {
        let mut server = Server::demo();
        let bystander = Upload::fresh(50_000).downloads(0).to(&server);
        let database = of_database.then(|| opener::database(&server.dir));
        let attach = |server: &Server, fault: Option<&str>| {
            let only = database.as_deref();
            let injector = Injector::record(server.pid(), only, CALLS, fault, &record);
            injector.expect("strace attaches")
        };
        let injector = attach(&server, None);
        let told = story(&server);
        assert_eq!((told.upload, told.delete), (200, Some(200)));
        drop(injector);
        let (operations, _) = counted(&record);
        let step = operations.div_ceil(MOST).max(1);
        eprintln!("eio_everywhere: {operations} operations, every {step}. of them");
        let (mut met, mut ends) = (0, 0);
        // A story may take a few calls more or less than the one that was counted: the last is the
        // first in which nothing was left to fail.
        for n in (1..2 * operations).step_by(step) {
            let what = |told: &Told| {
                format!(
                    "{of_database} {n}: upload {} delete {:?}",
                    told.upload, told.delete
                )
            };
            let injector = attach(&server, Some(&format!("error=EIO:when={n}")));
            let told = story(&server);
            // A process that ends has told its clients so before.
            let failed = told.upload != 200 || told.delete != Some(200);
            let patience = if failed { 300 } else { 0 };
            let ended = server.ends_within(Duration::from_millis(patience));
            drop(injector);
            let (_, injected) = counted(&record);
            if injected == 0 {
                let well = told.upload == 200 && told.delete == Some(200);
                let most = (n - 1) * 2 > operations;
                wrong.unless(well && most, "met each", || what(&told));
                break;
            }
            met += 1;
            let code = ended.and_then(|status| status.code());
            let well = ended.is_none() || code == Some(74);
            wrong.unless(well, "goes on, or ends with 74", || format!("{ended:?}"));
            ends += usize::from(ended.is_some());
            // Whatever it thinks: what is on the disk counts.
            let again = server.try_restart_as(server.launch().clone());
            wrong.unless(again.is_ok(), "starts again", || format!("{again:?}"));
            if again.is_err() {
                break;
            }
            let list = listed(&server);
            let others: Vec<&String> = list.iter().filter(|id| **id != bystander.id).collect();
            let whole = others.iter().all(|id| {
                let key = format!("apikey: {}", server.key);
                let target = format!("/api/files/download/{id}");
                server.download(&target, &[&key]).1.is_some()
            });
            wrong.unless(whole, "none is half", || what(&told));
            if let Some(file) = &told.file {
                let there = others.contains(&&file.id);
                // A deletion that failed may have happened. One that found nothing must not be.
                let kept = match told.delete {
                    Some(404) => false,
                    Some(200) => true,
                    _ => !there || server.delivers(file),
                };
                wrong.unless(kept, "an acknowledged upload is whole", || what(&told));
                let gone = told.delete != Some(200) || !there;
                wrong.unless(gone, "an acknowledged deletion lasts", || what(&told));
            }
            wrong.unless(server.delivers(&bystander), "the rest whole", || {
                what(&told)
            });
            let after = story(&server);
            wrong.unless(after.upload == 200, "upload 200", || what(&after));
            wrong.unless(after.delete == Some(200), "delete 200", || what(&after));
            for id in others {
                server.api("DELETE", "/api/files/delete", &[&format!("id: {id}")]);
            }
        }
        eprintln!("eio_everywhere: {met} failed, and {ends} times the process ended");
    }
    for words in [
        "met each",
        "an acknowledged upload is whole",
        "none is half",
        "an acknowledged deletion lasts",
        "goes on, or ends with 74",
        "starts again",
        "the rest whole",
        "upload 200",
        "delete 200",
    ] {
        let list = wrong.0.get(words);
        let holds = list.is_some_and(Vec::is_empty);
        seen.holds(words, holds, format!("{list:?}"));
    }
}
