//! What recipients meet: the page of a link, its password, the download, hotlinks. No credential
//! but what the link itself is.

pub mod download;
pub mod pages;

use super::Api;
use super::route::{Call, Methods, READ, Route, Run, Workers};
use crate::http::cookie::{SameSite, SetCookie};
use crate::http::form::{self, Form, ReadError};
use crate::http::{Head, Method, Response, Room, cookie};
use crate::model::Token;
use crate::service::{Door, Error, PublicView};
use zeroize::Zeroizing;

/// The longest form: a password of 1,024 bytes, each written as `%XX`, and the names.
const FORM: u64 = 4 * 1024;

/// The table.
pub static ROUTES: &[Route] = &[
    page("/", |api, _| api.pages.start()),
    page("/d", |api, call| {
        let id = queried_id(call.head);
        link(api, call.head, &id)
    }),
    page("/d/{id}", |api, call| link(api, call.head, call.id)),
    page("/d/{id}/*", |api, call| link(api, call.head, call.id)),
    Route {
        methods: Methods::Only(&[Method::Post]),
        path: "/d",
        room: Workers::Of(Room::Password),
        run: Run::Anyone(unlock),
    },
    transfer("/downloadFile", |api, call| {
        let id = queried_id(call.head);
        by_link(api, call.head, &id, "/downloadFile", false)
    }),
    transfer("/dh/{id}", by_path),
    transfer("/dh/{id}/*", by_path),
    transfer("/h/{id}", hotlink),
    transfer("/hotlink/{id}", hotlink),
    page(pages::STYLE_PATH, |api, call| {
        api.pages.style(call.head.query.as_deref())
    }),
    page(pages::LOGO_PATH, |api, call| {
        api.pages.logo(call.head.query.as_deref())
    }),
    page(pages::FAVICON_PATH, favicon),
    page(pages::FAVICON_ICO_PATH, favicon),
    page(pages::ICON_PATH, |_, _| pages::ICON.serve(None)),
    page(pages::ROBOTS_PATH, |_, _| pages::ROBOTS.serve(None)),
];

/// A route for everybody with a small answer.
const fn page(path: &'static str, run: fn(&Api, Call<'_>) -> Response) -> Route {
    Route {
        methods: READ,
        path,
        room: Workers::Of(Room::Control),
        run: Run::Anyone(run),
    }
}

/// A route for everybody with an answer of any size.
const fn transfer(path: &'static str, run: fn(&Api, Call<'_>) -> Response) -> Route {
    Route {
        methods: READ,
        path,
        room: Workers::Of(Room::Download),
        run: Run::Anyone(run),
    }
}

fn favicon(api: &Api, call: Call<'_>) -> Response {
    api.pages.favicon(call.head.query.as_deref())
}

/// The page of a link. Looking at it counts nothing.
fn link(api: &Api, head: &Head, id: &str) -> Response {
    match api
        .service
        .view(id, unlocked(head, id).as_deref(), head.peer)
    {
        Ok(PublicView::Locked) => api.pages.locked(id, false),
        Ok(PublicView::Open {
            name,
            size,
            until,
            downloads,
            ..
        }) => api.pages.file(id, &name, size, until, downloads),
        Err(error) => api.pages.error(&error),
    }
}

/// The password of a link. The right one leads back to the page, with a cookie that opens this
/// link and no other.
fn unlock(api: &Api, call: Call<'_>) -> Response {
    let id = queried_id(call.head);
    let body = match form::read_limited(call.body, FORM) {
        Ok(body) => Zeroizing::new(body),
        Err(ReadError::TooLarge { limit }) => return api.pages.error(&Error::TooLarge { limit }),
        Err(ReadError::Input(cause)) => return api.pages.error(&Error::Input(cause)),
    };
    let password = Form::new(&body[..])
        .first("password")
        .map(|given| Zeroizing::new(given.into_owned()))
        .unwrap_or_default();
    match api.service.unlock(&id, &password, call.head.peer) {
        Ok(value) => {
            let response = pages::see_other(&api.pages.link(&id));
            let life = api.service.policy().unlock.as_secs();
            match set_cookie(api, &unlock_cookie(&id), &value, life, "/") {
                Some(cookie) => response.with("Set-Cookie", cookie),
                None => response,
            }
        }
        Err(Error::WrongPassword) => api.pages.locked(&id, true),
        Err(error) => api.pages.error(&error),
    }
}

/// A download through its link.
fn by_link(api: &Api, head: &Head, id: &str, path: &str, shown: bool) -> Response {
    let unlocked = unlocked(head, id);
    let sent = api
        .service
        .open(Door::Link(id), unlocked.as_deref(), head.peer)
        .and_then(|file| download::public(api, head, file, id, path, shown));
    match sent {
        Ok(response) => response,
        Err(Error::PasswordNeeded) => pages::see_other(&api.pages.link(id)),
        Err(error) => api.pages.error(&error),
    }
}

/// A download through a link with the file's name at its end, for clients that take the name from
/// there. Whatever stands there is as good.
fn by_path(api: &Api, call: Call<'_>) -> Response {
    by_link(api, call.head, call.id, &format!("/dh/{}", call.id), false)
}

/// A file to be shown inside other pages. The id is a hotlink id, perhaps with an extension, or
/// that of a link.
fn hotlink(api: &Api, call: Call<'_>) -> Response {
    if api.settings.hotlink_protection {
        return api.pages.not_found();
    }
    let head = call.head;
    let id = call.id.split('.').next().unwrap_or_default();
    let path = head.path.as_str();
    if id.len() != Token::HOTLINK {
        return by_link(api, head, id, path, true);
    }
    api.service
        .open(Door::Hotlink(id), None, head.peer)
        .and_then(|file| download::public(api, head, file, id, path, true))
        .unwrap_or_else(|error| api.pages.error(&error))
}

/// The id in the query, decoded; empty when there is none.
fn queried_id(head: &Head) -> String {
    Form::new(head.query.as_deref().unwrap_or_default())
        .first("id")
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default()
}

fn unlock_cookie(id: &str) -> String {
    format!("unlock_{id}")
}

/// The cookie that says that the password of this link was given.
fn unlocked(head: &Head, id: &str) -> Option<String> {
    cookie::first(&head.headers, &unlock_cookie(id)).map(str::to_owned)
}

/// A cookie of ours: not for scripts, not for other sites' forms, below `path` only.
fn set_cookie(api: &Api, name: &str, value: &str, life: u64, path: &str) -> Option<String> {
    let cookie = SetCookie::new(name, value)?
        .path(&format!("{}{path}", api.prefix()))
        .max_age(life)
        .http_only()
        .same_site(SameSite::Lax);
    let cookie = if api.settings.secure_cookies {
        cookie.secure()
    } else {
        cookie
    };
    Some(cookie.build())
}
