//! Dialects: route tables, wire structs and error mapping, one folder for each.
//!
//! [`Api`] answers every request of the program. What there is to call stands in tables of
//! [`Route`]s, one for each dialect; a route says who may call it, so no permission can be left
//! out, and which workers its requests take.

pub mod gokapi;
mod own;
pub mod public;
mod route;

use crate::http::{Handler, Head, Request, Response, Room};
use crate::model::Clock;
use crate::service::Service;
use public::pages::Pages;
pub use public::pages::{
    PageSettings, Problem as PageProblem, ReadPages, check as check_pages, read as read_pages,
};
use route::{Call, Found, Route, Run};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// When to come back while the storage is away, in seconds.
const AWAY: u64 = 30;

/// What the dialects are told at their start and never changes.
#[derive(Clone)]
pub struct ApiSettings {
    /// The address that clients reach the server by, without a slash at its end. It may have a
    /// path, which a proxy takes away again before requests come here.
    pub base_url: String,
    /// Downloads of a link whose uploader does not say; 0 is any number.
    pub default_downloads: u32,
    /// Days that a link lives whose uploader does not say; 0 is for ever.
    pub default_days: u32,
    /// Largest file, in bytes.
    pub max_file_size: u64,
    /// Files cannot be embedded elsewhere: no hotlinks.
    pub hotlink_protection: bool,
    /// What the owner changed about the pages.
    pub pages: PageSettings,
    /// Clients come by HTTPS: their cookies go nowhere else.
    pub secure_cookies: bool,
}

/// Tells whether the server can do its work, perhaps with a remark for everybody, or what is in the
/// way, in words for its owner.
pub type Readiness = Box<dyn Fn() -> Result<Option<&'static str>, String> + Send + Sync>;

/// Answers every request.
pub struct Api {
    service: Arc<Service>,
    settings: Arc<ApiSettings>,
    clock: Arc<dyn Clock>,
    ready: Readiness,
    /// Whether the log has what is in the way.
    told: AtomicBool,
    pages: Pages,
}

impl Api {
    /// Puts the dialects together. `clock` is the one of the service.
    pub fn new(
        service: Arc<Service>,
        settings: ApiSettings,
        clock: Arc<dyn Clock>,
        ready: Readiness,
    ) -> Self {
        Self {
            pages: Pages::new(&settings),
            service,
            settings: Arc::new(settings),
            clock,
            ready,
            told: AtomicBool::new(false),
        }
    }

    /// Takes templates, style and pictures into use as a whole. Returns what is wrong with them; the
    /// log has it, too.
    pub fn replace_pages(&self, read: ReadPages) -> Vec<PageProblem> {
        self.pages.replace(read)
    }

    /// The path of [`ApiSettings::base_url`]: what stands before every path that clients see.
    fn prefix(&self) -> &str {
        prefix(&self.settings.base_url)
    }

    fn tables() -> impl Iterator<Item = &'static Route> {
        gokapi::ROUTES
            .iter()
            .chain(public::ROUTES)
            .chain(own::ROUTES)
    }
}

/// The path of an address.
fn prefix(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or("", |at| &url[host + at..])
}

impl Handler for Api {
    fn room(&self, head: &Head) -> Room {
        match route::find(Self::tables(), head) {
            Found::Route(route, _) => route.room.of(head),
            Found::OtherMethods(_) | Found::Nothing => Room::Control,
        }
    }

    fn handle(&self, request: Request<'_>) -> Response {
        let head = request.head;
        match route::find(Self::tables(), head) {
            Found::Route(route, id) => {
                let call = Call {
                    head,
                    body: request.body,
                    id,
                };
                match &route.run {
                    Run::Anyone(run) => run(self, call),
                    Run::Key(run) => gokapi::run(self, run, call),
                }
            }
            Found::OtherMethods(allowed) => self.pages.wrong_method(&allowed),
            Found::Nothing if gokapi::owns(&head.path) => gokapi::unknown_call(),
            Found::Nothing => self.pages.not_found(),
        }
    }
}

#[cfg(test)]
mod tests;
