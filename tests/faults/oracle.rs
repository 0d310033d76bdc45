//! What a client knows about its files: what was acknowledged, what may have happened, and what has
//! to be found after a crash.
//!
//! Each thread of the load has one, for files that only it touches.

use crate::support::{Payload, Server, Upload, Uploaded};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether a file has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    There,
    Gone,
    /// A call was sent and not answered.
    Either,
}

/// A file whose upload was acknowledged, or was found after a crash.
pub struct Known {
    pub file: Uploaded,
    pub fate: Fate,
    /// Downloads that the link was made for; 0 is any number.
    pub limit: u64,
    /// Downloads that strangers began, and those that reached them whole.
    pub begun: u64,
    pub whole: u64,
    /// What the number of downloads may be after changes; empty when it was not changed.
    pub allowed: BTreeSet<u64>,
    /// The second at which it ends, if somebody tried to say so.
    pub ends: Option<i64>,
    /// Whether that was acknowledged.
    pub ends_for_sure: bool,
}

/// An upload that was not answered.
pub struct Unanswered {
    pub name: String,
    pub payload: Payload,
    pub limit: u64,
}

#[derive(Default)]
pub struct Oracle {
    pub files: Vec<Known>,
    pub unanswered: Vec<Unanswered>,
    /// Names whose file must never be seen (again).
    gone: BTreeSet<String>,
    /// How many of them ended by time.
    ended: usize,
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Everything that the server lists, by name.
pub fn listing(server: &Server) -> BTreeMap<String, Value> {
    let list = server.api("GET", "/api/files/list", &[]).json();
    let files = list.as_array().unwrap().iter();
    files
        .map(|f| (f["Name"].as_str().unwrap().to_owned(), f.clone()))
        .collect()
}

impl Oracle {
    /// Looks at the server after a crash; says what should not be, and takes over what may be.
    pub fn check(&mut self, server: &Server, listed: &BTreeMap<String, Value>) -> Vec<String> {
        let mut wrong = Vec::new();
        for name in self.gone.iter().filter(|n| listed.contains_key(*n)) {
            wrong.push(format!("{name} came back"));
        }
        for Unanswered {
            name,
            payload,
            limit,
        } in std::mem::take(&mut self.unanswered)
        {
            let Some(entry) = listed.get(&name) else {
                self.gone.insert(name);
                continue;
            };
            let id = entry["Id"].as_str().unwrap();
            let file = Uploaded {
                id: id.to_owned(),
                url: String::new(),
                name,
                sha256: payload.sha256(),
                size: payload.size(),
                json: Value::Null,
            };
            self.files.push(Known::new(file, limit));
        }
        for known in &mut self.files {
            let entry = listed.get(&known.file.name);
            if let Err(e) = known.look(server, entry) {
                wrong.push(format!("{}: {e}", known.file.name));
            }
        }
        let gone = || self.files.iter().filter(|k| k.fate == Fate::Gone);
        self.ended += gone().filter(|k| k.ends.is_some()).count();
        self.gone.extend(gone().map(|k| k.file.name.clone()));
        self.files.retain(|k| k.fate != Fate::Gone);
        wrong
    }

    /// Files whose time was over, up to now. Where that was while nothing ran, their bytes stay for a day.
    pub fn ended(&self) -> usize {
        let over = |known: &&Known| known.ends.is_some_and(|at| now() >= at);
        self.ended + self.files.iter().filter(over).count()
    }

    /// Names that the server may list.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.files.iter().map(|k| &k.file.name)
    }
}

impl Known {
    pub fn new(file: Uploaded, limit: u64) -> Self {
        Self {
            file,
            fate: Fate::There,
            limit,
            begun: 0,
            whole: 0,
            allowed: BTreeSet::new(),
            ends: None,
            ends_for_sure: false,
        }
    }

    /// Compares with what the server lists, and settles what was open.
    fn look(&mut self, server: &Server, entry: Option<&Value>) -> Result<(), String> {
        if self.whole > self.limit && self.limit > 0 {
            return Err(format!("{} downloads of {}", self.whole, self.limit));
        }
        let over = self.ends.is_some_and(|at| now() >= at);
        let used_up = self.limit > 0 && self.begun >= self.limit;
        let may_be_gone = self.fate != Fate::There || over || used_up;
        let has_to_be_gone = self.fate == Fate::Gone
            || (over && self.ends_for_sure)
            || (self.limit > 0 && self.whole == self.limit);
        let Some(entry) = entry else {
            if !may_be_gone {
                return Err("an acknowledged upload is lost".to_owned());
            }
            self.fate = Fate::Gone;
            return self.is_closed(server);
        };
        if has_to_be_gone {
            // One whose time is over may wait for the sweep; it is closed all the same.
            self.fate = Fate::Gone;
            self.is_closed(server)?;
            return match over {
                true => Ok(()),
                false => Err("it came back".to_owned()),
            };
        }
        if entry["SizeBytes"] != self.file.size {
            return Err(format!("size {}", entry["SizeBytes"]));
        }
        let left = entry["DownloadsRemaining"].as_u64().unwrap();
        if self.limit > 0 {
            let (least, most) = (
                self.limit.saturating_sub(self.begun),
                self.limit - self.whole,
            );
            if !(least..=most).contains(&left) {
                return Err(format!("{left} downloads left, not {least} to {most}"));
            }
        }
        if !self.allowed.is_empty() {
            if !self.allowed.contains(&left) {
                return Err(format!("{left} downloads, not one of {:?}", self.allowed));
            }
            self.allowed = BTreeSet::from([left]);
        }
        if self.ends.is_some() && !over {
            let ends = entry["ExpireAt"].as_i64() == self.ends;
            if self.ends_for_sure && !ends {
                return Err(format!("it ends at {}", entry["ExpireAt"]));
            }
            self.ends_for_sure = ends;
            self.ends = self.ends.filter(|_| ends);
        } else if over {
            // Asked for, not acknowledged, and not done.
            self.ends = None;
        }
        self.fate = Fate::There;
        self.opens(server)
    }

    /// The owner gets every byte.
    fn opens(&self, server: &Server) -> Result<(), String> {
        let key = format!("apikey: {}", server.key);
        let target = format!("/api/files/download/{}", self.file.id);
        let got = server.download(&target, &[&key]);
        match got == (200, Some(self.file.sha256.clone())) {
            true => Ok(()),
            // It may end at this very moment.
            false if self.ends.is_some_and(|at| now() >= at) => Ok(()),
            false => Err(format!("not whole: {got:?}")),
        }
    }

    /// Strangers do not get it.
    fn is_closed(&self, server: &Server) -> Result<(), String> {
        match server.status_for_a_stranger(&self.file) {
            404 => Ok(()),
            status => Err(format!("gone, and a stranger gets {status}")),
        }
    }
}

/// An upload with a name of its own.
pub fn upload(name: &str, payload: &Payload, limit: u64) -> Upload {
    let limit = u32::try_from(limit).unwrap();
    Upload::of(payload).named(name).downloads(limit).days(30)
}
