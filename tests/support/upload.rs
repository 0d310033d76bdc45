//! An upload as `curl -F` would send it, of any size, without holding it.

use super::{Conn, Payload, Reply, Server};
use std::io;

const BOUNDARY: &str = "----mayfly-test-7f3a9c";

/// What to upload, and how the link is to live.
#[derive(Clone)]
pub struct Upload {
    payload: Payload,
    name: String,
    content_type: String,
    fields: Vec<(&'static str, String)>,
    fields_first: bool,
    chunked: bool,
}

/// An acknowledged upload.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub id: String,
    pub url: String,
    pub name: String,
    pub sha256: String,
    pub size: u64,
    pub json: serde_json::Value,
}

impl Upload {
    pub fn of(payload: &Payload) -> Self {
        Self {
            payload: payload.clone(),
            name: "payload.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            fields: Vec::new(),
            fields_first: true,
            chunked: false,
        }
    }

    /// An upload of `size` bytes that nobody else has.
    pub fn fresh(size: u64) -> Self {
        Self::of(&Payload::fresh(size))
    }

    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub fn typed(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.content_type);
        self
    }

    /// Number of downloads; 0 is unlimited.
    pub fn downloads(mut self, n: u32) -> Self {
        self.fields.push(("allowedDownloads", n.to_string()));
        self
    }

    /// Number of days; 0 is unlimited.
    pub fn days(mut self, n: u32) -> Self {
        self.fields.push(("expiryDays", n.to_string()));
        self
    }

    pub fn password(mut self, password: &str) -> Self {
        self.fields.push(("password", password.to_owned()));
        self
    }

    /// Sends the fields after the file, as the article's `curl` line does.
    pub fn fields_last(mut self) -> Self {
        self.fields_first = false;
        self
    }

    /// Sends the body in chunks, without saying how long it is.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    fn fields_text(&self) -> String {
        let field = |(name, value): &(&str, String)| {
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        self.fields.iter().map(field).collect()
    }

    fn framing(&self) -> (String, String) {
        let file = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
            self.name, self.content_type
        );
        let fields = self.fields_text();
        if self.fields_first {
            (fields + &file, format!("\r\n--{BOUNDARY}--\r\n"))
        } else {
            (file, format!("\r\n{fields}--{BOUNDARY}--\r\n"))
        }
    }

    /// Sends head and body on a connection. `cut` ends it after so many bytes of the file.
    pub fn send_on(&self, conn: &mut Conn, key: &str, cut: Option<u64>) -> io::Result<()> {
        let (before, after) = self.framing();
        let length = before.len() as u64 + self.payload.size() + after.len() as u64;
        let framing = if self.chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {length}")
        };
        conn.ask(
            "POST",
            "/api/files/add",
            &[
                &format!("apikey: {key}"),
                &format!("Content-Type: multipart/form-data; boundary={BOUNDARY}"),
                &framing,
            ],
        )?;
        self.piece(conn, before.as_bytes())?;
        let end = cut.unwrap_or(u64::MAX).min(self.payload.size());
        self.send_part(conn, 0, end)?;
        if cut.is_some() {
            return Ok(());
        }
        self.send_end(conn, &after)
    }

    /// Sends what is missing after [`Upload::send_on`] with a cut at `sent`.
    pub fn send_rest_on(&self, conn: &mut Conn, sent: u64) -> io::Result<()> {
        self.send_part(conn, sent, self.payload.size())?;
        self.send_end(conn, &self.framing().1)
    }

    fn send_part(&self, conn: &mut Conn, from: u64, end: u64) -> io::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        let mut offset = from;
        while offset < end {
            let most = usize::try_from(end - offset)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let n = self.payload.read_at(offset, &mut buffer[..most]);
            self.piece(conn, &buffer[..n])?;
            offset += n as u64;
        }
        Ok(())
    }

    fn send_end(&self, conn: &mut Conn, after: &str) -> io::Result<()> {
        self.piece(conn, after.as_bytes())?;
        if self.chunked {
            conn.send("0\r\n\r\n")?;
        }
        Ok(())
    }

    fn piece(&self, conn: &mut Conn, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.chunked {
            conn.send(format!("{:x}\r\n", bytes.len()))?;
            conn.send(bytes)?;
            return conn.send("\r\n");
        }
        conn.send(bytes)
    }

    /// Uploads and returns whatever the server answers.
    pub fn attempt(&self, server: &Server) -> io::Result<Reply> {
        let mut conn = Conn::open(server.address)?;
        let sent = self.send_on(&mut conn, &server.key, None);
        // An early answer is an answer, even when the rest of the body could not be sent.
        conn.reply().map_err(|e| sent.err().unwrap_or(e))
    }

    /// Uploads; the server has to take it.
    pub fn to(&self, server: &Server) -> Uploaded {
        let reply = self.attempt(server).unwrap();
        assert_eq!(reply.status(), 200, "{}", reply.text());
        self.acknowledged(&reply)
    }

    /// What an acknowledged upload is called.
    pub fn acknowledged(&self, reply: &Reply) -> Uploaded {
        let json = reply.json();
        let text = |name: &str| json["fileInfo"][name].as_str().unwrap().to_owned();
        Uploaded {
            id: text("id"),
            url: text("url"),
            name: self.name.clone(),
            sha256: self.payload.sha256(),
            size: self.payload.size(),
            json: json.clone(),
        }
    }
}

impl Uploaded {
    /// Where its bytes are asked for.
    pub fn target(&self) -> String {
        format!("/downloadFile?id={}", self.id)
    }
}
