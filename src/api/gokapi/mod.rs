//! The dialect of Gokapi's REST interface: `/api/...`.
//!
//! Parameters come in header fields (uploads: form fields), answers are JSON. The method is never
//! looked at, an address with a slash too many is no call, nor is one with a query where Gokapi has none
//! and nothing here needs it, and a key without the permission is treated like no key.
//!
//! Where keys and users differ from Gokapi on purpose:
//!
//! - Parameters of `auth` and `user` may also stand in the query or in a form. `auth/list` and `user/list`
//!   are calls that Gokapi lacks, and `auth/create` takes an end (`expiry`).
//! - Rights of a key are looked up with every call: what its owner may not do any more, it may not either.
//!   What a key lost with a demotion or a denied permission does not come back by itself.
//! - A key gives other keys, and itself, only permissions that it has.
//! - An admin is made, changed or removed by admins only, and no admin makes one that may do more.
//!   A password is reset only by who may do everything that it opens.
//! - Keys of the super admin are changed by nobody else, those of an admin by admins only.
//! - Files open with credentials of their owner: see [`users`] for what follows from that for
//!   `resetPassword` and `delete`. For the same reason the permissions about files of others are kept and
//!   shown, and open none.
//!
//! What is different from Gokapi on purpose, in calls about files:
//!
//! - Parameters of `delete`, `duplicate`, `replace`, `changeOwner` and `downloadzip` may also stand in the query or in an encoded form.
//! - Whoever calls has their own files only, and whatever its rank: nobody else's key opens a file.
//! - `duplicate` keeps the name when `filename` is there and empty, where Gokapi leaves the copy without one.
//! - `duplicate` and `replace` need the key of the file's password, which is kept with the file since it can be.
//!   For a password that is older they ask to have it set once more (400, code 10) instead of dropping it.
//! - `changeOwner` needs the keys of both accounts: that of whoever calls is there, those of others are with
//!   `encryption = "server"` only. In other modes it says so (400, code 10), and its new owner has to upload the file.
//! - `downloadzip` has a `Content-Length`, counts downloads when `increaseCounter` is set, takes blanks around ids, and
//!   breaks the connection off when a file cannot be read to its end. One zip has up to 1,024 files; so many ids do
//!   not fit into a header field, but into a form.
//! - A file cannot be replaced by itself (400, code 10), and a running download of the old bytes ends with them.

mod chunks;
pub(super) mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod given;
mod keys;
mod listing;
mod params;
mod upload;
mod users;
pub mod wire;
mod zip;

use super::Api;
use super::route::{Call, Keyed, Methods, Route, Run, Workers};
use crate::http::{Head, Response, Room, basic};
use crate::model::Permissions;
use crate::service::{Error, Session};
use error::Fault;

/// The table.
pub static ROUTES: &[Route] = &[
    Route {
        methods: Methods::Any,
        path: "/api/files/add",
        room: Workers::Of(Room::Upload),
        run: key(Permissions::UPLOAD, upload::add),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/list",
        room: Workers::Of(Room::Download),
        run: key(Permissions::VIEW, files::list),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/list/{id}",
        room: Workers::Of(Room::Control),
        run: key(Permissions::VIEW, files::one),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/download/{id}",
        room: Workers::Of(Room::Download),
        run: key(Permissions::DOWNLOAD, files::download),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/downloadzip",
        room: Workers::Of(Room::Download),
        run: given(Permissions::DOWNLOAD, zip::download),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/delete",
        room: Workers::Of(Room::Change),
        run: given(Permissions::DELETE, files::delete),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/duplicate",
        room: Workers::PasswordWhen(given::may_set_password),
        run: given(Permissions::UPLOAD, files::duplicate),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/replace",
        room: Workers::Of(Room::Change),
        run: given(Permissions::REPLACE, files::replace),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/changeOwner",
        room: Workers::Of(Room::Change),
        run: given(Permissions::EDIT, files::change_owner),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/restore",
        room: Workers::Of(Room::Change),
        run: key(Permissions::DELETE, files::restore),
    },
    Route {
        methods: Methods::Any,
        path: "/api/files/modify",
        room: Workers::PasswordWhen(files::sets_password),
        run: key(Permissions::EDIT, files::modify),
    },
    Route {
        methods: Methods::Any,
        path: "/api/chunk/add",
        room: Workers::Of(Room::Upload),
        run: given(Permissions::UPLOAD, chunks::add),
    },
    Route {
        methods: Methods::Any,
        path: "/api/chunk/complete",
        // As an upload: a password may have to be stretched, and a bucket may take its time.
        room: Workers::Of(Room::Upload),
        run: key(Permissions::UPLOAD, chunks::complete),
    },
    Route {
        methods: Methods::Any,
        path: "/api/info/version",
        room: Workers::Of(Room::Control),
        run: key(Permissions::NONE, keys::version),
    },
    Route {
        methods: Methods::Any,
        path: "/api/info/config",
        room: Workers::Of(Room::Control),
        run: key(Permissions::UPLOAD, keys::config),
    },
    Route {
        methods: Methods::Any,
        path: "/api/auth/create",
        room: Workers::PasswordWhen(has_password),
        run: Run::Key(Keyed {
            needed: Permissions::API_MOD,
            or_password: true,
            query: true,
            run: keys::create,
        }),
    },
    change("/api/auth/friendlyname", Permissions::API_MOD, keys::rename),
    change("/api/auth/modify", Permissions::API_MOD, keys::modify),
    change("/api/auth/delete", Permissions::API_MOD, keys::delete),
    look(
        "/api/auth/list",
        Room::Download,
        Permissions::API_MOD,
        keys::list,
    ),
    look(
        "/api/auth/list/{id}",
        Room::Control,
        Permissions::API_MOD,
        keys::one,
    ),
    change("/api/user/create", Permissions::USERS, users::create),
    change("/api/user/modify", Permissions::USERS, users::modify),
    change(
        "/api/user/changeRank",
        Permissions::USERS,
        users::change_rank,
    ),
    Route {
        room: Workers::Of(Room::Password),
        ..change(
            "/api/user/resetPassword",
            Permissions::USERS,
            users::reset_password,
        )
    },
    change("/api/user/delete", Permissions::USERS, users::delete),
    look(
        "/api/user/list",
        Room::Download,
        Permissions::USERS,
        users::list,
    ),
    look(
        "/api/user/list/{id}",
        Room::Control,
        Permissions::USERS,
        users::one,
    ),
];

