//! Every kind of window over generated records, each kind with an output of its own. The tests
//! that kill the process run it; it also shows what each kind looks like in a program.
//!
//! `cargo run --release --example every_window -- --help`

#[path = "every_window/mod.rs"]
mod every_window;

use std::process::ExitCode;

use clap::Parser;
use millstream::cli::exit_code;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = every_window::Args::parse();
    exit_code(args.job.run(&every_window::job(&args)).map(|_| ()))
}
