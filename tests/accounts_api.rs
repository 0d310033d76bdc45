//! Users and API keys over the Gokapi dialect of a real server: every call with all that can be wrong with it,
//! and whoever wants more than they were given.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "accounts_api/keys.rs"]
mod keys;
#[path = "accounts_api/removal.rs"]
mod removal;
#[path = "accounts_api/rights.rs"]
mod rights;
mod support;
#[path = "accounts_api/users.rs"]
mod users;
#[path = "accounts_api/wrong.rs"]
mod wrong;

use data_encoding::BASE64;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Launch, Reply, Server, Shell, fetch, have, slow, within};

const UNAUTHORIZED: &str = r#"{"Result":"error","ErrorMessage":"Unauthorized","ErrorCode":2}"#;
const NOT_HELD: &str = "Insufficient user permission for owner to set this API permission";
const UNKNOWN: &str = "NobodyHasThisPublicIdNobodyHasThisP";

/// Gokapi's words for all that a key may do.
const PERMISSIONS: [&str; 10] = [
    "PERM_VIEW",
    "PERM_UPLOAD",
    "PERM_DELETE",
    "PERM_API_MOD",
    "PERM_EDIT",
    "PERM_REPLACE",
    "PERM_MANAGE_USERS",
    "PERM_MANAGE_LOGS",
    "PERM_MANAGE_FILE_REQUESTS",
    "PERM_DOWNLOAD",
];

/// Method, path, permission and parameters.
type Sample = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Every call about users and keys, with the permission that it needs and parameters that are right in form.
const CALLS: [Sample; 13] = [
    ("POST", "/api/auth/create", "PERM_API_MOD", &[]),
    (
        "PUT",
        "/api/auth/friendlyname",
        "PERM_API_MOD",
        &[("targetKey", UNKNOWN), ("friendlyName", "x")],
    ),
    (
        "PUT",
        "/api/auth/modify",
        "PERM_API_MOD",
        &[
            ("targetKey", UNKNOWN),
            ("permission", "PERM_VIEW"),
            ("permissionModifier", "GRANT"),
        ],
    ),
    (
        "DELETE",
        "/api/auth/delete",
        "PERM_API_MOD",
        &[("targetKey", UNKNOWN)],
    ),
    ("GET", "/api/auth/list", "PERM_API_MOD", &[]),
    (
        "GET",
        "/api/auth/list/NobodyHasThisPublicIdNobodyHasThisP",
        "PERM_API_MOD",
        &[],
    ),
    (
        "POST",
        "/api/user/create",
        "PERM_MANAGE_USERS",
        &[("username", "somebody")],
    ),
    (
        "PUT",
        "/api/user/modify",
        "PERM_MANAGE_USERS",
        &[
            ("userid", "99"),
            ("userpermission", "PERM_LIST"),
            ("permissionModifier", "GRANT"),
        ],
    ),
    (
        "PUT",
        "/api/user/changeRank",
        "PERM_MANAGE_USERS",
        &[("userid", "99"), ("newRank", "ADMIN")],
    ),
    (
        "PUT",
        "/api/user/resetPassword",
        "PERM_MANAGE_USERS",
        &[("userid", "99")],
    ),
    (
        "DELETE",
        "/api/user/delete",
        "PERM_MANAGE_USERS",
        &[("userid", "99")],
    ),
    ("GET", "/api/user/list", "PERM_MANAGE_USERS", &[]),
    ("GET", "/api/user/list/99", "PERM_MANAGE_USERS", &[]),
];

fn ask(server: &Server, key: &str, method: &str, path: &str, given: &[(&str, &str)]) -> Reply {
    let mut lines: Vec<String> = given.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    if !key.is_empty() {
        lines.push(format!("apikey: {key}"));
    }
    if matches!(method, "POST" | "PUT") {
        lines.push("Content-Length: 0".to_owned());
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    fetch(server.address, method, path, &lines).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

/// Status, code and text of a failure.
fn failure(reply: &Reply) -> (u16, u64, String) {
    let json = reply.json();
    assert_eq!(json["Result"], "error", "{}", reply.text());
    let text = json["ErrorMessage"].as_str().unwrap().to_owned();
    (reply.status(), json["ErrorCode"].as_u64().unwrap(), text)
}

fn is(reply: &Reply, status: u16, code: u64, text: &str) {
    assert_eq!(failure(reply), (status, code, text.to_owned()));
}

/// All is well and there is no more to say.
fn is_empty(reply: &Reply) {
    assert_eq!((reply.status(), reply.text().as_str()), (200, ""));
    let field = |name| reply.head.field(name).map(str::to_owned);
    let json = field("Content-Type").unwrap();
    assert_eq!(json, "application/json; charset=UTF-8");
    assert_eq!(field("Cache-Control").unwrap(), "no-store");
}

/// A key of the account of `by`: itself and its public id.
fn new_key(server: &Server, by: &str) -> (String, String) {
    let reply = ask(server, by, "POST", "/api/auth/create", &[]);
    let json = reply.json();
    assert_eq!(json["Result"], "OK", "{json}");
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("Id"), text("PublicId"))
}

fn set(server: &Server, by: &str, key: &str, permission: &str, modifier: &str) -> Reply {
    let given = [
        ("targetKey", key),
        ("permission", permission),
        ("permissionModifier", modifier),
    ];
    ask(server, by, "PUT", "/api/auth/modify", &given)
}

fn set_user(server: &Server, by: &str, id: &str, permission: &str, modifier: &str) -> Reply {
    let given = [
        ("userid", id),
        ("userpermission", permission),
        ("permissionModifier", modifier),
    ];
    ask(server, by, "PUT", "/api/user/modify", &given)
}

fn rank(server: &Server, by: &str, id: &str, rank: &str) -> Reply {
    let given = [("userid", id), ("newRank", rank)];
    ask(server, by, "PUT", "/api/user/changeRank", &given)
}

/// A user with a password and a key that has every permission that the user may have.
struct User {
    id: String,
    name: String,
    password: String,
    key: String,
}

fn password_of(server: &Server, by: &str, id: &str) -> String {
    let given = [("userid", id), ("generateNewPassword", "true")];
    let reply = ask(server, by, "PUT", "/api/user/resetPassword", &given);
    let json = reply.json();
    assert_eq!((reply.status(), &json["Result"]), (200, &Value::from("OK")));
    json["password"].as_str().unwrap().to_owned()
}

/// Signs in with name and password for a new key.
fn login(server: &Server, name: &str, password: &str) -> Reply {
    let pair = BASE64.encode(format!("{name}:{password}").as_bytes());
    let basic = format!("Basic {pair}");
    let given = [
        ("Authorization", basic.as_str()),
        ("basicPermissions", "true"),
    ];
    ask(server, "", "POST", "/api/auth/create", &given)
}

fn new_user(server: &Server, name: &str) -> User {
    let reply = ask(
        server,
        &server.key,
        "POST",
        "/api/user/create",
        &[("username", name)],
    );
    let id = reply.json()["id"].as_u64().unwrap().to_string();
    let password = password_of(server, &server.key, &id);
    let reply = login(server, name, &password);
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let key = reply.json()["Id"].as_str().unwrap().to_owned();
    let public_id = reply.json()["PublicId"].as_str().unwrap().to_owned();
    // Only who looks after keys may: the super admin does.
    for permission in ["PERM_API_MOD", "PERM_DOWNLOAD"] {
        is_empty(&set(server, &server.key, &public_id, permission, "GRANT"));
    }
    User {
        id,
        name: name.to_owned(),
        password,
        key,
    }
}
