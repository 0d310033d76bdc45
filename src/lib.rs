//! Mayfly: upload a file, get a link; both vanish when they are used up.
//!
//! # Map
//!
//! A request travels from the top of this list to its end, and its answer back:
//!
//! - [`gate`] accepts connections, reads and validates heads, and keeps every deadline. It is the only code
//!   that touches a client's socket before a request is known to be well-formed.
//! - [`server`] runs `tiny_http` behind the gate, and the sets of workers in front of the handler.
//! - [`http`] is the vocabulary both sides share: requests, responses, ranges, forms. No sockets.
//! - [`api`] speaks the dialects: routes, wire formats, status codes. No decisions.
//! - [`service`] decides: who may do what to which file, and when it is over. No HTTP.
//! - [`pipeline`] moves bytes: hash, seal, open, in one pass with fixed buffers.
//! - [`store`] keeps bytes under names, [`metadata`] keeps what is known about them.
//! - [`model`] holds the words that all of them use.
//!
//! Beside that path: [`cli`] is the program, [`admin`] its way into a running server, [`config`]
//! reads settings, [`logging`] writes down what happened, [`app`] puts the parts together, [`tasks`]
//! does what no request asks for, [`setup`] asks a newcomer for settings, [`demo`] needs none.
//!
//! # What always holds
//!
//! - Imports point one way, as `tests/layering.rs` has it. Only `app` names every concrete type; below it
//!   nobody reads settings.
//! - A number that a client declares never sizes anything. Lengths and offsets are `u64`, also where a
//!   pointer has 32 bits.
//! - A client has its success only after bytes and row are durable. Bytes come before the row that
//!   shows them, and go after it: a row without bytes cannot be.
//! - A write whose outcome is unknown ends the process; the next start finds out.
//! - A link of N downloads never gives N+1. What is in doubt counts as given.
//! - The database holds no link id, no key and no password, only what they open. `service` and `pipeline` see
//!   plaintext; `store` and `metadata` never do, unless sealing is switched off.
//! - Only `model::SystemClock` tells the time that anything is decided by, and `model::Timekeeper` doubts it: nothing is removed by
//!   a clock that may be wrong, and nothing that has ended comes back. See `docs/decisions/0008-time.md`.
//! - Only `pipeline::seal::keys` draws keys and tokens.
//! - No handler ends the process, and none sleeps: a client that has to wait is told for how long.
//! - Nothing secret has `Debug`, and no log line carries a link id, a key or a password.
#![forbid(unsafe_code)]

pub mod admin;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod gate;
pub mod http;
pub mod logging;
pub mod metadata;
pub mod model;
pub mod pipeline;
pub mod server;
pub mod service;
pub mod setup;
pub mod store;
pub mod tasks;
