//! Files on their way out: conditions, ranges, the fields that keep a stranger's file from acting
//! in our name, the lease that makes a download count, and the way to a store that hands files out itself.

use super::set_cookie;
use crate::api::Api;
use crate::http::conditional::{Outcome, Validators, evaluate};
use crate::http::disposition::Disposition;
use crate::http::inline::{SNIFF, inert_type, inline_type};
use crate::http::range::{self, ByteRanges, Ranges};
use crate::http::{Head, Method, Response, Sink, Stream, cookie, date};
use crate::pipeline::Output;
use crate::service::{DownloadWish, Error, OpenFile, Part};
use std::fs::File;
use std::io;
use std::ops::Range;

/// The type of what may be anything.
const UNKNOWN: &str = "application/octet-stream";

/// Who gets a file, and how.
struct Terms<'a> {
    /// Part of the name of the lease's cookie.
    id: &'a str,
    /// The path that the lease's cookie goes back to.
    path: &'a str,
    /// Whether browsers may show the file in pages of other sites, if its kind allows.
    shown: bool,
    /// Whether it may come from elsewhere.
    sent_on: bool,
}

/// Conditions are about our validators; a store has its own.
const CONDITIONS: [&str; 5] = [
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
];

/// A file for its recipient. `path` is where it was asked for; `id` is what opened it.
pub fn public(
    api: &Api,
    head: &Head,
    file: OpenFile,
    id: &str,
    path: &str,
    shown: bool,
) -> Result<Response, Error> {
    let terms = Terms {
        id,
        path,
        shown,
        // What pages show is fetched bit by bit for as long as it is looked at, and keeps our fields.
        sent_on: !shown,
    };
    serve(api, head, file, &terms)
}

/// A file for its owner.
pub fn own(api: &Api, head: &Head, file: OpenFile, id: &str) -> Result<Response, Error> {
    let terms = Terms {
        id,
        path: head.path.as_str(),
        shown: false,
        sent_on: false,
    };
    serve(api, head, file, &terms)
}

fn serve(api: &Api, head: &Head, mut file: OpenFile, terms: &Terms) -> Result<Response, Error> {
    let size = file.size;
    let etag = format!("\"{}\"", file.etag);
    let validators = Validators {
        etag: Some(&etag),
        modified: Some(file.created),
    };
    let respond = |status| fields(status, &etag, &file, terms);
    let by_range = match evaluate(head, &validators) {
        Outcome::NotModified => return Ok(respond(304)),
        Outcome::Failed => return Ok(respond(412)),
        Outcome::Proceed { ranges } => head.headers.first("Range").filter(|_| ranges),
    };
    let ranges = by_range.map_or(Ranges::Whole, |text| range::parse(text, size));
    if ranges == Ranges::Unsatisfiable {
        return Ok(respond(416).with("Content-Range", range::unsatisfied_range(size)));
    }
    let may_be_sent_on = terms.sent_on && is_plain(head, &ranges);
    let shown_as = if terms.shown {
        let first = file.first_bytes(SNIFF)?;
        inline_type(&file.content_type, &first)
    } else {
        None
    };
    let (disposition, content_type) = match shown_as {
        Some(kind) => (Disposition::Inline, kind),
        None => (Disposition::Attachment, saved_type(&file.content_type)),
    };
    let content_type = content_type.to_owned();
    let mut response = fields(
        if ranges == Ranges::Whole { 200 } else { 206 },
        &etag,
        &file,
        terms,
    )
    .with("Content-Disposition", disposition.with_name(&file.name));
    let whole = |range: Range<u64>| Part {
        lead: Vec::new(),
        range,
    };
    let (parts, tail, length) = match ranges {
        Ranges::Parts(parts) if parts.len() > 1 => {
            // The tag is 128 bits that nobody knew when the file was made: it cannot hold them.
            let framing = ByteRanges::new(&file.etag, &content_type, size, &parts);
            response = response.with("Content-Type", framing.content_type());
            let leads = framing.leads().iter().cloned();
            let parts = leads
                .zip(parts)
                .map(|(lead, range)| Part { lead, range })
                .collect();
            (parts, framing.tail(), framing.total())
        }
        Ranges::Parts(parts) => {
            response = response.with("Content-Type", content_type);
            let one = parts.into_iter().next().unwrap_or(0..size);
            response = response.with("Content-Range", range::content_range(&one, size));
            let length = one.end - one.start;
            (vec![whole(one)], Vec::new(), length)
        }
        Ranges::Whole | Ranges::Unsatisfiable => {
            response = response.with("Content-Type", content_type);
            (vec![whole(0..size)], Vec::new(), size)
        }
    };
    if head.method == Method::Head {
        return Ok(response.stream(Stream {
            length: Some(length),
            send: Box::new(|_| Ok(())),
        }));
    }
    if let ([part], true) = (parts.as_slice(), may_be_sent_on)
        && let Some(response) = sent_on(api, head, &file, &part.range, terms)
    {
        return Ok(response);
    }
    let name = format!("lease_{}", terms.id);
    let download = api.service.download(
        file,
        DownloadWish {
            parts,
            tail,
            cookie: cookie::first(&head.headers, &name),
            peer: head.peer,
        },
    )?;
    if let Some((value, life)) = &download.cookie
        && let Some(cookie) = set_cookie(api, &name, value, *life, terms.path)
    {
        response = response.with("Set-Cookie", cookie);
    }
    Ok(response.stream(Stream {
        length: Some(length),
        send: Box::new(move |sink| download.send(&mut Towards(sink))),
    }))
}

