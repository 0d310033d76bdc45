//! What the black-box tests share: a real server process, its figures from /proc, a raw HTTP client
//! that can also misbehave, payloads that need no memory, and the shell a person would use.
//!
//! Nothing here knows the insides of the program; `disk` knows where the stored bytes lie.
#![allow(
    dead_code,
    unused_imports,
    reason = "every test program uses a part of this"
)]

mod chunks;
mod crowd;
mod dice;
mod disk;
pub mod faulty_front;
pub mod garage;
mod http;
mod injector;
pub mod media;
mod mounts;
pub mod opener;
mod payload;
pub mod preload;
mod process;
pub mod s3;
pub mod scripted_bucket;
mod server;
mod shell;
pub mod tls_front;
mod upload;

pub use chunks::Chunks;
pub use crowd::slow_readers;
pub use dice::Dice;
pub use disk::{Blobs, copy_tree, files_below};
pub use faulty_front::FaultyFront;
pub use garage::Garage;
pub use http::{Conn, Head, Reply, fetch, get, reset, stranger};
pub use injector::{Injector, under};
pub use mounts::{LoopDisk, QuotaDisk, SmallDisk};
pub use payload::{Payload, hex};
pub use process::Figures;
pub use s3::S3Server;
pub use server::{Launch, Refused, Server, command, in_buckets, program, removal};
pub use shell::{Shell, have};
pub use upload::{Upload, Uploaded};

use std::time::{Duration, Instant};

/// Whether the long version of a test was asked for.
pub fn slow() -> bool {
    std::env::var_os("MAYFLY_SLOW").is_some_and(|v| v != "0")
}

/// Whether the program under test was built for speed: figures say nothing otherwise. `MAYFLY_BIN`
/// names such a program, so that a quickly built test can measure it.
pub fn optimised() -> bool {
    !cfg!(debug_assertions) || std::env::var_os("MAYFLY_BIN").is_some()
}

/// True when a test of figures is to be left out, and says so.
pub fn figures_say_nothing(test: &str) -> bool {
    let leave = !optimised() && !slow();
    if leave {
        eprintln!(
            "LEFT OUT: {test}: needs an optimised build (cargo test --release) or MAYFLY_SLOW=1"
        );
    }
    leave
}

/// Asks again and again until `ready` or `limit` is over; returns whether it came true.
pub fn within(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Megabytes: what bounds on memory are given in.
pub const MB: u64 = 1_000_000;
/// Mebibytes.
pub const MIB: u64 = 1 << 20;
/// Gibibytes.
pub const GIB: u64 = 1 << 30;
