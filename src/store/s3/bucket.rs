//! The requests that make an upload, tried again where that helps, and what to think of one whose
//! answer never came.
//!
//! An object's name is a random number that is used once. So an object of that name and of the right
//! size is the one that was sent, and whoever does not know how a request ended looks for it.

use super::client::Client;
use super::error::{Kind, S3Error};
use super::request::{Method, Request};
use super::spool::Part;
use super::tries::{Away, Retries, Wish};
use super::xml;
use crate::model::BlobId;
use ring::digest;
use serde::Deserialize;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest answer that is read, in bytes; a listing has its own.
const ANSWER: usize = 64 << 10;
/// Longest name of an upload, and longest tag of a part, in bytes.
const NAME: usize = 1024;
/// A request to complete is tried so often, each time with the tries of [`Client::call`].
const ROUNDS: u32 = 2;

/// The place that uploads go to.
pub(super) struct Bucket {
    client: Client,
    retries: Retries,
    /// Whether the server is asked not to replace an object. One that cannot do that says so.
    guarded: AtomicBool,
}

impl Bucket {
    pub(super) fn new(client: Client, retries: Retries) -> Self {
        Self {
            client,
            retries,
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
        let result = self.again(wish, || {
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
            Err(error) if unclear => match self.size(key) {
                Ok(Some(found)) if found == part.length() => Ok(()),
                // Whether the object that is there is this one, nobody knows.
                Err(unknown) if *error.kind() == Kind::Precondition => Err(unknown),
                _ => Err(error),
            },
            other => other,
        }
    }

    /// Begins a multipart upload; returns its name.
    pub(super) fn begin(&self, key: &str, wish: &dyn Wish) -> Result<String, S3Error> {
        #[derive(Deserialize)]
        struct Begun {
            #[serde(rename = "UploadId")]
            upload: String,
        }
        let request = Request {
            method: Method::Post,
            key,
            query: &[("uploads", "")],
            headers: &[],
        };
        let mut away = Away::new(self.retries.first);
        let answer = loop {
            match self.client.call(&request, b"", ANSWER) {
                Err(error) if away.waits(&error, wish) => {}
                other => break other?,
            }
        };
        let Begun { upload } = xml::parse(&answer.body)?;
        if upload.is_empty() || upload.len() > NAME {
            return Err(broken("names no upload"));
        }
        Ok(upload)
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
        self.again(wish, || {
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
        let (mut round, mut away, mut unclear) = (1, Away::new(self.retries.first), false);
        loop {
            let called = self.guard(|headers| {
                let request = Request {
                    method: Method::Post,
                    key,
                    query: &[("uploadId", upload)],
                    headers,
                };
                let answer = self.client.call(&request, document.as_bytes(), ANSWER)?;
                match contains(&answer.body, b"CompleteMultipartUploadResult") {
                    true => Ok(()),
                    false => Err(broken("does not say that the object is complete")),
                }
            });
            let Err(error) = called else {
                return Ok(());
            };
            // It was not sent: there is nothing to look for.
            if away.waits(&error, wish) {
                continue;
            }
            unclear |= passes(&error);
            // After an answer that was lost, every later one may be a refusal.
            match self.size(key) {
                Ok(Some(found)) if found == size => return Ok(()),
                Err(unknown) if away.waits(&unknown, wish) => {}
                _ if round < ROUNDS && passes(&error) => round += 1,
                // What was refused now may have been done before.
                Err(unknown) if unclear => return Err(unknown),
                _ => return Err(error),
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
                if *error.kind() == Kind::Denied && matches!(self.size(key), Ok(Some(_))) =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// The size of an object; `None` when there is none.
    pub(super) fn size(&self, key: &str) -> Result<Option<u64>, S3Error> {
        let request = Request {
            method: Method::Head,
            key,
            query: &[],
            headers: &[],
        };
        match self.client.call(&request, b"", ANSWER) {
            Ok(answer) => match answer.length {
                Some(length) => Ok(Some(length)),
                None => Err(broken("does not say how long the object is")),
            },
            Err(error) if *error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
                other => return other,
            }
        }
        attempt(&[])
    }

    /// Runs `attempt` until it goes well, fails for good, or has failed often enough.
    fn again<T>(
        &self,
        wish: &dyn Wish,
        mut attempt: impl FnMut() -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        let (mut tries, mut away) = (1, Away::new(self.retries.first));
        loop {
            let error = match attempt() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if away.waits(&error, wish) {
                continue;
            }
            if tries >= self.retries.tries || !passes(&error) || wish.is_over() {
                return Err(error);
            }
            // The next request counts the difference of the clocks in.
            if !matches!(error.kind(), Kind::Skewed { .. }) {
                wish.pause(self.retries.pause(tries, error.retry_after()));
            }
            tries += 1;
        }
    }
}

/// Whether the same request may go well later, and whether this one may have gone well after all.
fn passes(error: &S3Error) -> bool {
    // A conflict with an earlier try of the same request, which the server has not given up yet.
    error.may_pass() || error.status() == Some(409)
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
