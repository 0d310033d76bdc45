//! What a test saw, in the words of the table.

use crate::support::{Blobs, Server, Upload, Uploaded, within};
use std::time::Duration;

/// The most of a log that is shown, in bytes.
const DETAILS: usize = 1500;

/// Sights in the order they came.
#[derive(Default)]
pub struct Seen(Vec<String>);

impl Seen {
    /// A sight as it is.
    pub fn note(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// `what` when it holds, otherwise the opposite, with the details.
    pub fn holds(&mut self, what: &str, holds: bool, details: impl std::fmt::Display) {
        self.note(match holds {
            true => what.to_owned(),
            false => {
                let details = details.to_string();
                let start = details.len().saturating_sub(DETAILS);
                let end = String::from_utf8_lossy(&details.as_bytes()[start..]);
                format!("NOT {what} ({end})")
            }
        });
    }

    /// The status of an answer, under a name.
    pub fn status(&mut self, name: &str, status: u16) {
        self.note(format!("{name} {status}"));
    }

    /// Uploads, and notes the status; 0 is no answer.
    pub fn upload(&mut self, name: &str, server: &Server, upload: &Upload) -> Option<Uploaded> {
        let reply = upload.attempt(server);
        if let Err(e) = &reply {
            eprintln!("{name}: no answer: {e}");
        }
        let reply = reply.ok().filter(|r| r.whole);
        self.status(name, reply.as_ref().map_or(0, |r| r.status()));
        let reply = reply.filter(|r| r.status() == 200)?;
        Some(upload.acknowledged(&reply))
    }

    /// Whether the file downloads whole.
    pub fn whole(&mut self, name: &str, server: &Server, file: &Uploaded) {
        let got = server.download(&file.target(), &[]);
        let whole = got == (200, Some(file.sha256.clone()));
        self.holds(&format!("{name} whole"), whole, format!("{got:?}"));
    }

    /// Deletes, and notes the status.
    pub fn delete(&mut self, server: &Server, file: &Uploaded) {
        self.status("delete", delete(server, file));
    }

    /// Whether nothing stays among the incoming files.
    pub fn nothing_staged(&mut self, name: &str, server: &Server) {
        let staged = || Blobs::in_dir(&server.dir).incoming;
        let none = within(Duration::from_secs(5), || staged().is_empty());
        self.holds(name, none, format!("{:?}", staged()));
    }

    /// Whether the server is still the process that it was.
    pub fn same_process(&mut self, server: &Server) {
        self.holds("same process", server.figures().runs(), server.log());
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Deletes; the status, 0 when there is no answer.
pub fn delete(server: &Server, file: &Uploaded) -> u16 {
    let key = format!("apikey: {}", server.key);
    let id = format!("id: {}", file.id);
    let reply = crate::support::fetch(
        server.address,
        "DELETE",
        "/api/files/delete",
        &[&key, &id, "Content-Length: 0"],
    );
    reply.map_or(0, |r| r.status())
}

/// Ids of all files that the owner has.
pub fn listed(server: &Server) -> Vec<String> {
    let list = server.api("GET", "/api/files/list", &[]).json();
    let files = list.as_array().unwrap().iter();
    files
        .map(|f| f["Id"].as_str().unwrap().to_owned())
        .collect()
}
