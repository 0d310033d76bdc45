//! The `mayfly` program. Everything that it does is in the library, see `mayfly::cli`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else allocates or creates. The figures keep 500 threads from having an arena
    // each, and give large blocks back to the system when they are freed.
    mayfly_sys::bound_allocator(2, 128 * 1024);
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    mayfly::cli::main()
}
