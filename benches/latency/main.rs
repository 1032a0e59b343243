//! How long after a window's end its results are there, at a fixed load.
//!
//! Events come at a fixed rate whatever the job does (open loop): an event's time is when it is
//! due, so time that it waited for the job counts as well (no coordinated omission). A tumbling
//! window over all keys is counted by two workers with checkpoints every second; a result has
//! arrived when the sink's writer has it. One job for each size of window, one after another.

mod arrivals;
mod hiccup;
mod load;
mod plot;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use hdrhistogram::Histogram;
use millstream::prelude::*;
use millstream_benches::cpu_seconds;
use serde::Serialize;

use crate::arrivals::Arrivals;
use crate::hiccup::Hiccups;
use crate::load::{Event, Load, Time};
use crate::plot::Line;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// The most that a result may come behind the end of its window, for the picture.
const LIMIT_MS: f64 = 5.0;

/// Measures the latency of window results at a fixed load
#[derive(Parser, Debug)]
struct Cli {
    /// Events a second
    #[arg(long, default_value_t = 500_000)]
    rate: u64,

    /// How long each job is measured, after its warm-up
    #[arg(long, default_value_t = 30)]
    seconds: u64,

    /// How long each job runs before that
    #[arg(long, default_value_t = 3)]
    warm_up: u64,

    /// The sizes of the windows in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    windows_ms: Vec<u64>,

    /// Different keys
    #[arg(long, default_value_t = 1_000)]
    keys: u64,

    /// Worker threads, and splits of the load
    #[arg(long, default_value_t = 2)]
    workers: usize,

    /// How often a reader that waits for its next event looks again, in microseconds
    #[arg(long, default_value_t = 500)]
    tick_us: u64,

    /// How long results may wait for others before the sink gets them, in microseconds
    #[arg(long, default_value_t = 1000)]
    flush_us: u64,

    /// The time between checkpoints in milliseconds
    #[arg(long, default_value_t = 1000)]
    checkpoint_interval_ms: u64,

    /// The folder for checkpoints
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,

    /// Draw latency by percentile into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The latency of one size of window, in milliseconds.
#[derive(Debug, Serialize)]
struct Latency {
    window_ms: u64,
    results: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    p9999_ms: f64,
    max_ms: f64,
    /// How late the machine wakes a thread that sleeps: p99.99 and the latest.
    machine_p9999_ms: f64,
    machine_max_ms: f64,
    checkpoints: u64,
    cpu_secs: f64,
    #[serde(skip)]
    line: Vec<(f64, f64)>,
}

#[derive(Debug, Serialize)]
struct Figures {
    rate: u64,
    workers: usize,
    keys: u64,
    seconds: u64,
    flush_us: u64,
    checkpoint_interval_ms: u64,
    windows: Vec<Latency>,
    worst_p9999_ms: f64,
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    if [cli.rate, cli.keys, cli.tick_us, cli.seconds].contains(&0) || cli.windows_ms.contains(&0) {
        return Err("rate, keys, tick, seconds and windows have to be above 0".into());
    }
    println!(
        "| window | results | p50 | p90 | p99 | p99.9 | p99.99 | max | CPU s | machine's own p99.99, max |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut windows = Vec::new();
    for &window_ms in &cli.windows_ms {
        let latency = measure(&cli, window_ms)?;
        println!("{}", table_row(&latency));
        windows.push(latency);
    }
    if let Some(path) = &cli.svg {
        std::fs::write(path, picture(&cli, &windows))?;
    }
    let figures = Figures {
        rate: cli.rate,
        workers: cli.workers,
        keys: cli.keys,
        seconds: cli.seconds,
        flush_us: cli.flush_us,
        checkpoint_interval_ms: cli.checkpoint_interval_ms,
        worst_p9999_ms: windows.iter().map(|w| w.p9999_ms).fold(0.0, f64::max),
        windows,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn measure(cli: &Cli, window_ms: u64) -> Result<Latency, Failure> {
    let folder = tempfile::tempdir_in(&cli.dir)?;
    let load = Load {
        rate: cli.rate,
        events: cli.rate * (cli.warm_up + cli.seconds),
        keys: cli.keys,
        splits: cli.workers as u64,
        tick: Duration::from_micros(cli.tick_us),
        time: Time::start(),
        start_us: Arc::new(OnceLock::new()),
    };
    let warm_up_us = i64::try_from(cli.warm_up)? * 1_000_000;
    let arrivals = Arrivals::new(load.clone(), warm_up_us)?;
    let job = Job::new("latency");
    job.source(
        "load",
        load.clone()
            .event_time(|event: &Event| event.due_ms, Lag::NONE),
    )
    .key_by(|event| event.key)
    .window(Tumbling::of(Duration::from_millis(window_ms)))
    .aggregate("counts", count())
    .results
    .to("arrivals", arrivals.clone());
    let settings = Settings {
        workers: cli.workers,
        checkpoint_dir: Some(folder.path().join("checkpoints")),
        checkpoint_interval: Duration::from_millis(cli.checkpoint_interval_ms),
        memory_bytes: 1 << 30,
        flush_interval: Duration::from_micros(cli.flush_us),
        ..Settings::default()
    };
    let before = cpu_seconds();
    let hiccups = Hiccups::start()?;
    let report = job.run(&settings)?;
    let woken = hiccups.stop()?;
    let noted = arrivals.noted();
    if noted.events != load.events {
        return Err(format!(
            "windows of {window_ms} ms counted {} of {} events",
            noted.events, load.events
        )
        .into());
    }
    Ok(Latency {
        machine_p9999_ms: ms_at(&woken, 0.9999),
        machine_max_ms: woken.max() as f64 / 1000.0,
        checkpoints: report.checkpoints,
        cpu_secs: cpu_seconds() - before,
        ..latency(window_ms, &noted.latency_us)
    })
}

fn ms_at(us: &Histogram<u64>, share: f64) -> f64 {
    us.value_at_quantile(share) as f64 / 1000.0
}

fn latency(window_ms: u64, us: &Histogram<u64>) -> Latency {
    let at = |share: f64| ms_at(us, share);
    Latency {
        window_ms,
        results: us.len(),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        p9999_ms: at(0.9999),
        max_ms: us.max() as f64 / 1000.0,
        machine_p9999_ms: 0.0,
        machine_max_ms: 0.0,
        checkpoints: 0,
        cpu_secs: 0.0,
        line: plot::shares().map(|share| (share, at(share))).collect(),
    }
}

fn table_row(latency: &Latency) -> String {
    format!(
        "| {} ms | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2}, {:.2} |",
        latency.window_ms,
        latency.results,
        latency.p50_ms,
        latency.p90_ms,
        latency.p99_ms,
        latency.p999_ms,
        latency.p9999_ms,
        latency.max_ms,
        latency.cpu_secs,
        latency.machine_p9999_ms,
        latency.machine_max_ms,
    )
}

fn picture(cli: &Cli, windows: &[Latency]) -> String {
    let lines: Vec<Line> = windows
        .iter()
        .map(|latency| Line {
            name: format!("windows of {} ms", latency.window_ms),
            points: latency.line.clone(),
        })
        .collect();
    let title = format!(
        "Results behind the end of their window: {} events/s, {} workers, checkpoints every {} ms",
        cli.rate, cli.workers, cli.checkpoint_interval_ms
    );
    plot::svg(&title, &lines, LIMIT_MS)
}