/// Whether a store answers as we would: nothing hangs on a condition, and it reads the range as we do.
fn is_plain(head: &Head, ranges: &Ranges) -> bool {
    let is_there = |name| head.headers.all(name).next().is_some();
    let range = head.headers.first("Range").unwrap_or_default();
    let reads = match ranges {
        Ranges::Whole => !is_there("Range"),
        Ranges::Parts(_) => range.starts_with("bytes=") && !range.contains(','),
        Ranges::Unsatisfiable => false,
    };
    reads && !CONDITIONS.iter().any(|name| is_there(name))
}

/// The way to the store, if it hands out this file itself. What comes from there lacks the fields that we send, and
/// its origin may have pages of its own: so the file is saved, never shown, and only a type that no browser
/// runs is told.
fn sent_on(
    api: &Api,
    head: &Head,
    file: &OpenFile,
    range: &Range<u64>,
    terms: &Terms,
) -> Option<Response> {
    let content_type = inert_type(&file.content_type).unwrap_or(UNKNOWN);
    let disposition = Disposition::Attachment.with_name(&file.name);
    let service = &api.service;
    let address = service.redirect(file, range, &disposition, content_type, head.peer)?;
    // Temporary, and the method stays: RFC 9110, section 15.4.8.
    Some(guards(307, terms).with("Location", address))
}

/// The fields of every answer about a file, whatever becomes of the request.
fn fields(status: u16, etag: &str, file: &OpenFile, terms: &Terms) -> Response {
    guards(status, terms)
        .with("ETag", etag)
        .with("Last-Modified", date::format(file.created))
        .with("Accept-Ranges", "bytes")
}

/// Fields that keep an answer from being kept, guessed at, run, or embedded where it is not meant to be.
fn guards(status: u16, terms: &Terms) -> Response {
    guarded(status, terms.shown)
}

/// The same, for what is made to be saved.
pub fn saved(status: u16) -> Response {
    guarded(status, false)
}

fn guarded(status: u16, shown: bool) -> Response {
    Response::new(status)
        .with("Cache-Control", "no-store, no-cache, no-transform")
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", "default-src 'none'; sandbox")
        .with(
            "Cross-Origin-Resource-Policy",
            if shown { "cross-origin" } else { "same-origin" },
        )
        .with("Referrer-Policy", "no-referrer")
        .with("X-Robots-Tag", "noindex, nofollow")
}

/// The type of a file that is saved: as declared, when that can stand in a header.
fn saved_type(declared: &str) -> &str {
    if !declared.is_empty() && declared.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        declared
    } else {
        UNKNOWN
    }
}

/// The client's socket, as the pipeline sees it.
pub struct Towards<'a>(pub &'a mut dyn Sink);

impl Output for Towards<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        self.0.send_file(file, offset, length)
    }

    fn settle(&mut self) -> u64 {
        self.0.settle()
    }

    fn ready(&mut self) -> io::Result<()> {
        self.0.ready()
    }
}
