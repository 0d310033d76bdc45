//! Tries a bucket out as the daemon will use it (list, put, get, range, multipart, delete), and says in one
//! sentence for people what is wrong and what to do. What it stores it deletes again.

use super::error::{Kind, S3Error};
use super::failure::date;
use super::{Client, Method, Request, S3Settings, explain, xml};
use crate::model::Clock;
use crate::pipeline::seal::keys::random;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::io::Read;
use std::sync::Arc;

/// Bytes of the objects that are stored for a moment.
const SIZE: usize = 4096;
/// Longest document that is read, in bytes.
const DOCUMENT: usize = 64 * 1024;
/// Clocks that differ by less are one, in seconds.
const SAME: i64 = 60;

/// One thing that was tried.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What, in a word or two.
    pub tried: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How it went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Well.
    Works,
    /// Well, but somebody should know this.
    Remark(String),
    /// Not.
    Fails(Trouble),
}

/// Why a bucket cannot be used.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What is wrong and what to do: sentences without a full stop at the end.
    pub sentence: String,
    /// The setting that would help, where that was found out.
    pub mend: Option<Mend>,
    /// Whether it may go well later without any change.
    pub may_pass: bool,
}

/// A setting that would help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mend {
    /// Another `region`.
    Region(String),
    /// The other `path_style`.
    PathStyle(bool),
    /// A `ca_file`.
    CaFile,
}

/// What is asked of the bucket, as far as rights go.
#[derive(Clone, Copy)]
pub(super) enum Wish {
    List,
    Put,
    Get,
    Multipart,
    Abort,
    Delete,
}

/// Tries everything that still can be tried; stops where the rest would only repeat a failure.
pub fn diagnose(settings: &S3Settings, clock: Arc<dyn Clock>) -> Vec<Finding> {
    let mut trial = Trial {
        settings,
        clock,
        findings: Vec::new(),
    };
    trial.run();
    trial.findings
}

struct Trial<'a> {
    settings: &'a S3Settings,
    clock: Arc<dyn Clock>,
    findings: Vec<Finding>,
}

/// `ListBucketResult`, as far as it is looked at.
#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "Name")]
    name: String,
}

/// `InitiateMultipartUploadResult`.
#[derive(Deserialize)]
struct Begun {
    #[serde(rename = "UploadId")]
    id: String,
}

