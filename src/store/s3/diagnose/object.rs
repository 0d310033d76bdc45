//! The requests of a trial: a listing, and an object that is there for a moment.

use super::Wish;
use crate::store::s3::failure::date;
use crate::store::s3::{Answer, Client, Kind, Method, Request, S3Error, xml};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::io::Read;

/// Bytes of the objects that are stored for a moment.
const SIZE: usize = 4096;
/// Longest document that is read, in bytes.
const DOCUMENT: usize = 64 * 1024;

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

/// Why a step did not go well.
pub(super) enum Failed {
    /// A request failed.
    Error(Wish, S3Error),
    /// What came back is not what was stored, or not what was asked for.
    Wrong(&'static str),
}

/// One attempt to list one object. Answers the server's time.
pub(super) fn list(client: &Client) -> Result<Option<i64>, S3Error> {
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

/// The remark for a server that `does` not what keeps downloads from mixing two objects.
fn unlike(does: &str) -> String {
    format!(
        "the server {does}: downloads work, but let nothing else write to the bucket below this prefix, or what is downloaded meanwhile breaks off"
    )
}

/// An object that is there for a moment.
pub(super) struct Object<'a> {
    client: &'a Client,
    key: String,
    bytes: Vec<u8>,
}

impl<'a> Object<'a> {
    pub(super) fn new(client: &'a Client, key: String) -> Self {
        Self {
            client,
            key,
            bytes: (0..SIZE).map(|n| (n * 7 % 251) as u8).collect(),
        }
    }
    fn call(
        &self,
        wish: Wish,
        method: Method,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Failed> {
        let request = Request {
            method,
            key: &self.key,
            query,
            headers: &[],
        };
        let answer = self.client.call(&request, body, DOCUMENT);
        answer.map_err(|e| Failed::Error(wish, e))
    }

    /// Stores it.
    pub(super) fn put(&self) -> Result<Option<String>, Failed> {
        self.call(Wish::Put, Method::Put, &[], &self.bytes)
            .map(|_| None)
    }

    pub(super) fn get(&self) -> Result<Option<String>, Failed> {
        let answer = self.call(Wish::Get, Method::Get, &[], &[])?;
        match answer.body == self.bytes {
            true => Ok(None),
            false => Err(Failed::Wrong(
                "the server gives back other bytes than were stored: look at its disks and at what is between here and there",
            )),
        }
    }

    /// Asks for it under a name and as another type. A server that does not do that is worth a remark.
    pub(super) fn shown(&self) -> Result<Option<String>, Failed> {
        const NAME: &str = "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt";
        const TYPE: &str = "text/plain; charset=utf-8";
        let query = [
            ("response-content-disposition", NAME),
            ("response-content-type", TYPE),
        ];
        let answer = self.call(Wish::Get, Method::Get, &query, &[])?;
        let told = |name| answer.header(name).unwrap_or_default();
        let as_told = told("content-disposition") == NAME && told("content-type") == TYPE;
        Ok((!as_told).then(|| {
            "the server does not tell recipients the names of files (response-content-disposition), and redirected downloads have those of objects: write downloads = \"proxied\" in [s3]".to_owned()
        }))
    }

    /// Asks for a part of it as downloads do: only of this very object. A server that does not compare is worth a
    /// remark, since downloads go well there as long as nobody else replaces objects.
    pub(super) fn range(&self) -> Result<Option<String>, Failed> {
        const NO_RANGES: Failed = Failed::Wrong(
            "the server does not give parts of objects (Range), which downloads need: look at what is between here and there, such as a proxy",
        );
        let failed = |e| Failed::Error(Wish::Get, e);
        let (is_right, etag) = self.part_of(None).map_err(failed)?;
        if !is_right {
            return Err(NO_RANGES);
        }
        // A weak tag fits no condition: RFC 9110, section 13.1.1.
        let Some(etag) = etag.filter(|tag| !tag.starts_with("W/")) else {
            return Ok(Some(unlike("gives objects no strong tag (ETag)")));
        };
        match self.part_of(Some(&etag)) {
            Ok((true, _)) => {}
            Ok((false, _)) => return Err(NO_RANGES),
            Err(e) if *e.kind() == Kind::NotImplemented => {
                return Ok(Some(unlike(
                    "refuses to compare the tags of objects (If-Match)",
                )));
            }
            Err(e) if *e.kind() == Kind::Precondition => {
                return Err(Failed::Wrong(
                    "the server says that an object has changed which has not (If-Match), so that downloads fail: look at its version, and at what is between here and there, such as a proxy that changes ETag",
                ));
            }
            Err(e) => return Err(failed(e)),
        }
        match self.part_of(Some("\"00000000000000000000000000000000\"")) {
            Err(e) if *e.kind() == Kind::Precondition => Ok(None),
            Ok(_) => Ok(Some(unlike(
                "does not compare the tags of objects (If-Match)",
            ))),
            Err(e) => Err(failed(e)),
        }
    }

    /// A part of it, of the object with that tag only: whether it is the right one, and what the object's tag is.
    fn part_of(&self, tag: Option<&str>) -> Result<(bool, Option<String>), S3Error> {
        let mut headers = vec![("range", "bytes=1000-1999")];
        headers.extend(tag.map(|tag| ("if-match", tag)));
        let answer = self.client.fetch(&Request {
            method: Method::Get,
            key: &self.key,
            query: &[],
            headers: &headers,
        })?;
        let etag = answer.etag.clone();
        let is_range =
            answer.status == 206 && answer.range.is_some_and(|range| range.start == 1000);
        let mut bytes = Vec::new();
        answer
            .take(2 * SIZE as u64)
            .read_to_end(&mut bytes)
            .map_err(|e| S3Error::new(Kind::Broken, format!("the answer broke off: {e}")))?;
        let is_right = is_range && self.bytes.get(1000..2000) == Some(bytes.as_slice());
        Ok((is_right, etag))
    }

    /// Asks for it to be stored only if it is not there, which it is.
    pub(super) fn replace(&self) -> Result<Option<String>, Failed> {
        let request = Request {
            method: Method::Put,
            key: &self.key,
            query: &[],
            headers: &[("if-none-match", "*")],
        };
        match self.client.call(&request, &self.bytes, DOCUMENT) {
            Err(e) if *e.kind() == Kind::Precondition => Ok(None),
            Err(e) if *e.kind() != Kind::NotImplemented => Err(Failed::Error(Wish::Put, e)),
            _ => Ok(Some(
                "the server replaces objects whatever it is asked (If-None-Match), so that two Mayflys that are started at the same moment on one bucket and prefix may both take it for theirs: give each a prefix of its own".to_owned(),
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
    pub(super) fn multipart(&self) -> Result<Option<String>, Failed> {
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

    /// Deletes it, and looks whether it is gone. A bucket that keeps versions only marks it as deleted, which is
    /// worth a remark. (That it has a version says nothing: there are servers that number objects without keeping
    /// old ones.)
    pub(super) fn delete(&self) -> Result<Option<String>, Failed> {
        let remark = match self.call(Wish::Delete, Method::Delete, &[], &[]) {
            Ok(answer) if answer.header("x-amz-delete-marker") == Some("true") => Some(
                "the bucket keeps versions, so that deleted files stay there: switch versioning off, or let a lifecycle rule of the bucket remove old versions".to_owned(),
            ),
            Ok(_) => None,
            Err(Failed::Error(_, e)) if *e.kind() == Kind::NotFound => None,
            Err(e) => return Err(e),
        };
        match self.call(Wish::Get, Method::Head, &[], &[]) {
            Err(Failed::Error(_, e)) if *e.kind() == Kind::NotFound => Ok(remark),
            // Without the right to list, some servers do not tell what is absent from what is forbidden.
            Err(Failed::Error(_, e)) if *e.kind() == Kind::Denied => Ok(remark),
            Err(e) => Err(e),
            Ok(_) => Err(Failed::Wrong(
                "an object is still there after it was deleted: look at the server's log, and whether the bucket locks its objects",
            )),
        }
    }
}
