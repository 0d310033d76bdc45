//! `/api/info/...` and `/api/auth/...`: what the server is, and API keys.

use super::error::{Fault, code};
use super::given::{FORM, Given};
use super::wire::accounts::KeyInfo;
use super::{listing, wire};
use crate::api::Api;
use crate::api::route::Call;
use crate::http::Response;
use crate::model::{Permissions, Timestamp};
use crate::service::{KeyRefusal, Session};
use std::sync::Arc;

const MIB: u64 = 1024 * 1024;
/// Gokapi's default size for the pieces of an upload, in MiB.
const CHUNK_MIB: u64 = 45;

/// Keys fetched at a time for a listing: bounds its memory.
const PAGE: usize = 64;

/// Gokapi's words for what a key may do.
const PERMISSIONS: [(&str, Permissions); 10] = [
    ("PERM_VIEW", Permissions::VIEW),
    ("PERM_UPLOAD", Permissions::UPLOAD),
    ("PERM_DELETE", Permissions::DELETE),
    ("PERM_API_MOD", Permissions::API_MOD),
    ("PERM_EDIT", Permissions::EDIT),
    ("PERM_REPLACE", Permissions::REPLACE),
    ("PERM_MANAGE_USERS", Permissions::USERS),
    ("PERM_MANAGE_LOGS", Permissions::LOGS),
    ("PERM_MANAGE_FILE_REQUESTS", Permissions::REQUESTS),
    ("PERM_DOWNLOAD", Permissions::DOWNLOAD),
];

/// The version of the dialect. Not of the program: clients compare it with Gokapi's.
pub fn version(_: &Api, _: Session, _: Call<'_>) -> Result<Response, Fault> {
    Ok(wire::json(200, &wire::Version::SPOKEN))
}

/// What uploads have to keep to.
pub fn config(api: &Api, _: Session, _: Call<'_>) -> Result<Response, Fault> {
    Ok(wire::json(
        200,
        &wire::Config {
            max_filesize: api.settings.max_file_size / MIB,
            max_chunksize: CHUNK_MIB,
            end_to_end_encryption_enabled: false,
        },
    ))
}

/// Makes an API key. It is shown here and never again. Unlike in Gokapi it may be given an end (`expiry`,
/// seconds since 1970; 0 is none).
pub fn create(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let name = given.text("friendlyName")?.filter(|name| !name.is_empty());
    let name = name.as_deref().unwrap_or("Unnamed key");
    let basic = given.flag("basicPermissions")?;
    let expires = given.number("expiry")?.filter(|at| *at != 0).map(Timestamp);
    let new = api.service.create_api_key(&session, name, basic, expires)?;
    Ok(wire::json(
        200,
        &wire::NewKey {
            result: "OK",
            id: new.key.reveal(),
            public_id: &new.public_id,
        },
    ))
}

/// Gives an API key another name.
pub fn rename(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let key = given.required("targetKey")?;
    let name = given.required("friendlyName")?;
    api.service.rename_key(&session, &key, &name)?;
    Ok(wire::answer(200))
}

/// Gives a permission to an API key, or takes one. Unlike in Gokapi, the key that asks has to hold what it
/// gives: otherwise one that may look after keys could do everything.
pub fn modify(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let key = given.required("targetKey")?;
    let permission = given.required("permission")?;
    let modifier = given.required("permissionModifier")?;
    let permission = named(&PERMISSIONS, &permission)?;
    match Modifier::parse(&modifier)? {
        Modifier::Grant => api.service.grant_to_key(&session, &key, permission)?,
        Modifier::Revoke => api.service.revoke_from_key(&session, &key, permission)?,
    }
    Ok(wire::answer(200))
}

/// Revokes an API key.
pub fn delete(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let key = given.required("targetKey")?;
    api.service.delete_key(&session, &key)?;
    Ok(wire::answer(200))
}

/// The API keys of the account, and those of all others for who looks after them. What opens something is
/// never shown.
pub fn list(api: &Api, session: Session, _: Call<'_>) -> Result<Response, Fault> {
    let first = api.service.keys(&session, None, PAGE)?;
    let service = Arc::clone(&api.service);
    let next = move |after| service.keys(&session, Some(after), PAGE);
    Ok(listing::list(first, next, KeyInfo::new))
}

/// One API key, by its public id.
pub fn one(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let key = api.service.key(&session, call.id)?;
    Ok(wire::json(200, &KeyInfo::new(&key)))
}

/// The permission of that name, in any case.
///
/// # Errors
/// [`Fault`] when there is none.
pub fn named<T: Copy>(permissions: &[(&str, T)], name: &str) -> Result<T, Fault> {
    let found = permissions
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(name));
    found
        .map(|(_, one)| *one)
        .ok_or_else(Fault::invalid_permission)
}

/// Whether a permission is given or taken.
pub enum Modifier {
    /// Given.
    Grant,
    /// Taken.
    Revoke,
}

impl Modifier {
    /// Gokapi's words.
    ///
    /// # Errors
    /// [`Fault`] for any other.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.eq_ignore_ascii_case("GRANT") {
            Ok(Self::Grant)
        } else if text.eq_ignore_ascii_case("REVOKE") {
            Ok(Self::Revoke)
        } else {
            Err(Fault::invalid_modifier())
        }
    }
}

impl From<KeyRefusal> for Fault {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Service(error) => error.into(),
            KeyRefusal::Gone => Self::new(404, code::NOT_FOUND, "Invalid key ID provided."),
            KeyRefusal::Foreign => Self::new(
                401,
                code::NO_PERMISSION,
                "No permission to edit this API key",
            ),
            KeyRefusal::NotHeld => Self::new(
                401,
                code::NO_PERMISSION,
                "Insufficient user permission for owner to set this API permission",
            ),
        }
    }
}
