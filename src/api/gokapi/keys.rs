//! `/api/info/...` and `/api/auth/...`: what the server is, and new API keys.

use super::error::Fault;
use super::params::Params;
use super::wire;
use crate::api::Api;
use crate::api::route::Call;
use crate::http::Response;
use crate::service::Session;

const MIB: u64 = 1024 * 1024;
/// Gokapi's default size for the pieces of an upload, in MiB.
const CHUNK_MIB: u64 = 45;

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

/// Makes an API key. It is shown here and never again.
pub fn create(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let params = Params(&call.head.headers);
    let name = match params.text("friendlyName")? {
        None | Some("") => "Unnamed key",
        Some(name) => name,
    };
    let basic = params.flag("basicPermissions")?;
    let new = api.service.create_api_key(&session, name, basic)?;
    Ok(wire::json(
        200,
        &wire::NewKey {
            result: "OK",
            id: new.key.reveal(),
            public_id: &new.public_id,
        },
    ))
}
