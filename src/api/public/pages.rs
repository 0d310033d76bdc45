//! The pages: what people see. Rendered here, without scripts; every value is escaped.
//!
//! Whatever cannot be downloaded, and why, looks the same from outside: there is one page and one
//! status for unknown, expired, used up and deleted.

use crate::api::gokapi::wire::{size_text, time_text};
use crate::api::{ApiSettings, prefix};
use crate::http::{Method, Response};
use crate::model::Timestamp;
use crate::service::Error;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use std::time::Duration;

/// Something that is served as it is.
pub struct Asset {
    /// Where it is, below the prefix.
    pub path: &'static str,
    /// Its type.
    pub content_type: &'static str,
    /// It.
    pub bytes: &'static [u8],
    /// How long it may be kept.
    pub keep: &'static str,
}

/// For what has its version in its address.
const FOR_LONG: &str = "public, max-age=31536000, immutable";

/// How the pages look.
pub static STYLE: Asset = Asset {
    path: "/assets/style.css",
    content_type: "text/css; charset=utf-8",
    bytes: include_bytes!("assets/style.css"),
    keep: FOR_LONG,
};

/// The picture in the tab.
pub static ICON: Asset = Asset {
    path: "/assets/icon.svg",
    content_type: "image/svg+xml",
    bytes: include_bytes!("assets/icon.svg"),
    keep: FOR_LONG,
};

/// Nothing here is for search engines.
pub static ROBOTS: Asset = Asset {
    path: "/robots.txt",
    content_type: "text/plain; charset=utf-8",
    bytes: include_bytes!("assets/robots.txt"),
    keep: "public, max-age=86400",
};

impl Asset {
    /// A number that is another one when the bytes are others (FNV-1a): part of the address, so
    /// that it can be kept for a year.
    fn version(&self) -> String {
        let hash = self.bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// What pages may load and do: the style sheet, the icon, the password form.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const BASE: &str = include_str!("templates/base.html");
const PAGES: [(&str, &str); 4] = [
    ("file.html", include_str!("templates/file.html")),
    ("locked.html", include_str!("templates/locked.html")),
    ("message.html", include_str!("templates/message.html")),
    ("start.html", include_str!("templates/start.html")),
];

/// What every page knows of the server.
#[derive(Serialize)]
struct Site {
    name: String,
    /// What stands before each path.
    prefix: String,
    style_version: String,
    icon_version: String,
}

/// The pages, ready to be filled in.
pub struct Pages {
    templates: Environment<'static>,
    site: Site,
    base_url: String,
}

#[derive(Serialize)]
struct Frame<'a, T> {
    site: &'a Site,
    title: &'a str,
    #[serde(flatten)]
    content: T,
}

/// The page of a file that may be downloaded.
#[derive(Serialize)]
struct FilePage<'a> {
    name: String,
    size: String,
    downloads: Option<u32>,
    until: Option<String>,
    until_iso: Option<String>,
    id: &'a str,
}

#[derive(Serialize)]
struct LockedPage<'a> {
    id: &'a str,
    wrong: bool,
}

#[derive(Serialize)]
struct MessagePage<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct StartPage<'a> {
    base: &'a str,
}

