//! The `mayfly` program: turns the command line into an exit code.
fn main() {}
