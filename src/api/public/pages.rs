//! The pages: what people see. Rendered here, without scripts; every value is escaped.
//!
//! Whatever cannot be downloaded, and why, looks the same from outside: there is one page and one
//! status for unknown, expired, used up and deleted.

mod assets;
mod branches;
mod color;
mod content;
mod folder;
mod image;
mod lint;
mod look;
mod place;
mod policy;
mod problem;
mod token;
mod words;

pub use assets::{
    Asset, FAVICON_ICO_PATH, FAVICON_PATH, ICON, ICON_PATH, LOGO_PATH, ROBOTS, ROBOTS_PATH,
    STYLE_PATH,
};
pub use problem::Problem;

use crate::api::{AWAY, ApiSettings};
use crate::http::{Method, Response};
use crate::model::Timestamp;
use crate::service::Error;
use content::{Download, Index, Message, Page, Password, fill};
use look::Look;
use minijinja::Value;
use policy::PAGE_POLICY;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

/// What the owner may change about the pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageSettings {
    /// A folder with templates, style, logo and favicon; any of them, or none.
    pub templates: Option<PathBuf>,
    /// What the server is called.
    pub name: String,
    /// The colour of buttons: `#` and three or six hexadecimal digits.
    pub color: Option<String>,
    /// A picture instead of ours; it goes before one in the folder.
    pub logo: Option<PathBuf>,
}

impl Default for PageSettings {
    fn default() -> Self {
        Self {
            templates: None,
            name: "Mayfly".to_owned(),
            color: None,
            logo: None,
        }
    }
}

/// The stack for reading templates, in bytes: the engine reads by recursion, and whoever asks for
/// it may have a small one.
const READING_STACK: usize = 2 * 1024 * 1024;

/// The pages, ready to be filled in.
pub struct Pages {
    look: RwLock<Arc<Look>>,
}

/// Everything that is wrong with what these settings name: templates, style sheet, pictures. Takes
/// nothing into use.
///
/// # Errors
/// When there is no thread to do it.
pub fn check(settings: &PageSettings) -> io::Result<Vec<Problem>> {
    Ok(read("http://localhost", settings)?.problems)
}

/// Pages that were read, and are not in use.
pub struct ReadPages {
    look: Look,
    problems: Vec<Problem>,
}

/// Reads what these settings name, for a server whose links begin with `base_url`. Takes as long as
/// the files take, which may be on a mount that hangs.
///
/// # Errors
/// When there is no thread to do it.
pub fn read(base_url: &str, settings: &PageSettings) -> io::Result<ReadPages> {
    let (look, problems) = thread::scope(|scope| {
        thread::Builder::new()
            .name("templates".to_owned())
            .stack_size(READING_STACK)
            .spawn_scoped(scope, || Look::load(base_url, settings))?
            .join()
            .map_err(|_| io::Error::other("reading the templates failed"))
    })?;
    Ok(ReadPages { look, problems })
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        if problem.refused {
            log::warn!("{problem}. What is built in is used instead");
        } else {
            log::warn!("{problem}");
        }
    }
}

impl Pages {
    /// Reads what the settings name. What cannot be used is told to the log, and ours takes its
    /// place.
    pub fn new(settings: &ApiSettings) -> Self {
        let base_url = settings.base_url.as_str();
        let own = read(base_url, &settings.pages);
        let own = own.map(|read| (read.look, read.problems));
        let (look, problems) = own.unwrap_or_else(|e| {
            log::warn!("the templates cannot be read: {e}. The built-in ones are used");
            let plain = PageSettings {
                name: settings.pages.name.clone(),
                ..PageSettings::default()
            };
            Look::load(base_url, &plain)
        });
        tell(&problems);
        Self {
            look: RwLock::new(Arc::new(look)),
        }
    }

