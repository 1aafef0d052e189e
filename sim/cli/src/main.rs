//! The command `cotune`. What it does is in the library, so that a program can do it too.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cotune::command_line()
}