/// A route to what a call with these permissions changes. It may have a query.
const fn change(
    path: &'static str,
    needed: Permissions,
    run: fn(&Api, Session, Call<'_>) -> Result<Response, Fault>,
) -> Route {
    look(path, Room::Change, needed, run)
}

/// A route to what a call with these permissions is told.
const fn look(
    path: &'static str,
    room: Room,
    needed: Permissions,
    run: fn(&Api, Session, Call<'_>) -> Result<Response, Fault>,
) -> Route {
    Route {
        methods: Methods::Any,
        path,
        room: Workers::Of(room),
        run: Run::Key(Keyed {
            needed,
            or_password: false,
            query: true,
            run,
        }),
    }
}

/// A call for who has a key with these permissions, at an address without a query.
const fn key(
    needed: Permissions,
    run: fn(&Api, Session, Call<'_>) -> Result<Response, Fault>,
) -> Run {
    Run::Key(Keyed {
        needed,
        or_password: false,
        query: false,
        run,
    })
}

/// The same, where parameters may stand in the query, too.
const fn given(
    needed: Permissions,
    run: fn(&Api, Session, Call<'_>) -> Result<Response, Fault>,
) -> Run {
    Run::Key(Keyed {
        needed,
        or_password: false,
        query: true,
        run,
    })
}

/// Whether paths like this one are this dialect's, calls or not.
pub fn owns(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// The answer to what is no call.
pub fn unknown_call() -> Response {
    Fault::invalid_url().response()
}

/// Runs the code of a route, if the request shows what it takes to. Nothing of the body has been
/// read before that is clear.
pub fn run(api: &Api, keyed: &Keyed, call: Call<'_>) -> Response {
    if call.head.query.is_some() && !keyed.query {
        return unknown_call();
    }
    session(api, keyed, call.head)
        .map_err(Fault::from)
        .and_then(|session| (keyed.run)(api, session, call))
        .unwrap_or_else(|fault| fault.response())
}

/// Who asks.
fn session(api: &Api, keyed: &Keyed, head: &Head) -> Result<Session, Error> {
    let key = shown_key(head);
    if keyed.or_password
        && key.is_none()
        && let Some((name, password)) = authorization(head).and_then(basic::decode)
    {
        return api
            .service
            .authenticate_password(&name, &password, head.peer);
    }
    api.service.authenticate(key, keyed.needed, head.peer)
}

/// The API key: in a field of its own, or as a bearer token (RFC 6750 section 2.1).
fn shown_key(head: &Head) -> Option<&str> {
    head.headers.first("apikey").or_else(|| {
        let (scheme, token) = authorization(head)?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("Bearer")
            .then(|| token.trim_start())
    })
}

fn authorization(head: &Head) -> Option<&str> {
    head.headers.first("Authorization")
}

/// Whether name and password come with the request and would be looked at.
fn has_password(head: &Head) -> bool {
    shown_key(head).is_none() && authorization(head).and_then(basic::decode).is_some()
}
