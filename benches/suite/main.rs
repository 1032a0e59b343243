//! The whole table: runs every program, checks every result, judges every target.
//!
//! Each measurement is a process of its own, and the sides of a ratio run by turns. The table goes
//! to stdout as Markdown, what is going on to stderr, and the figures to a file of
//! `benches/results/`. A target that is missed is said; only a wrong result or a program that
//! fails makes the run fail.

mod history;
mod machine;
mod measure;
mod row;
mod table;
mod targets;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use millstream::Clock;
use millstream_benches::time::days_to_text;

use crate::history::Run;
use crate::machine::{Machine, commit};
use crate::measure::Programs;
use crate::row::{Row, Verdict};
use crate::targets::{Bench, Part};

/// Runs the benchmarks and prints a table of what is reached.
#[derive(Parser, Debug)]
struct Cli {
    /// Fewer events and fewer turns: under 5 minutes where the whole takes under 30
    #[arg(long)]
    quick: bool,

    /// Only these parts (`--list` names them); `check` stands for all that begin with it
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,

    /// Name the parts and end
    #[arg(long)]
    list: bool,

    /// How often each side of a ratio runs [default: 5, with --quick 3]
    #[arg(long)]
    turns: Option<usize>,

    /// Write the figures to `--results`: by default the whole run without --only does
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    history: Option<bool>,

    /// The folder of the figures
    #[arg(long, value_name = "DIR", default_value = "benches/results")]
    results: PathBuf,

    /// The folder for checkpoints; on a disk, not in memory [default: the system's]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// After this many seconds a program is killed
    #[arg(long, default_value_t = 600)]
    limit: u64,
}

impl Cli {
    fn chooses(&self, part: &Part) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|name| part.name == *name || part.name.starts_with(&format!("{name}-")))
    }

    fn keeps_history(&self) -> bool {
        self.history.unwrap_or(!self.quick && self.only.is_empty())
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let cli = Cli::parse();
    let parts: Vec<Part> = targets::all()
        .into_iter()
        .filter(|part| cli.chooses(part))
        .collect();
    if cli.list || parts.is_empty() {
        return Ok(list());
    }
    let clock = Clock::system();
    let commit = commit();
    let scratch = match &cli.scratch {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let bench = Bench {
        programs: Programs {
            folder: binaries()?,
            limit: Duration::from_secs(cli.limit),
        },
        is_quick: cli.quick,
        turns: cli.turns.unwrap_or(if cli.quick { 3 } else { 5 }).max(1),
        scratch: scratch.path().to_owned(),
        said: RefCell::default(),
        tell: Box::new({
            let clock = clock.clone();
            move |what| tell(&clock, what)
        }),
    };
    let rows = measure(&bench, &parts, &clock);
    print(&table::markdown(&rows));
    let secs = clock.monotonic_us() / 1_000_000;
    if cli.keeps_history() {
        let run = Run {
            date: today(&clock),
            commit,
            quick: cli.quick,
            secs,
            machine: Machine::here(),
            rows: rows.clone(),
            figures: bench.said.take(),
        };
        let path = run.write(&cli.results)?;
        tell(&clock, &format!("figures in {}", path.display()));
    }
    Ok(conclude(&rows, &clock))
}

fn measure(bench: &Bench, parts: &[Part], clock: &Clock) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        tell(
            clock,
            &format!("==> {} of {}: {}", number + 1, parts.len(), part.name),
        );
        let more = (part.run)(bench);
        for row in &more {
            tell(clock, &format!("    {}: {}", row.what, row.verdict));
        }
        rows.extend(more);
    }
    rows
}

fn conclude(rows: &[Row], clock: &Clock) -> ExitCode {
    let count = |test: fn(&Verdict) -> bool| rows.iter().filter(|row| test(&row.verdict)).count();
    let wrong = count(Verdict::is_failure);
    tell(
        clock,
        &format!(
            "{} reached, {} missed, {} too slow, {} not run, {wrong} wrong or failed",
            count(|v| *v == Verdict::Reached),
            count(|v| *v == Verdict::Missed),
            count(|v| matches!(v, Verdict::TooSlow(_))),
            count(|v| matches!(v, Verdict::NotRun(_))),
        ),
    );
    if wrong > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn list() -> ExitCode {
    for part in targets::all() {
        let target = match part.target {
            0 => "results".to_owned(),
            number => format!("target {number}"),
        };
        print(&format!("{:<20} {target}\n", part.name));
    }
    ExitCode::SUCCESS
}

/// The programs are built beside this one.
fn binaries() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().map_or_else(PathBuf::new, PathBuf::from))
}

fn today(clock: &Clock) -> String {
    days_to_text(clock.now_ms().div_euclid(86_400_000))
}

#[expect(clippy::print_stderr, reason = "a run takes long: it says where it is")]
fn tell(clock: &Clock, what: &str) {
    eprintln!("[{:>4} s] {what}", clock.monotonic_us() / 1_000_000);
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn print(text: &str) {
    print!("{text}");
}
