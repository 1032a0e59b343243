//! The flights job against a plain loop that computes the same: rows per CPU-second, side by side.
//!
//! Both run in processes of their own, by turns, so that what else the machine does falls on both
//! alike; the CPU time is that of all threads of the process. Both have to write the same lines.

mod data;
#[path = "../../../../examples/flights/mod.rs"]
#[expect(dead_code, reason = "the example shows its results, this does not")]
mod flights;
mod plain;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Parser, ValueEnum};
use millstream_benches::{cpu_seconds, median};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// Compares the flights job, with checkpoints every second, with a single-threaded loop.
#[derive(Parser, Debug)]
struct Cli {
    /// How many rows to read
    #[arg(long, default_value_t = 3_000_000)]
    rows: u64,

    /// How often each side runs
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// The month that is repeated
    #[arg(long, default_value = "examples/data/flights-2013-01.csv.gz")]
    month: PathBuf,

    /// Runs one side once, on the file `--input`, into the folder `--output`
    #[arg(long, requires = "input", requires = "output")]
    child: Option<Side>,

    #[arg(long, hide = true)]
    input: Option<PathBuf>,

    #[arg(long, hide = true)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    /// The job of the example
    Job,
    /// The plain loop
    Loop,
}

/// What a child says on stdout.
#[derive(Debug, Serialize, Deserialize)]
struct Cost {
    cpu_s: f64,
}

/// The lines of one result, whatever their order.
#[derive(Debug, PartialEq, Eq)]
struct Lines {
    count: u64,
    sum_of_hashes: u64,
}

fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    match (cli.child, &cli.input, &cli.output) {
        (Some(side), Some(input), Some(output)) => child(side, input, output),
        _ => compare(&cli),
    }
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn child(side: Side, input: &Path, output: &Path) -> Result<(), Failure> {
    match side {
        Side::Job => run_job(input, output)?,
        Side::Loop => plain::run(input, output)?,
    }
    let cost = Cost {
        cpu_s: cpu_seconds(),
    };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

fn run_job(input: &Path, output: &Path) -> Result<(), Failure> {
    let mut words = vec!["flights".into(), "--workers=1".into(), "--quiet".into()];
    let checkpoints = output.join("checkpoints");
    for (flag, path) in [
        ("--input", input),
        ("--output", output),
        ("--checkpoint-dir", checkpoints.as_path()),
    ] {
        words.push(std::ffi::OsString::from(flag));
        words.push(path.into());
    }
    flights::run(&flights::Args::parse_from(words))?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn compare(cli: &Cli) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("flights.csv");
    let rows = data::repeat(&cli.month, &input, cli.rows)?;
    let (mut jobs, mut loops) = (Vec::new(), Vec::new());
    for run in 1..=cli.runs.max(1) {
        let job_out = folder.path().join(format!("job-{run}"));
        let loop_out = folder.path().join(format!("loop-{run}"));
        let job = run_child(Side::Job, &input, &job_out)?;
        let plain = run_child(Side::Loop, &input, &loop_out)?;
        for result in ["hourly", "carriers", "aircraft"] {
            let (a, b) = (
                lines(&job_out.join(result))?,
                lines(&loop_out.join(result))?,
            );
            if a != b {
                return Err(format!("{result}: the job wrote {a:?}, the loop {b:?}").into());
            }
            if run == 1 {
                println!("{result}: {} lines, equal on both sides", a.count);
            }
        }
        println!(
            "run {run}: job {job:.2} CPU s, loop {plain:.2} CPU s, ratio {:.2}",
            plain / job
        );
        jobs.push(job);
        loops.push(plain);
        std::fs::remove_dir_all(job_out)?;
        std::fs::remove_dir_all(loop_out)?;
    }
    let ratios: Vec<f64> = jobs.iter().zip(&loops).map(|(j, l)| l / j).collect();
    println!(
        "{rows} rows, medians of {}: job {:.2} CPU s, loop {:.2} CPU s, rows per CPU-second job / loop {:.2}",
        jobs.len(),
        median(&mut jobs),
        median(&mut loops),
        median(&mut ratios.clone()),
    );
    Ok(())
}

fn run_child(side: Side, input: &Path, output: &Path) -> Result<f64, Failure> {
    let name = side.to_possible_value().ok_or("a side without a name")?;
    let done = Command::new(std::env::current_exe()?)
        .args(["--child", name.get_name()])
        .arg("--input")
        .arg(input)
        .arg("--output")
        .arg(output)
        .output()?;
    if !done.status.success() {
        return Err(format!(
            "the {} failed: {}",
            name.get_name(),
            String::from_utf8_lossy(&done.stderr)
        )
        .into());
    }
    let cost: Cost = serde_json::from_slice(&done.stdout)?;
    Ok(cost.cpu_s)
}

/// The lines of the visible files of a folder.
fn lines(folder: &Path) -> Result<Lines, Failure> {
    let mut all = Lines {
        count: 0,
        sum_of_hashes: 0,
    };
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
        if hidden || !path.is_file() {
            continue;
        }
        let text = std::fs::read(&path)?;
        for line in text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
            all.count += 1;
            all.sum_of_hashes = all.sum_of_hashes.wrapping_add(xxh3_64(line));
        }
    }
    Ok(all)
}
