//! What is served as it is, to everybody: style, pictures, `robots.txt`.

use crate::http::{Response, Stream};
use std::ops::Deref;
use std::sync::Arc;

/// Something that is served as it is.
pub struct Asset {
    /// Its type.
    pub content_type: &'static str,
    /// It.
    pub bytes: Bytes,
    /// How long it may be kept.
    pub keep: &'static str,
}

/// Bytes that stay while they are served, however many take them at once.
#[derive(Clone)]
pub enum Bytes {
    /// Part of the program.
    Ours(&'static [u8]),
    /// Read or made at the start, or by a reload.
    Own(Arc<[u8]>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Ours(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }
}

/// Of more than this, in bytes, nobody gets a copy: many who take their time would fill the memory.
/// Smaller ones go with the small answers, for which no thread is needed.
const LARGE: usize = 16 * 1024;

/// Where the style sheet is, below the prefix.
pub const STYLE_PATH: &str = "/assets/style.css";
/// Where the logo is.
pub const LOGO_PATH: &str = "/assets/logo";
/// Where the icon in the tab is.
pub const FAVICON_PATH: &str = "/assets/favicon";
/// Where browsers look for that icon when no page has told them better.
pub const FAVICON_ICO_PATH: &str = "/favicon.ico";
/// Where our own picture is, whatever the owner has.
pub const ICON_PATH: &str = "/assets/icon.svg";
/// Where search engines look.
pub const ROBOTS_PATH: &str = "/robots.txt";

/// For what has its version in its address.
pub const FOR_LONG: &str = "public, max-age=31536000, immutable";
/// For what has another version than the one asked for: a page that is just being replaced.
const NOT_AT_ALL: &str = "no-store";
/// For what has no version.
const FOR_A_DAY: &str = "public, max-age=86400";

/// Our style, without its colours.
pub const STYLE: &str = include_str!("../assets/style.css");
/// Our picture.
pub const ICON_BYTES: &[u8] = include_bytes!("../assets/icon.svg");

/// Our picture, as it is served.
pub const ICON: Asset = Asset {
    content_type: "image/svg+xml",
    bytes: Bytes::Ours(ICON_BYTES),
    keep: FOR_LONG,
};

/// Nothing here is for search engines.
pub const ROBOTS: Asset = Asset {
    content_type: "text/plain; charset=utf-8",
    bytes: Bytes::Ours(include_bytes!("../assets/robots.txt")),
    keep: FOR_A_DAY,
};

impl Asset {
    /// A number that is another one when the bytes are others (FNV-1a): part of the address, so
    /// that it can be kept for a year.
    pub fn version(&self) -> String {
        let hash = self.bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// It, for a request with this query. Drawings may have styles of their own, and nothing else:
    /// they run no script, also when somebody opens them by themselves.
    pub fn serve(&self, query: Option<&str>) -> Response {
        let asked = query.and_then(|query| query.strip_prefix("v="));
        let keep = match asked {
            None => FOR_A_DAY,
            Some(version) if version == self.version() => self.keep,
            Some(_) => NOT_AT_ALL,
        };
        let response = Response::new(200)
            .with("Cache-Control", keep)
            .with("X-Content-Type-Options", "nosniff")
            .with(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            )
            .with("Cross-Origin-Resource-Policy", "same-origin")
            .with("Referrer-Policy", "no-referrer");
        if self.bytes.len() <= LARGE {
            return response.body(self.content_type, &*self.bytes);
        }
        let bytes = self.bytes.clone();
        response
            .with("Content-Type", self.content_type)
            .stream(Stream {
                length: Some(bytes.len() as u64),
                send: Box::new(move |sink| sink.write_all(&bytes)),
            })
    }
}
