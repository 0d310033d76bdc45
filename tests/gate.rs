//! The gate, the exchange and the workers, seen from outside: every hazard of a server that faces
//! hostile clients, on loopback sockets, with limits instead of long waits.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "gate/answers.rs"]
mod answers;
#[path = "gate/bodies.rs"]
mod bodies;
#[path = "gate/framing.rs"]
mod framing;
#[path = "gate/harness.rs"]
mod harness;
#[path = "gate/hostile.rs"]
mod hostile;
#[path = "gate/resources.rs"]
mod resources;