impl Trial<'_> {
    fn run(&mut self) {
        let client = match Client::new(self.settings, Arc::clone(&self.clock)) {
            Ok(client) => client,
            Err(e) => {
                return self.fails("settings", explain::trouble(self.settings, &e, Wish::List));
            }
        };
        let may_list = match self.reach(&client) {
            Ok(may_list) => may_list,
            Err(trouble) => return self.fails("reach", trouble),
        };
        let name = format!(
            "{}mayfly-check-{}",
            self.settings.prefix,
            HEXLOWER.encode(&random::<8>())
        );
        let object = Object {
            client: &client,
            key: name,
            bytes: (0..SIZE).map(|n| (n * 7 % 251) as u8).collect(),
        };
        let stored = self.note("put", object.put());
        if !stored && !may_list {
            // Nothing is allowed: that is one trouble, not five.
            return;
        }
        if stored {
            self.note("get", object.get());
            self.note("range", object.range());
        }
        let parts = Object {
            key: format!("{}-parts", object.key),
            ..object
        };
        self.note("multipart", parts.multipart());
        let object = Object {
            key: parts.key.trim_end_matches("-parts").to_owned(),
            ..parts
        };
        self.note("delete", object.delete_both());
    }

    /// Asks for a listing: proves address, TLS, style, region, clock, key and bucket. Says whether the
    /// key may list.
    fn reach(&mut self, client: &Client) -> Result<bool, Trouble> {
        // The first answer may be that the clocks differ, which the next request counts in.
        let mut listed = list(client);
        if matches!(&listed, Err(e) if matches!(e.kind(), Kind::Skewed { .. })) {
            listed = list(client);
        }
        match listed {
            Ok(dated) => {
                self.works("reach");
                self.works("list");
                self.clock(dated);
                Ok(true)
            }
            Err(e) if *e.kind() == Kind::Denied => {
                self.works("reach");
                let trouble = explain::trouble(self.settings, &e, Wish::List);
                self.fails("list", trouble);
                Ok(false)
            }
            Err(e) => Err(self.other_style(&e)),
        }
    }

    /// The trouble; when the other style of addresses works, that is it.
    fn other_style(&self, error: &S3Error) -> Trouble {
        let plain = explain::trouble(self.settings, error, Wish::List);
        let pointless = match error.kind() {
            // A name that leads nowhere leads nowhere with the bucket before it, either.
            Kind::Unreachable | Kind::TimedOut | Kind::Tls => self.settings.path_style,
            Kind::BadKey | Kind::BadSignature | Kind::WrongRegion { expected: Some(_) } => true,
            _ => false,
        };
        if pointless {
            return plain;
        }
        let other = S3Settings {
            path_style: !self.settings.path_style,
            ..self.settings.clone()
        };
        let works = Client::new(&other, Arc::clone(&self.clock)).and_then(|client| list(&client));
        match works {
            Ok(_) => Trouble {
                sentence: format!(
                    "the server wants addresses with the bucket in the {}: set path_style = {} in [s3]",
                    if other.path_style {
                        "path"
                    } else {
                        "name of the host"
                    },
                    other.path_style
                ),
                mend: Some(Mend::PathStyle(other.path_style)),
                may_pass: false,
            },
            Err(_) => plain,
        }
    }

    fn clock(&mut self, dated: Option<i64>) {
        let Some(theirs) = dated else { return };
        let ahead = self.clock.now().0.saturating_sub(theirs);
        if ahead.abs() < SAME {
            return self.works("clock");
        }
        self.findings.push(Finding {
            tried: "clock",
            outcome: Outcome::Remark(format!(
                "the clock of this machine is {} that of the server: requests count that in, but links end by it, so set it (timedatectl set-ntp true)",
                explain::apart(ahead)
            )),
        });
    }

    /// Takes down how a step went; says whether it did.
    fn note(&mut self, tried: &'static str, outcome: Result<Option<String>, Failed>) -> bool {
        let works = outcome.is_ok();
        let outcome = match outcome {
            Ok(None) => Outcome::Works,
            Ok(Some(remark)) => Outcome::Remark(remark),
            Err(Failed::Error(wish, e)) => {
                Outcome::Fails(explain::trouble(self.settings, &e, wish))
            }
            Err(Failed::Wrong(sentence)) => Outcome::Fails(Trouble {
                sentence: sentence.to_owned(),
                mend: None,
                may_pass: false,
            }),
        };
        self.findings.push(Finding { tried, outcome });
        works
    }

    fn works(&mut self, tried: &'static str) {
        let outcome = Outcome::Works;
        self.findings.push(Finding { tried, outcome });
    }

    fn fails(&mut self, tried: &'static str, trouble: Trouble) {
        let outcome = Outcome::Fails(trouble);
        self.findings.push(Finding { tried, outcome });
    }
}

/// Why a step did not go well.
enum Failed {
    /// A request failed.
    Error(Wish, S3Error),
    /// What came back is not what was stored, or not what was asked for.
    Wrong(&'static str),
}

/// One attempt to list one object. Answers the server's time.
fn list(client: &Client) -> Result<Option<i64>, S3Error> {
    let answer = client.fetch(&Request {
        method: Method::Get,
        key: "",
        query: &[
            ("list-type", "2"),
            ("max-keys", "1"),
            ("prefix", &client.settings().prefix),
        ],
        headers: &[],
    })?;
    let dated = answer.header("date").and_then(date);
    let mut document = Vec::new();
    let cut = |e: std::io::Error| S3Error::new(Kind::Broken, format!("the answer broke off: {e}"));
    answer
        .take(DOCUMENT as u64)
        .read_to_end(&mut document)
        .map_err(cut)?;
    let senseless = || S3Error::new(Kind::Broken, "the answer is no listing of the bucket");
    // Whoever reads the bucket out of another place of the address lists something else.
    let listing: Listing = xml::parse(&document).map_err(|_| senseless())?;
    if listing.name != client.settings().bucket {
        return Err(senseless());
    }
    Ok(dated)
}

/// An object that is there for a moment.
struct Object<'a> {
    client: &'a Client,
    key: String,
    bytes: Vec<u8>,
}

