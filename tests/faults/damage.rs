//! Bits that rot: in stored files, and in the pages of the database. What goes out is right or
//! nothing; what cannot be read is said.

use crate::seen::{Seen, listed};
use crate::support::{Blobs, Conn, Launch, Payload, Server, Upload, Uploaded, opener};
use std::fs;
use std::path::PathBuf;

/// Header, segment and tag of a stored file, in bytes.
const HEADER: usize = 40;
const SEGMENT: usize = 16 * 1024;
const SEALED: usize = SEGMENT + 16;

/// A server with a stored file to damage, and one to leave alone.
struct Victim {
    server: Server,
    payload: Payload,
    file: Uploaded,
    blob: PathBuf,
    other_blob: PathBuf,
    other: Uploaded,
}

impl Victim {
    /// Ten whole segments and a part of one.
    fn new() -> Self {
        let server = Server::demo();
        let payload = Payload::fresh(10 * SEGMENT as u64 + 1000);
        let other = Upload::fresh(payload.size()).downloads(0).to(&server);
        let other_blob = Blobs::in_dir(&server.dir).published.remove(0);
        let file = Upload::of(&payload).downloads(0).to(&server);
        let mut blobs = Blobs::in_dir(&server.dir).published;
        blobs.retain(|b| *b != other_blob);
        Self {
            blob: blobs.remove(0),
            server,
            payload,
            file,
            other_blob,
            other,
        }
    }

    /// Downloads the damaged file. Returns how many right bytes came, or what was wrong with them.
    fn right_bytes(&self) -> Result<usize, String> {
        let mut conn = Conn::open(self.server.address).unwrap();
        conn.ask("GET", &self.file.target(), &[]).unwrap();
        let Ok(head) = conn.head() else {
            return Ok(0);
        };
        let mut got = Vec::new();
        let whole = conn.body(&head, |piece| got.extend_from_slice(piece));
        if head.status != 200 {
            return Ok(0);
        }
        let right = self.payload.bytes();
        if !right.starts_with(&got) {
            return Err("wrong bytes".to_owned());
        }
        match whole {
            true => Err("taken for whole".to_owned()),
            false => Ok(got.len()),
        }
    }

