//! What templates are filled with: every page, and every variable that it has. Users write
//! templates against these names (`docs/templates.md`): they may grow, and never change.

use super::words;
use crate::model::Timestamp;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

/// The pages there are. Each has a template of its own, in the frame of [`BASE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// What is shown to whoever has no link.
    Index,
    /// A file that may be downloaded.
    Download,
    /// A file whose password is needed first.
    Password,
    /// Anything else that there is to say.
    Error,
}

/// The frame of all pages.
pub const BASE: &str = "base.html";

/// What every page has.
pub const COMMON: [&str; 11] = [
    "title",
    "site.name",
    "site.url",
    "site.prefix",
    "site.style",
    "site.color",
    "site.logo",
    "site.logo_width",
    "site.logo_height",
    "site.favicon",
    "site.favicon_type",
];

impl Page {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Index, Self::Download, Self::Password, Self::Error];

    /// The name of its template.
    pub fn file(self) -> &'static str {
        match self {
            Self::Index => "index.html",
            Self::Download => "download.html",
            Self::Password => "password.html",
            Self::Error => "error.html",
        }
    }

    /// What it has besides [`COMMON`].
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Index => &[],
            Self::Download => &[
                "id",
                "name",
                "size",
                "size_bytes",
                "downloads",
                "until",
                "until_iso",
                "availability",
                "download_url",
            ],
            Self::Password => &["id", "wrong", "action"],
            Self::Error => &["status", "text", "retry_after", "wait"],
        }
    }
}

/// What every page knows of the server.
#[derive(Serialize, Clone)]
pub struct Site {
    /// What it is called.
    pub name: String,
    /// Its address, without a slash at the end.
    pub url: String,
    /// The path of that address: what stands before each path.
    pub prefix: String,
    /// The address of the style sheet.
    pub style: String,
    /// The colour, as CSS writes it.
    pub color: String,
    /// The address of the logo.
    pub logo: String,
    /// How wide the logo is drawn, in CSS pixels.
    pub logo_width: u32,
    /// How high.
    pub logo_height: u32,
    /// The address of the icon in the tab.
    pub favicon: String,
    /// Its type.
    pub favicon_type: String,
}

#[derive(Serialize)]
struct Frame<'a, T> {
    site: &'a Site,
    title: &'a str,
    #[serde(flatten)]
    content: T,
}

/// A page, ready to be filled in.
pub fn fill(site: &Site, title: &str, content: impl Serialize) -> Value {
    Value::from(Serde(Frame {
        site,
        title,
        content,
    }))
}

/// The content of [`Page::Index`].
#[derive(Serialize)]
pub struct Index {}

/// The content of [`Page::Download`].
#[derive(Serialize)]
pub struct Download<'a> {
    id: &'a str,
    name: &'a str,
    size: String,
    size_bytes: u64,
    downloads: Option<u32>,
    until: Option<String>,
    until_iso: Option<String>,
    availability: String,
    download_url: String,
}

impl<'a> Download<'a> {
    /// A file, and how long it is there. `name` is safe to show.
    pub fn new(
        site: &Site,
        id: &'a str,
        name: &'a str,
        size: u64,
        until: Option<Timestamp>,
        downloads: Option<u32>,
    ) -> Self {
        let count =
            downloads.map(|n| words::count(u64::from(n), "1 download left", "downloads left"));
        let time = until.map(words::time);
        let availability = match (count, &time) {
            (Some(count), Some(time)) => format!("{count}, until {time}"),
            (Some(count), None) => count,
            (None, Some(time)) => format!("until {time}"),
            (None, None) => "until it is deleted".to_owned(),
        };
        Self {
            id,
            name,
            size: words::size(size),
            size_bytes: size,
            downloads,
            until: time,
            until_iso: until.map(words::machine_time),
            availability,
            download_url: format!("{}/dh/{id}", site.prefix),
        }
    }
}

/// The content of [`Page::Password`].
#[derive(Serialize)]
pub struct Password<'a> {
    id: &'a str,
    wrong: bool,
    action: String,
}

impl<'a> Password<'a> {
    /// The form of a link; `wrong` after a password that was not the one.
    pub fn new(site: &Site, id: &'a str, wrong: bool) -> Self {
        let action = format!("{}/d?id={id}", site.prefix);
        Self { id, wrong, action }
    }
}

/// The content of [`Page::Error`].
#[derive(Serialize)]
pub struct Message<'a> {
    status: u16,
    text: &'a str,
    retry_after: Option<u64>,
    wait: Option<String>,
}

impl<'a> Message<'a> {
    /// A text; `retry_after` is how many seconds to wait before another attempt.
    pub fn new(status: u16, text: &'a str, retry_after: Option<u64>) -> Self {
        Self {
            status,
            text,
            retry_after,
            wait: retry_after.map(words::span),
        }
    }
}

/// Every page in every shape that it can have, to try templates with.
pub fn samples(site: &Site) -> Vec<(Page, Value)> {
    let mut all = vec![(Page::Index, fill(site, "Start", Index {}))];
    let id = "a1b2c3d4e5f6g7h8i9j0k1";
    for until in [None, Some(Timestamp(1_796_306_400))] {
        for downloads in [None, Some(1), Some(2)] {
            let file = Download::new(site, id, "report.pdf", 251_658, until, downloads);
            all.push((Page::Download, fill(site, "report.pdf", file)));
        }
    }
    for wrong in [false, true] {
        let form = Password::new(site, id, wrong);
        all.push((Page::Password, fill(site, "Password needed", form)));
    }
    for (status, retry_after) in [(404, None), (429, Some(30)), (500, None), (507, None)] {
        let message = Message::new(status, "What there is to say.", retry_after);
        all.push((Page::Error, fill(site, "Title", message)));
    }
    all
}
