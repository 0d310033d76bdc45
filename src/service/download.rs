//! Downloads that count: leases on the allowance of a link, exact to the byte.

use super::{Error, OpenFile, Service};
use crate::pipeline::Output;
use std::io;
use std::net::IpAddr;
use std::ops::Range;

/// How long a broken download keeps its lease, unless configured: 10 minutes.
pub const LEASE_SECONDS_DEFAULT: u64 = 600;

/// A part of a download: what goes before the bytes (the framing of `multipart/byteranges`; empty
/// otherwise), and which bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Sent first.
    pub lead: Vec<u8>,
    /// Then these bytes of the file.
    pub range: Range<u64>,
}

/// What a client asks for.
pub struct DownloadWish<'a> {
    /// The bytes, in order. One part of the whole file for a request without a range.
    pub parts: Vec<Part>,
    /// Sent last.
    pub tail: Vec<u8>,
    /// The lease cookie, when the client sent one for this link.
    pub cookie: Option<&'a str>,
    /// The client's address.
    pub peer: IpAddr,
}

/// A download that holds its lease, durably, and waits to be sent. Dropping it unsent gives the
/// bytes back to the lease.
pub struct Download {
    /// Value and life in seconds of the cookie that continues this lease; `None` when nothing is
    /// counted.
    pub cookie: Option<(String, u64)>,
    _private: (),
}

impl Download {
    /// Sends it, waits for the acknowledgement, and settles what was delivered.
    ///
    /// # Errors
    /// What ended it early.
    pub fn send(self, _output: &mut dyn Output) -> io::Result<()> {
        todo!()
    }
}

impl Service {
    /// Takes or continues a lease for these bytes.
    ///
    /// # Errors
    /// [`Error::Busy`] while leases hold all that is left, [`Error::NotFound`] once it is used up.
    pub fn download(
        self: &std::sync::Arc<Self>,
        _file: OpenFile,
        _wish: DownloadWish<'_>,
    ) -> Result<Download, Error> {
        todo!()
    }
}
