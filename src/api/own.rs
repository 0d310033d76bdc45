//! Calls of our own, for those who watch the server: no credential, no secret, no cost.

use super::Api;
use super::public::pages::plain;
use super::route::{Call, READ, Route, Run, Workers};
use crate::http::{Response, Room};
use std::sync::atomic::Ordering;

/// The table.
pub static ROUTES: &[Route] = &[
    Route {
        methods: READ,
        path: "/health",
        room: Workers::Of(Room::Control),
        run: Run::Anyone(health),
    },
    Route {
        methods: READ,
        path: "/ready",
        room: Workers::Of(Room::Control),
        run: Run::Anyone(ready),
    },
];

/// The process answers.
fn health(_: &Api, _: Call<'_>) -> Response {
    plain(200, "ok\n")
}

fn ready_words(remark: Option<&str>) -> String {
    match remark {
        None => "ready\n".to_owned(),
        Some(remark) => format!("ready; {remark}\n"),
    }
}

/// The process can do its work, perhaps with a remark. What is in the way goes to the log, not to whoever asks, and once
/// only: everybody may ask, as often as he likes.
fn ready(api: &Api, _: Call<'_>) -> Response {
    match (api.ready)() {
        Ok(remark) => {
            if api.told.swap(false, Ordering::Relaxed) {
                log::info!("ready again");
            }
            plain(200, &ready_words(remark))
        }
        Err(why) => {
            if !api.told.swap(true, Ordering::Relaxed) {
                log::warn!("not ready: {why}");
            }
            plain(503, "not ready\n").with("Retry-After", "5")
        }
    }
}