impl Pages {
    /// Reads the templates.
    pub fn new(settings: &ApiSettings) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, content) in PAGES {
            #[allow(
                clippy::expect_used,
                reason = "the templates are part of the program, and each is rendered in its tests"
            )]
            templates
                .add_template_owned(name, BASE.replace("<!-- content -->", content))
                .expect("a template of the program");
        }
        Self {
            templates,
            site: Site {
                name: settings.public_name.clone(),
                prefix: prefix(&settings.base_url).to_owned(),
                style_version: STYLE.version(),
                icon_version: ICON.version(),
            },
            base_url: settings.base_url.clone(),
        }
    }

    /// What is shown to whoever has no link.
    pub fn start(&self) -> Response {
        self.page(
            200,
            "start.html",
            "Start",
            StartPage {
                base: &self.base_url,
            },
        )
    }

    /// A file that may be downloaded.
    pub fn file(
        &self,
        id: &str,
        name: &str,
        size: u64,
        until: Option<Timestamp>,
        downloads: Option<u32>,
    ) -> Response {
        let name = visible(name);
        self.page(
            200,
            "file.html",
            &name,
            FilePage {
                name: name.clone(),
                size: size_text(size),
                downloads,
                until: until.map(time_text),
                until_iso: until.map(|at| time_text(at).replace(' ', "T") + "Z"),
                id,
            },
        )
    }

    /// A file whose password is needed first. A wrong one is 403, so that whoever watches the
    /// server's answers can count them.
    pub fn locked(&self, id: &str, wrong: bool) -> Response {
        self.page(
            if wrong { 403 } else { 200 },
            "locked.html",
            "Password needed",
            LockedPage { id, wrong },
        )
    }

    /// The page of a link, as an address of this server.
    pub fn link(&self, id: &str) -> String {
        format!("{}/d?id={id}", self.site.prefix)
    }

    /// There is nothing (any more).
    pub fn not_found(&self) -> Response {
        self.message(
            404,
            "Not found",
            "There is no file here. It may have expired, been downloaded as often as it could be, or been deleted; or the address is incomplete.",
        )
    }

    /// The address is right, the method is not.
    pub fn wrong_method(&self, allowed: &[Method]) -> Response {
        let names: Vec<&str> = allowed.iter().map(|method| method.name()).collect();
        self.message(
            405,
            "Not possible",
            "This address does not take such requests.",
        )
        .with("Allow", names.join(", "))
    }

    /// What went wrong, for people.
    pub fn error(&self, error: &Error) -> Response {
        match error {
            Error::NotFound | Error::Unauthorized | Error::Forbidden => self.not_found(),
            Error::PasswordNeeded | Error::WrongPassword => self.message(
                403,
                "Password needed",
                "Open the page of the link and give its password first.",
            ),
            Error::Busy(after) => self.wait(
                *after,
                "In progress",
                "All remaining downloads of this file are in progress. If one of them breaks off, it is free again: try in a few minutes.",
            ),
            Error::TooMany(after) => self.wait(
                *after,
                "Too many attempts",
                "Too many attempts came from your network. Please wait a little, then try again.",
            ),
            Error::TooLarge { .. } => self.message(413, "Too large", &error.to_string()),
            Error::Full { .. } => self.message(507, "No space left", &error.to_string()),
            Error::Invalid(what) => self.message(400, "Not possible", what),
            Error::Input(_) => self.message(400, "Broken off", "The request broke off."),
            Error::Damaged => self.message(
                500,
                "Damaged",
                "The file is damaged on the server and cannot be downloaded. Please tell who sent you the link.",
            ),
            Error::Internal(_) => self.message(
                500,
                "Something went wrong",
                "The server could not do this. Please try again later.",
            ),
        }
    }

    fn wait(&self, after: Duration, title: &str, text: &str) -> Response {
        self.message(429, title, text)
            .with("Retry-After", after.as_secs().max(1).to_string())
    }

    fn message(&self, status: u16, title: &str, text: &str) -> Response {
        self.page(status, "message.html", title, MessagePage { text })
    }

    fn page(&self, status: u16, template: &str, title: &str, content: impl Serialize) -> Response {
        let frame = Frame {
            site: &self.site,
            title,
            content,
        };
        let rendered = self
            .templates
            .get_template(template)
            .and_then(|template| template.render(Serde(frame)));
        match rendered {
            Ok(html) => guarded(status)
                .with("Content-Security-Policy", PAGE_POLICY)
                .body("text/html; charset=utf-8", html),
            Err(error) => {
                log::error!("page {template}: {error}");
                plain(500, "internal error\n")
            }
        }
    }
}

/// An answer of plain text that nobody keeps.
pub fn plain(status: u16, text: &str) -> Response {
    guarded(status)
        .with("Content-Security-Policy", "default-src 'none'")
        .body("text/plain; charset=utf-8", text)
}

/// What is served as it is, to everybody.
pub fn asset(asset: &Asset) -> Response {
    Response::new(200)
        .with("Cache-Control", asset.keep)
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", "default-src 'none'; sandbox")
        .with("Cross-Origin-Resource-Policy", "same-origin")
        .body(asset.content_type, asset.bytes)
}

/// Leads somewhere else on this server.
pub fn see_other(location: &str) -> Response {
    plain(303, "see other\n").with("Location", location)
}

/// An answer with what every page has.
fn guarded(status: u16) -> Response {
    Response::new(status)
        .with("Cache-Control", "no-store")
        .with("X-Content-Type-Options", "nosniff")
        .with("Referrer-Policy", "no-referrer")
        .with("Cross-Origin-Resource-Policy", "same-origin")
        .with("X-Robots-Tag", "noindex, nofollow")
}

/// A name as it may be shown: characters that turn the direction of what follows are taken out,
/// lest `exe.txt` be read where `txt.exe` stands.
fn visible(name: &str) -> String {
    name.chars()
        .filter(|c| {
            !matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                && !c.is_control()
        })
        .collect()
}

#[cfg(test)]
mod tests;
