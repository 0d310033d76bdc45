//! The path of the bytes: one copy loop in, one out. No sockets, no files, no names of its own.

mod intake;
mod output;
pub mod seal;

pub use intake::{Intake, IntakeError, Layout, receive};
pub use output::{Output, SendError, Source};
