//! What windows cost when they overlap more, and what sessions cost when more of them are open.
//!
//! Sliding windows run at one slide and with sizes of 1, 10 and 100 slides: the slices, and the
//! firings for each event, are the same, so whatever a window costs more is the overlap's. Sessions
//! run with 1,000 to 10 million open ones, beside a hand-written loop over the same events with
//! the same number of open sessions: that shows how much of the cost is the memory's.
//!
//! CPU time of all threads is taken between two events of the stream, once windows are full and as
//! many sessions are open as there ever are; neither the start nor the end of a job is in it. The
//! last line on stdout is one JSON object.

mod measure;
mod plain;
mod sessions;
mod sliding;

use clap::{Parser, ValueEnum};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// Cost per event of overlapping windows and of open sessions.
#[derive(Parser, Debug)]
struct Cli {
    /// What to measure
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,

    /// How often each case runs, by turns
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Fewer and smaller cases, one run each
    #[arg(long)]
    quick: bool,

    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,

    /// Keys of the sliding windows
    #[arg(long, default_value_t = 10_000)]
    keys: u64,

    /// Events measured in each run of the sliding windows
    #[arg(long, default_value_t = 4_000_000)]
    events: u64,

    /// Numbers of open sessions, about
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000,10000,100000,1000000,10000000"
    )]
    open: Vec<u64>,

    /// Takes checkpoints every second, in a temporary folder; without it nothing is kept
    #[arg(long)]
    checkpoints: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Both
    All,
    /// Sliding windows
    Sliding,
    /// Sessions
    Sessions,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Figures {
    sliding: Vec<sliding::Row>,
    sessions: Vec<sessions::Row>,
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> Result<(), Failure> {
    let mut cli = Cli::parse();
    if cli.quick {
        cli.runs = 1;
        cli.events = cli.events.min(1_000_000);
        cli.open.retain(|&open| open <= 100_000);
    }
    let mut figures = Figures {
        sliding: Vec::new(),
        sessions: Vec::new(),
    };
    if cli.part != Part::Sessions {
        figures.sliding = sliding::run(&cli)?;
    }
    if cli.part != Part::Sliding {
        figures.sessions = sessions::run(&cli)?;
    }
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
