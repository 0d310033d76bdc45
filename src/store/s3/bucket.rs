//! The requests that make an upload, tried again where that helps, and what to think of one whose
//! answer never came.
//!
//! An object's name is a random number that is used once. So an object of that name and of the right
//! size is the one that was sent, and whoever does not know how a request ended looks for it.

use super::client::Client;
use super::error::{Kind, S3Error};
use super::request::{Method, Request};
use super::spool::Part;
use super::tries::{Course, Retries, Streak, Wish, passes, unsent};
use super::xml;
use crate::model::BlobId;
use ring::digest;
use serde::Deserialize;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest answer that is read, in bytes; a listing has its own.
const ANSWER: usize = 64 << 10;
/// Longest name of an upload, and longest tag of a part, in bytes.
const NAME: usize = 1024;
/// Longest time for an object to be put together, all tries taken together.
const ASSEMBLY: Duration = Duration::from_secs(600);

/// The place that uploads go to.
pub(super) struct Bucket {
    client: Client,
    retries: Retries,
    streak: Streak,
    /// Whether the server is asked not to replace an object. One that cannot do that says so.
    guarded: AtomicBool,
}

impl Bucket {
    pub(super) fn new(client: Client, retries: Retries) -> Self {
        Self {
            client,
            retries,
            streak: Streak::default(),
            guarded: AtomicBool::new(true),
        }
    }

    /// The name of a blob's object.
    pub(super) fn key(&self, id: &BlobId) -> String {
        format!("{}{}", self.client.settings().prefix, id.to_hex())
    }

    /// Tells this bucket, and our part of it, from all others.
    pub(super) fn place(&self) -> [u8; 16] {
        let settings = self.client.settings();
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [&settings.endpoint, &settings.bucket, &settings.prefix] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        let mut place = [0; 16];
        place.copy_from_slice(&hash.finish().as_ref()[..16]);
        place
    }

    /// Whether bodies have to be hashed: nothing else protects them on their way.
    pub(super) fn wants_hashes(&self) -> bool {
        !self.client.settings().endpoint.starts_with("https:")
    }

    /// The connections.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Stores a whole object in one request.
    pub(super) fn put(&self, key: &str, part: &Part, wish: &dyn Wish) -> Result<(), S3Error> {
        let mut unclear = false;
        let result = self.course(wish).run(|| {
            let sent = self.guard(|headers| {
                let request = Request {
                    method: Method::Put,
                    key,
                    query: &[],
                    headers,
                };
                self.send(&request, part, wish)
            });
            match sent {
                Ok(_) => Ok(()),
                Err(error) => {
                    unclear |= passes(&error);
                    Err(error)
                }
            }
        });
        match result {
            // While the server is away, another wait would be as long: what may be there belongs to no link, and is
            // swept.
            Err(error) if unclear && unsent(&error).is_none() => match self.size(key, wish) {
                Ok(Some(found)) if found == part.length() => Ok(()),
                // Whether the object that is there is this one, nobody knows.
                Err(unknown) if *error.kind() == Kind::Precondition => Err(unknown),
                _ => Err(error),
            },
            other => other,
        }
    }

    /// Begins a multipart upload; returns its name, and whether there may be others, because an answer
    /// was lost.
    pub(super) fn begin(&self, key: &str, wish: &dyn Wish) -> Begun {
        let request = Request {
            method: Method::Post,
            key,
            query: &[("uploads", "")],
            headers: &[],
        };
        let mut unclear = false;
        let name = self.course(wish).run(|| {
            let begun = self
                .client
                .once(&request, b"", ANSWER, None)
                .and_then(|answer| name_in(&answer.body));
            if let Err(error) = &begun {
                unclear |= unsent(error).is_none()
                    && matches!(
                        error.kind(),
                        Kind::Unreachable | Kind::TimedOut | Kind::Broken | Kind::Server
                    );
            }
            begun
        });
        Begun { name, unclear }
    }

    /// Stores part `number`, counted from 1; returns its tag.
    pub(super) fn part(
        &self,
        key: &str,
        upload: &str,
        number: u64,
        part: &Part,
        wish: &dyn Wish,
    ) -> Result<Box<str>, S3Error> {
        let number = number.to_string();
        self.course(wish).run(|| {
            let request = Request {
                method: Method::Put,
                key,
                query: &[("partNumber", &number), ("uploadId", upload)],
                headers: &[],
            };
            match self.send(&request, part, wish)? {
                Some(tag) if tag.len() <= NAME => Ok(tag.into_boxed_str()),
                _ => Err(broken("has no tag of the part")),
            }
        })
    }

