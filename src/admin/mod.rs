//! The private way in for whoever looks after the server: a Unix socket for root and for the user
//! that the server runs as, nobody else.
//!
//! One connection carries one request and one answer, each a line of JSON (`wire`). `socket` knows
//! where the socket is, `server` answers on it while the server runs, [`ask`] asks. [`perform()`] does
//! what is asked; it works as well without a socket, on the service of a stopped server. `moves` is about files
//! that go from one place to another, which only a running server does.

mod client;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod moves;
mod perform;
mod server;
mod socket;
mod wire;

pub use client::{AskError, ask, is_answered};
pub use moves::{Destination, MoveState, Moves};
pub use perform::perform;
pub use server::AdminSocket;
pub use socket::{SOCKET, place};
pub use wire::{Answer, Hidden, KeyRow, Proof, Reason, Request, UserRow};

#[cfg(test)]
mod tests;