    /// Damages the file in each of these ways; notes what came of them. With each goes the most
    /// bytes that may come before it is noticed.
    fn check(self, seen: &mut Seen, kind: &str, ways: Vec<(String, Vec<u8>, usize)>) {
        let sound = fs::read(&self.blob).unwrap();
        let count = ways.len();
        let (mut wrong, mut taken, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for (name, damaged, most) in ways {
            fs::write(&self.blob, damaged).unwrap();
            match self.right_bytes() {
                Ok(n) if n <= most => {}
                Ok(n) => late.push(format!("{name}: {n} bytes")),
                Err(e) if e.starts_with("taken") => taken.push(name),
                Err(e) => wrong.push(format!("{name}: {e}")),
            }
        }
        fs::write(&self.blob, &sound).unwrap();
        let server = &self.server;
        seen.holds("never a wrong byte", wrong.is_empty(), wrong.join(", "));
        seen.holds("never whole", taken.is_empty(), taken.join(", "));
        let noticed = count - late.len() - wrong.len() - taken.len();
        seen.holds(
            &format!("{noticed} {kind} noticed"),
            late.is_empty(),
            late.join(", "),
        );
        seen.whole("download of others", server, &self.other);
        assert!(server.delivers(&self.file), "the file is sound again");
        seen.same_process(server);
    }
}

pub fn bits_of_blob(seen: &mut Seen) {
    let victim = Victim::new();
    let sound = fs::read(&victim.blob).unwrap();
    let segments = (sound.len() - HEADER).div_ceil(SEALED);
    let mut ways = Vec::new();
    for segment in 0..segments {
        let mut damaged = sound.clone();
        let start = HEADER + segment * SEALED;
        let length = SEALED.min(sound.len() - start);
        damaged[start + (segment * 7919) % length] ^= 1 << (segment % 8);
        let name = format!("segment {segment}");
        ways.push((name, damaged, segment * SEGMENT));
    }
    let mut damaged = sound.clone();
    damaged[HEADER / 2] ^= 1;
    ways.push(("header".to_owned(), damaged, 0));
    victim.check(seen, "flips", ways);
}

pub fn shape_of_blob(seen: &mut Seen) {
    let victim = Victim::new();
    let sound = fs::read(&victim.blob).unwrap();
    let other = fs::read(&victim.other_blob).unwrap();
    let at = |segment: usize| HEADER + segment * SEALED;
    let segment = |n: usize| sound[at(n)..at(n + 1)].to_vec();
    let with = |place: usize, bytes: &[u8]| {
        let mut changed = sound.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let swapped = |a: usize, b: usize| {
        let mut changed = with(at(a), &segment(b));
        changed[at(b)..at(b) + SEALED].copy_from_slice(&segment(a));
        changed
    };
    let cut = |by: usize| sound[..sound.len() - by].to_vec();
    let longer = |by: &[u8]| [&sound[..], by].concat();
    let all = 10 * SEGMENT;
    let ways = [
        ("cut by 1", cut(1), all),
        ("cut by 16", cut(16), all),
        ("cut by a segment", cut(SEALED), all),
        ("cut to its header", sound[..HEADER].to_vec(), 0),
        ("empty", Vec::new(), 0),
        ("a byte more", longer(&[0]), all),
        ("a segment more", longer(&segment(9)), all),
        ("first segments swapped", swapped(0, 1), 0),
        ("others swapped", swapped(5, 9), 5 * SEGMENT),
        ("a segment twice", with(at(4), &segment(3)), 4 * SEGMENT),
        ("another file", other.clone(), 0),
        ("another header", with(0, &other[..HEADER]), 0),
    ];
    let ways = ways.map(|(name, bytes, most)| (name.to_owned(), bytes, most));
    victim.check(seen, "changes", ways.to_vec());
}

pub fn missing_blob(seen: &mut Seen) {
    let mut victim = Victim::new();
    fs::remove_file(&victim.blob).unwrap();
    let (status, _) = victim.server.download(&victim.file.target(), &[]);
    seen.status("download", status);
    let there = listed(&victim.server).contains(&victim.file.id);
    seen.holds("still listed", there, "");
    seen.delete(&victim.server, &victim.file);
    seen.whole("download of others", &victim.server, &victim.other);
    seen.same_process(&victim.server);
    fs::remove_file(&victim.other_blob).unwrap();
    let again = victim.server.try_restart_as(Launch::default());
    seen.holds("starts again", again.is_ok(), format!("{again:?}"));
}

/// A stopped server with a few files in all kinds, and its database as it should be.
fn stopped() -> (Server, Vec<Uploaded>, PathBuf, Vec<u8>) {
    let mut server = Server::demo();
    let files = (0..6)
        .map(|n| Upload::fresh(1000 + n * 999).downloads(if n < 3 { 0 } else { 2 }))
        .map(|upload| upload.to(&server))
        .collect();
    server.stop(std::time::Duration::from_secs(30));
    let database = opener::database(&server.dir);
    let sound = fs::read(&database).unwrap();
    (server, files, database, sound)
}

/// What is wrong with what a server gives that runs on a damaged database: nothing may be other
/// than it was.
fn wrong_data(server: &Server, files: &[Uploaded]) -> Option<String> {
    for file in files {
        let (status, got) = server.download(&file.target(), &[]);
        if status == 200 && got.is_some_and(|got| got != file.sha256) {
            return Some("wrong bytes".to_owned());
        }
        let key = format!("apikey: {}", server.key);
        let target = format!("/api/files/list/{}", file.id);
        let Ok(reply) = crate::support::fetch(server.address, "GET", &target, &[&key]) else {
            continue;
        };
        if reply.status() != 200 {
            continue;
        }
        let now = reply.json();
        let was = &file.json["fileInfo"];
        for field in ["Name", "SizeBytes", "UploadDate", "UnlimitedDownloads"] {
            if now[field] != was[field.to_owned()] && !was[field].is_null() {
                return Some(format!("{field}: {} instead of {}", now[field], was[field]));
            }
        }
        let left = |v: &serde_json::Value| v["DownloadsRemaining"].as_u64();
        if left(&now) > left(was) {
            return Some("downloads came back".to_owned());
        }
    }
    None
}

pub fn bits_of_database(seen: &mut Seen) {
    let (mut server, files, database, sound) = stopped();
    let (mut refused, mut served) = (0, 0);
    let (mut wrong, mut hung, mut crashed) = (Vec::new(), Vec::new(), Vec::new());
    for (page, bytes) in sound.chunks(4096).enumerate() {
        // The pages that nobody ever wrote; one of them stands for all.
        if page % 64 != 0 && bytes.iter().all(|b| *b == 0) {
            continue;
        }
        // Where something stands, and a bit that depends on the page.
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let at = used
            .get(page * 31 % used.len().max(1))
            .copied()
            .unwrap_or(0);
        let mut damaged = sound.clone();
        damaged[page * 4096 + at] ^= 1 << (page % 8);
        fs::write(&database, damaged).unwrap();
        match server.try_restart_as(Launch::default()) {
            Ok(()) => {
                served += 1;
                wrong.extend(wrong_data(&server, &files).map(|w| format!("page {page}: {w}")));
                let ended = server.ends_within(std::time::Duration::ZERO);
                if ended.is_some_and(|s| s.code() != Some(74)) {
                    crashed.push(format!("page {page}: {ended:?}"));
                }
            }
            Err(e) if e.took > std::time::Duration::from_secs(20) => {
                hung.push(format!("page {page}"));
            }
            Err(e) if !matches!(e.code, Some(74 | 78)) || !e.log.contains("mayfly: ") => {
                crashed.push(format!("page {page}: {}", e.why));
            }
            Err(_) => refused += 1,
        }
        server.kill();
    }
    eprintln!("database_bits: {refused} refused, {served} served");
    assert!(refused > 0 && served > 0, "the flips meet nothing");
    seen.note("refused with a message, or served");
    seen.holds("never wrong data", wrong.is_empty(), wrong.join(", "));
    seen.holds("no hang", hung.is_empty(), hung.join(", "));
    seen.holds("no crash", crashed.is_empty(), crashed.join(", "));
}

pub fn shape_of_database(seen: &mut Seen) {
    let (mut server, files, database, sound) = stopped();
    let noise = Payload::new(7, sound.len() as u64).bytes();
    let mut no_header = sound.clone();
    no_header[..4096].fill(0);
    let ways = [
        ("empty", Some(Vec::new())),
        ("one page", Some(sound[..4096].to_vec())),
        ("half", Some(sound[..sound.len() / 2].to_vec())),
        ("a page less", Some(sound[..sound.len() - 4096].to_vec())),
        ("noise", Some(noise)),
        ("no header", Some(no_header)),
        ("gone", None),
    ];
    let (mut accepted, mut silent, mut made) = (Vec::new(), Vec::new(), Vec::new());
    for (name, bytes) in ways {
        match &bytes {
            Some(bytes) => fs::write(&database, bytes).unwrap(),
            None => fs::remove_file(&database).unwrap(),
        }
        match server.try_restart_as(Launch::default()) {
            Ok(()) => accepted.push(name),
            Err(e) => {
                let line = e.log.lines().last().unwrap_or_default();
                let remedy = line.contains("mayfly: ") && line.contains("backup");
                if !remedy || !matches!(e.code, Some(74 | 78)) {
                    silent.push(format!("{name}: {:?} {line}", e.code));
                }
            }
        }
        server.kill();
        let unchanged = match &bytes {
            Some(bytes) => fs::read(&database).is_ok_and(|now| now == *bytes),
            None => !database.exists(),
        };
        if !unchanged {
            made.push(name);
        }
    }
    seen.holds("always refused", accepted.is_empty(), accepted.join(", "));
    seen.holds("with a remedy", silent.is_empty(), silent.join(", "));
    seen.holds("nothing made anew", made.is_empty(), made.join(", "));
    fs::write(&database, sound).unwrap();
    let again = server.try_restart_as(Launch::default());
    let again = again.is_ok() && files.iter().all(|f| server.delivers(f));
    seen.holds("serves again when it is put back", again, server.log());
}
