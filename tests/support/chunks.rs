//! A file that is sent in chunks by hand: whole ones, cut ones, in any order.

use super::{Conn, Payload, Reply, Server, fetch};
use std::io;

const BOUNDARY: &str = "----mayfly-test-1b9d04";

/// A file, and how it is cut.
#[derive(Clone)]
pub struct Chunks {
    pub payload: Payload,
    /// Bytes of each chunk but the last.
    pub each: u64,
    pub uuid: String,
    /// What the file will be called.
    pub name: String,
}

impl Chunks {
    /// A file of `size` bytes that nobody else has.
    pub fn fresh(size: u64, each: u64, uuid: &str) -> Self {
        Self {
            payload: Payload::fresh(size),
            each,
            uuid: uuid.to_owned(),
            name: "a.bin".to_owned(),
        }
    }

    pub fn count(&self) -> u64 {
        self.payload.size().div_ceil(self.each)
    }

    /// Sends head and bytes of a chunk, as a form of which all is known before. `cut` ends it after so many
    /// bytes.
    pub fn send_on(
        &self,
        conn: &mut Conn,
        key: &str,
        number: u64,
        cut: Option<u64>,
    ) -> io::Result<()> {
        let before = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"part\"\r\n\r\n"
        );
        let after = format!("\r\n--{BOUNDARY}--\r\n");
        let start = number * self.each;
        let end = (start + self.each).min(self.payload.size());
        let length = before.len() as u64 + end - start + after.len() as u64;
        let target = format!(
            "/api/chunk/add?uuid={}&filesize={}&offset={start}",
            self.uuid,
            self.payload.size()
        );
        let lines = [
            format!("apikey: {key}"),
            format!("Content-Type: multipart/form-data; boundary={BOUNDARY}"),
            format!("Content-Length: {length}"),
        ];
        conn.ask("POST", &target, &lines.each_ref().map(String::as_str))?;
        conn.send(before)?;
        let stop = cut.map_or(end, |cut| end.min(start + cut));
        let mut buffer = vec![0; 256 * 1024];
        let mut at = start;
        while at < stop {
            let most = (stop - at).min(buffer.len() as u64) as usize;
            let count = self.payload.read_at(at, &mut buffer[..most]);
            conn.send(&buffer[..count])?;
            at += count as u64;
        }
        match cut {
            Some(_) => Ok(()),
            None => conn.send(after),
        }
    }

    /// Sends a chunk, and returns whatever the server answers.
    pub fn attempt(&self, server: &Server, key: &str, number: u64) -> io::Result<Reply> {
        let mut conn = Conn::open(server.address)?;
        let sent = self.send_on(&mut conn, key, number, None);
        conn.reply().map_err(|e| sent.err().unwrap_or(e))
    }

    /// Sends a chunk; the server has to take it.
    pub fn send(&self, server: &Server, number: u64) {
        let reply = self.attempt(server, &server.key, number).unwrap();
        assert_eq!(reply.status(), 200, "{}", reply.text());
    }

    /// Asks for the link, and returns whatever the server answers.
    pub fn complete(&self, server: &Server, key: &str) -> io::Result<Reply> {
        let lines = [
            format!("apikey: {key}"),
            format!("uuid: {}", self.uuid),
            format!("filesize: {}", self.payload.size()),
            format!("filename: {}", self.name),
            "allowedDownloads: 0".to_owned(),
            "expiryDays: 0".to_owned(),
            "Content-Length: 0".to_owned(),
        ];
        let lines = lines.each_ref().map(String::as_str);
        fetch(server.address, "POST", "/api/chunk/complete", &lines)
    }

    /// Completes it; returns the id of the link.
    pub fn link(&self, server: &Server) -> String {
        let reply = self.complete(server, &server.key).unwrap();
        assert_eq!(reply.status(), 200, "{}", reply.text());
        reply.json()["FileInfo"]["Id"].as_str().unwrap().to_owned()
    }

    /// Whether the link gives these bytes.
    pub fn come_back(&self, server: &Server, link: &str) -> bool {
        let wanted = (200, Some(self.payload.sha256()));
        server.download(&format!("/downloadFile?id={link}"), &[]) == wanted
    }
}
