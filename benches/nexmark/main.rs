//! Nexmark: queries on the events of an auction house, as jobs of Millstream's and as loops
//! written by hand, on the same events, with what each cost.

mod args;
mod arrival;
mod event;
mod generator;
mod input;
mod loops;
mod outcome;
mod output;
mod queries;
mod rows;
mod source;
mod tally;
mod tally_sink;

use std::process::ExitCode;

use clap::Parser;
use millstream::{Error, Result};

use crate::args::{Args, Engine};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millstream::cli::exit_code(run(&Args::parse()))
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn run(args: &Args) -> Result<()> {
    let outcome = match args.engine {
        Engine::Millstream => queries::run(args),
        Engine::Loop => loops::run(args),
    }?;
    let line = serde_json::to_string(&outcome)
        .map_err(|e| Error::internal("the outcome cannot be written as JSON").caused_by(e))?;
    println!("{line}");
    Ok(())
}