    /// Takes what was read into use as a whole: each page is of the old look or of the new one. What
    /// cannot be used is told to the log, as at a start, and returned.
    pub fn replace(&self, read: ReadPages) -> Vec<Problem> {
        tell(&read.problems);
        *self.look.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read.look);
        read.problems
    }

    fn look(&self) -> Arc<Look> {
        Arc::clone(&self.look.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The style sheet.
    pub fn style(&self, query: Option<&str>) -> Response {
        self.look().style.serve(query)
    }

    /// The logo.
    pub fn logo(&self, query: Option<&str>) -> Response {
        self.look().logo.serve(query)
    }

    /// The icon in the tab.
    pub fn favicon(&self, query: Option<&str>) -> Response {
        self.look().favicon.serve(query)
    }

    /// What is shown to whoever has no link.
    pub fn start(&self) -> Response {
        let look = self.look();
        page(&look, 200, Page::Index, fill(&look.site, "Start", Index {}))
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
        let look = self.look();
        let name = visible(name);
        let file = Download::new(&look.site, id, &name, size, until, downloads);
        page(&look, 200, Page::Download, fill(&look.site, &name, file))
    }

    /// A file whose password is needed first. A wrong one is 403, so that whoever watches the
    /// server's answers can count them.
    pub fn locked(&self, id: &str, wrong: bool) -> Response {
        let look = self.look();
        let (status, title) = if wrong {
            (403, "Wrong password")
        } else {
            (200, "Password needed")
        };
        let form = Password::new(&look.site, id, wrong);
        page(&look, status, Page::Password, fill(&look.site, title, form))
    }

    /// The page of a link, as an address of this server.
    pub fn link(&self, id: &str) -> String {
        format!("{}/d?id={id}", self.look().site.prefix)
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
                "All remaining downloads of this file are in progress. If one of them breaks off, it is free again.",
            ),
            Error::TooMany(after) => self.wait(
                *after,
                "Too many attempts",
                "Too many attempts came from your network. Please wait a little.",
            ),
            Error::TooLarge { .. } => self.message(413, "Too large", &error.to_string()),
            Error::Full { .. } | Error::DatabaseFull | Error::Quota => self.message(507, "No space left", &error.to_string()),
            Error::ReadOnly => self.message(503, "Not possible now", &error.to_string()),
            Error::Away(_) => self
                .message(
                    503,
                    "Not possible now",
                    "The server cannot reach its storage. Please try again later.",
                )
                .with("Retry-After", AWAY.to_string()),
            Error::Invalid(what) => self.message(400, "Not possible", what),
            Error::Chunk(_) => self.message(400, "Not possible", &error.to_string()),
            Error::Input(_) => self.message(400, "Broken off", "The request broke off."),
            // For good, as far as anybody can tell: trying again helps nobody.
            Error::Damaged => self.message(
                410,
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
        let seconds = after.as_secs().max(1);
        self.say(429, title, text, Some(seconds))
            .with("Retry-After", seconds.to_string())
    }

    fn message(&self, status: u16, title: &str, text: &str) -> Response {
        self.say(status, title, text, None)
    }

    fn say(&self, status: u16, title: &str, text: &str, wait: Option<u64>) -> Response {
        let look = self.look();
        let message = Message::new(status, text, wait);
        page(&look, status, Page::Error, fill(&look.site, title, message))
    }
}

fn page(look: &Look, status: u16, page: Page, content: Value) -> Response {
    match look.render(page, content) {
        Ok(html) => guarded(status)
            .with("Content-Security-Policy", PAGE_POLICY)
            .body("text/html; charset=utf-8", html),
        Err(error) => {
            log::error!("page {}: {error}", page.file());
            plain(500, "internal error\n")
        }
    }
}

/// An answer of plain text that nobody keeps.
pub fn plain(status: u16, text: &str) -> Response {
    guarded(status)
        .with("Content-Security-Policy", "default-src 'none'")
        .body("text/plain; charset=utf-8", text)
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
