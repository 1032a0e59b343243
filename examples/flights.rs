//! Departures from New York in January 2013: delays by hour, carriers over three hours, days of
//! aircraft. Real data, from file to file, exactly once.
//!
//! `cargo run --release --example flights -- --help`, or `./dev demo`.

#[path = "flights/mod.rs"]
mod flights;

use std::process::ExitCode;

use clap::Parser;
use millstream::cli::exit_code;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = flights::Args::parse();
    exit_code(flights::run(&args).and_then(|_| flights::show(&args)))
}