impl Object<'_> {
    fn call(
        &self,
        wish: Wish,
        method: Method,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<super::Answer, Failed> {
        let request = Request {
            method,
            key: &self.key,
            query,
            headers: &[],
        };
        let answer = self.client.call(&request, body, DOCUMENT);
        answer.map_err(|e| Failed::Error(wish, e))
    }

    /// Stores it. A bucket that keeps versions deletes nothing, which is worth a remark.
    fn put(&self) -> Result<Option<String>, Failed> {
        let answer = self.call(Wish::Put, Method::Put, &[], &self.bytes)?;
        let versions = answer
            .header("x-amz-version-id")
            .is_some_and(|id| id != "null");
        Ok(versions.then(|| {
            "the bucket keeps versions, so that deleted files stay there: switch versioning off, or let a lifecycle rule of the bucket remove old versions".to_owned()
        }))
    }

    fn get(&self) -> Result<Option<String>, Failed> {
        let answer = self.call(Wish::Get, Method::Get, &[], &[])?;
        match answer.body == self.bytes {
            true => Ok(None),
            false => Err(Failed::Wrong(
                "the server gives back other bytes than were stored: look at its disks and at what is between here and there",
            )),
        }
    }

    fn range(&self) -> Result<Option<String>, Failed> {
        let headers = [("range", "bytes=1000-1999")];
        let request = Request {
            method: Method::Get,
            key: &self.key,
            query: &[],
            headers: &headers,
        };
        let failed = |e| Failed::Error(Wish::Get, e);
        let answer = self.client.fetch(&request).map_err(failed)?;
        let is_range =
            answer.status == 206 && answer.range.is_some_and(|range| range.start == 1000);
        let mut bytes = Vec::new();
        let cut = |e: std::io::Error| {
            failed(S3Error::new(
                Kind::Broken,
                format!("the answer broke off: {e}"),
            ))
        };
        answer
            .take(2 * SIZE as u64)
            .read_to_end(&mut bytes)
            .map_err(cut)?;
        match is_range && self.bytes.get(1000..2000) == Some(bytes.as_slice()) {
            true => Ok(None),
            false => Err(Failed::Wrong(
                "the server does not give parts of objects (Range), which downloads need: look at what is between here and there, such as a proxy",
            )),
        }
    }

    fn begin(&self) -> Result<String, Failed> {
        let answer = self.call(Wish::Multipart, Method::Post, &[("uploads", "")], &[])?;
        let begun: Begun =
            xml::parse(&answer.body).map_err(|e| Failed::Error(Wish::Multipart, e))?;
        Ok(begun.id)
    }

    /// One upload in parts to its end, and one that is aborted.
    fn multipart(&self) -> Result<Option<String>, Failed> {
        let id = self.begin()?;
        let done = self.part(&id).and_then(|etag| {
            let document = format!(
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
                etag.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
            );
            let query = [("uploadId", id.as_str())];
            self.call(Wish::Multipart, Method::Post, &query, document.as_bytes())
        });
        if let Err(failed) = done {
            // The first failure is what is told.
            let _kept = self.abort(&id);
            return Err(failed);
        }
        let head = self.call(Wish::Get, Method::Head, &[], &[])?;
        if head.length != Some(SIZE as u64) {
            return Err(Failed::Wrong(
                "an object that was uploaded in parts has another size then: look at the server's log and version",
            ));
        }
        let id = self.begin()?;
        self.abort(&id)?;
        Ok(None)
    }

    fn part(&self, id: &str) -> Result<String, Failed> {
        let request = Request {
            method: Method::Put,
            key: &self.key,
            query: &[("partNumber", "1"), ("uploadId", id)],
            headers: &[],
        };
        let mut sum = [0; 32];
        sum.copy_from_slice(digest(&SHA256, &self.bytes).as_ref());
        let mut body = self.bytes.as_slice();
        let sent = self
            .client
            .send(&request, &mut body, SIZE as u64, Some(&sum));
        let answer = sent.map_err(|e| Failed::Error(Wish::Multipart, e))?;
        answer.etag.ok_or(Failed::Wrong(
            "the server does not say what a part is called (ETag): look at its version, and at what is between here and there",
        ))
    }

    fn abort(&self, id: &str) -> Result<(), Failed> {
        self.call(Wish::Abort, Method::Delete, &[("uploadId", id)], &[])
            .map(drop)
    }

    /// Deletes this object and that of the parts, and looks whether they are gone.
    fn delete_both(&self) -> Result<Option<String>, Failed> {
        let parts = Object {
            client: self.client,
            key: format!("{}-parts", self.key),
            bytes: Vec::new(),
        };
        let deleted = [self, &parts].map(|object| object.delete());
        for outcome in deleted {
            outcome?;
        }
        Ok(None)
    }

    fn delete(&self) -> Result<(), Failed> {
        match self.call(Wish::Delete, Method::Delete, &[], &[]) {
            Ok(_) => {}
            Err(Failed::Error(_, e)) if *e.kind() == Kind::NotFound => {}
            Err(e) => return Err(e),
        }
        match self.call(Wish::Get, Method::Head, &[], &[]) {
            Err(Failed::Error(_, e)) if *e.kind() == Kind::NotFound => Ok(()),
            // Without the right to list, some servers do not tell what is absent from what is forbidden.
            Err(Failed::Error(_, e)) if *e.kind() == Kind::Denied => Ok(()),
            Err(e) => Err(e),
            Ok(_) => Err(Failed::Wrong(
                "an object is still there after it was deleted: look at the server's log, and whether the bucket locks its objects",
            )),
        }
    }
}
