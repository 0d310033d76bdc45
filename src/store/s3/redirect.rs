//! Addresses at which others get an object by themselves, under the name and the type that we tell, kept by nobody on the
//! way. They are signed for the server's own clock, and in no log.

use super::client::Client;
use crate::store::Presentation;

/// The address of the object of that name; `None` when there can be none, which the log tells.
pub(super) fn address(client: &Client, key: &str, shown: &Presentation<'_>) -> Option<String> {
    let overrides = [
        ("response-cache-control", "no-store"),
        ("response-content-disposition", shown.disposition),
        ("response-content-type", shown.content_type),
    ];
    client
        .presigned(key, &overrides, shown.lives)
        .inspect_err(|error| log::warn!("a download cannot be redirected: {error}"))
        .ok()
}
