//! The path of the bytes: one copy loop in, one out. No sockets, no files, no names of its own.
//!
//! Memory: nothing is sized by what a client declares. A transfer has fixed buffers of one of two
//! sizes (`buffer`). The first 16 have 128 KiB to send or 264 KiB to receive, for fewer system calls:
//! 4.3 MB at most. All others have 16 KiB to send (500 of them: 8 MB, which with their touched stacks stays within the
//! 14 MB that all downloads together may take) and 40 KiB to receive. Buffers are wiped.

mod buffer;
mod chunk;
mod copying;
mod intake;
mod output;
pub mod seal;
mod waiting;
pub mod zip;

pub use chunk::{ChunkIntake, Piecewise, Span, fingerprint, receive_chunk, seal_whole};
pub use intake::{Intake, IntakeError, Layout, receive};
pub use output::{Output, SendError, Source};
pub use waiting::{Waiting, wait};
