//! Mayfly: upload a file, get a link; both vanish when they are used up.
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod gate;
pub mod http;
pub mod metadata;
pub mod model;
pub mod pipeline;
pub mod server;
pub mod service;
pub mod store;
pub mod tasks;
