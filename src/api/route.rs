//! Routes as data: which request runs which code, for whom, on which workers.

use super::Api;
use super::gokapi::error::Fault;
use crate::http::{Body, Head, Method, Response, Room};
use crate::model::Permissions;
use crate::service::Session;

/// One row of a route table.
pub struct Route {
    /// The methods it takes.
    pub methods: Methods,
    /// The path: `{id}` stands for one segment, a `*` at the end for any rest.
    pub path: &'static str,
    /// The workers.
    pub room: Workers,
    /// The code, and who may run it.
    pub run: Run,
}

/// Which methods a route takes.
pub enum Methods {
    /// Every one: Gokapi never looks, and its own command line uses GET to delete.
    Any,
    /// These.
    Only(&'static [Method]),
}

/// GET, and HEAD with it.
pub const READ: Methods = Methods::Only(&[Method::Get, Method::Head]);

/// Which workers a route's requests go to.
pub enum Workers {
    /// Always those.
    Of(Room),
    /// Those for passwords when the head says that one is to be checked or set, else those for
    /// changes.
    PasswordWhen(fn(&Head) -> bool),
}

impl Workers {
    /// The workers for this request.
    pub fn of(&self, head: &Head) -> Room {
        match self {
            Self::Of(room) => *room,
            Self::PasswordWhen(asked) if asked(head) => Room::Password,
            Self::PasswordWhen(_) => Room::Change,
        }
    }
}

/// The code of a route, and who may run it.
pub enum Run {
    /// Everybody.
    Anyone(fn(&Api, Call<'_>) -> Response),
    /// Who has an API key with these permissions.
    Key(Keyed),
}

/// Code of the API that runs with a session only.
pub struct Keyed {
    /// What the key must allow.
    pub needed: Permissions,
    /// Whether name and password of an account do as well.
    pub or_password: bool,
    /// Whether the address may have a query.
    pub query: bool,
    /// The code.
    pub run: fn(&Api, Session, Call<'_>) -> Result<Response, Fault>,
}

/// A request on its way to the code of its route.
pub struct Call<'a> {
    /// Its head.
    pub head: &'a Head,
    /// Its body.
    pub body: &'a mut dyn Body,
    /// What stands where the path of the route has `{id}`; empty when it has none.
    pub id: &'a str,
}

/// What the tables have for a request.
pub enum Found<'a> {
    /// This route; what `{id}` stands for.
    Route(&'static Route, &'a str),
    /// The path, with these methods only.
    OtherMethods(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// Looks a request up.
pub fn find<'a>(table: impl Iterator<Item = &'static Route>, head: &'a Head) -> Found<'a> {
    let mut others = Vec::new();
    for route in table {
        let Some(id) = matches(route.path, &head.path) else {
            continue;
        };
        match route.methods {
            Methods::Any => return Found::Route(route, id),
            Methods::Only(methods) if methods.contains(&head.method) => {
                return Found::Route(route, id);
            }
            Methods::Only(methods) => others.extend_from_slice(methods),
        }
    }
    if others.is_empty() {
        Found::Nothing
    } else {
        Found::OtherMethods(others)
    }
}

/// What `{id}` stands for when `path` fits `pattern`.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once("{id}") else {
        return (pattern == path).then_some("");
    };
    let rest = path.strip_prefix(before)?;
    let (id, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let fits = match after.strip_suffix('*') {
        Some(start) => tail.starts_with(start),
        None => tail == after,
    };
    (fits && !id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_their_patterns_exactly() {
        for (pattern, path, id) in [
            ("/d", "/d", Some("")),
            ("/d", "/d/", None),
            ("/d", "/downloadFile", None),
            ("/d/{id}", "/d/abc", Some("abc")),
            ("/d/{id}", "/d/", None),
            ("/d/{id}", "/d/abc/x", None),
            ("/d/{id}/*", "/d/abc/x%2fy/z", Some("abc")),
            ("/d/{id}/*", "/d/abc/", Some("abc")),
            ("/d/{id}/*", "/d/abc", None),
            ("/api/files/list/{id}", "/api/files/list/", None),
            ("/api/files/list/{id}", "/api/files/list/a/b", None),
            ("/h/{id}", "/H/abc", None),
            ("/h/{id}", "//h/abc", None),
        ] {
            assert_eq!(matches(pattern, path), id, "{pattern} {path}");
        }
    }
}
