//! HTTP vocabulary without sockets: what a request, a response and their parts are.
//!
//! Handlers see only this module. Who reads and writes the sockets is in `gate` and `server`.

pub mod basic;
pub mod conditional;
pub mod cookie;
pub mod date;
pub mod disposition;
pub mod form;
pub mod inline;
pub mod multipart;
mod parameters;
pub mod range;
mod request;
mod response;

pub use request::{Body, BodyLength, Head, Headers, Method, Request};
pub use response::{Payload, Response, Sink, Stream};

/// Answers requests. One handler serves the whole program; it is called from many threads.
pub trait Handler: Send + Sync {
    /// Which set of workers a request goes to, decided by its head alone.
    fn room(&self, head: &Head) -> Room;
    /// Answers one request.
    fn handle(&self, request: Request<'_>) -> Response;
}

/// The sets of workers, kept apart so that none can starve another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Pages and small API calls that only look something up: few threads, small answers.
    Control,
    /// Small API calls that change something, and so wait for the disk: a thread for each, started
    /// on demand.
    Change,
    /// Requests with a body of any size: a thread for each, started on demand.
    Upload,
    /// Answers of any size: a thread for each, started on demand.
    Download,
    /// Password checks: one thread, a short queue.
    Password,
}
