//! The only code that accepts client connections.
//!
//! One thread runs an event loop that owns the listener and every idle connection. It reads and
//! validates one request head at a time, and hands the request to the backend as an [`Exchange`]:
//! the backend sees only the request line and the exchange's one-time name, on a private Unix
//! socket, so nothing a client sends can reach tiny_http but a valid method and target. Bodies go
//! between the client's socket and the worker without passing the loop.
//!
//! A connection's memory while it idles is its task and its place in the registry; buffers exist
//! only while a request does.

mod answer;
mod body;
mod connection;
mod descriptors;
mod exchange;
mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod head;
mod limits;
mod listener;
mod own;
mod peer;
mod registry;
mod relay;
mod sink;
mod wire;

pub(crate) use answer::{Framed, fields, is_bodyless};
pub(crate) use exchange::{Exchange, Table};
pub use limits::Limits;
pub(crate) use listener::{Gate, Setup};
pub(crate) use own::OwnConnection;
pub(crate) use relay::SMALL;

/// The field that names the exchange to the backend. Copies sent by clients are dropped.
pub(crate) const EXCHANGE_FIELD: &str = "X-Mayfly-Exchange";