    /// Makes an object of `size` bytes of the parts with these tags.
    pub(super) fn complete(
        &self,
        key: &str,
        upload: &str,
        tags: &[Box<str>],
        size: u64,
        wish: &dyn Wish,
    ) -> Result<(), S3Error> {
        let document = completion(tags);
        let (mut course, mut unclear) = (self.course(wish), false);
        loop {
            let left = ASSEMBLY.saturating_sub(course.lasts());
            let called = self.guard(|headers| {
                let request = Request {
                    method: Method::Post,
                    key,
                    query: &[("uploadId", upload)],
                    headers,
                };
                let document = document.as_bytes();
                let answer = self.client.once(&request, document, ANSWER, Some(left))?;
                match contains(&answer.body, b"CompleteMultipartUploadResult") {
                    true => Ok(()),
                    false => Err(broken("does not say that the object is complete")),
                }
            });
            let Err(error) = called else {
                course.succeeds();
                return Ok(());
            };
            // What was not sent has done nothing. After an answer that was lost, every later one may be a
            // refusal of what was done before.
            if unsent(&error).is_none() {
                unclear |= passes(&error);
                match self.size(key, wish) {
                    Ok(Some(found)) if found == size => return Ok(()),
                    Ok(_) => {}
                    Err(unknown) if unclear => return Err(unknown),
                    Err(_) => return Err(error),
                }
            }
            if course.lasts() >= ASSEMBLY || !course.goes_on(&error) {
                return Err(error);
            }
        }
    }

    /// Gives a multipart upload up. One that is not there is no error.
    pub(super) fn abort(&self, key: &str, upload: &str) -> Result<(), S3Error> {
        let request = Request {
            method: Method::Delete,
            key,
            query: &[("uploadId", upload)],
            headers: &[],
        };
        match self.client.call(&request, b"", ANSWER) {
            Err(error) if matches!(error.kind(), Kind::NoUpload | Kind::NotFound) => Ok(()),
            // There are servers that say so of an upload that was completed.
            Err(error)
                if *error.kind() == Kind::Denied && matches!(self.found(key), Ok(Some(_))) =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// The size of an object, which tells how a request has ended; `None` when there is none.
    fn size(&self, key: &str, wish: &dyn Wish) -> Result<Option<u64>, S3Error> {
        // That it can be looked for says nothing about storing.
        let (mut course, mut found) = (self.course(wish), self.found(key));
        while let Err(error) = &found
            && course.goes_on(error)
        {
            found = self.found(key);
        }
        found
    }

    /// The same, in one attempt.
    pub(super) fn found(&self, key: &str) -> Result<Option<u64>, S3Error> {
        let request = Request {
            method: Method::Head,
            key,
            query: &[],
            headers: &[],
        };
        match self.client.once(&request, b"", ANSWER, None) {
            Ok(answer) => match answer.length {
                Some(length) => Ok(Some(length)),
                None => Err(broken("does not say how long the object is")),
            },
            Err(error) if *error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn course<'a>(&'a self, wish: &'a dyn Wish) -> Course<'a> {
        Course::new(self.retries, &**self.client.clock(), &self.streak, wish)
    }

    /// One attempt to send a part; returns its tag.
    fn send(
        &self,
        request: &Request<'_>,
        part: &Part,
        wish: &dyn Wish,
    ) -> Result<Option<String>, S3Error> {
        let is_over = || wish.is_over();
        let mut body = part.reader(&is_over);
        let answer = self
            .client
            .send(request, &mut body, part.length(), part.sha256())?;
        Ok(answer.etag)
    }

    /// Runs `attempt` with the header that keeps an object from being replaced, where the server
    /// knows it.
    fn guard<T>(
        &self,
        attempt: impl Fn(&[(&str, &str)]) -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        if self.guarded.load(Ordering::Relaxed) {
            match attempt(&[("if-none-match", "*")]) {
                Err(error) if *error.kind() == Kind::NotImplemented => {
                    self.guarded.store(false, Ordering::Relaxed);
                }
                // There are servers that do not say so, but that something is wrong with the request.
                Err(error) if *error.kind() == Kind::Refused && error.status() == Some(400) => {
                    let done = attempt(&[])?;
                    self.guarded.store(false, Ordering::Relaxed);
                    return Ok(done);
                }
                other => return other,
            }
        }
        attempt(&[])
    }
}

/// How the beginning of a multipart upload has ended.
pub(super) struct Begun {
    pub(super) name: Result<String, S3Error>,
    /// There may be uploads without a name known here.
    pub(super) unclear: bool,
}

fn name_in(answer: &[u8]) -> Result<String, S3Error> {
    #[derive(Deserialize)]
    struct Begun {
        #[serde(rename = "UploadId")]
        upload: String,
    }
    let Begun { upload } = xml::parse(answer)?;
    if upload.is_empty() || upload.len() > NAME {
        return Err(broken("names no upload"));
    }
    Ok(upload)
}

fn broken(what: &str) -> S3Error {
    S3Error::new(Kind::Broken, format!("the server's answer {what}"))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// The document that lists the parts.
fn completion(tags: &[Box<str>]) -> String {
    let mut document =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (number, tag) in (1u64..).zip(tags) {
        // Writing to a string does not fail.
        let _ = write!(document, "<Part><PartNumber>{number}</PartNumber><ETag>");
        for character in tag.chars() {
            match character {
                '&' => document.push_str("&amp;"),
                '<' => document.push_str("&lt;"),
                '>' => document.push_str("&gt;"),
                '"' => document.push_str("&quot;"),
                other => document.push(other),
            }
        }
        document.push_str("</ETag></Part>");
    }
    document.push_str("</CompleteMultipartUpload>");
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_parts_is_well_formed_whatever_the_tags_are() {
        let document = completion(&["\"a1\"".into(), "<&>".into()]);
        assert!(document.contains(
            "<Part><PartNumber>1</PartNumber><ETag>&quot;a1&quot;</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>&lt;&amp;&gt;</ETag></Part>\
             </CompleteMultipartUpload>"
        ));
    }
}
