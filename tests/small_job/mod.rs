//! A small job with state in several tables and two sinks, for tests that fail and damage it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a part of several test binaries; a test ends where it is surprised"
)]

use std::collections::BTreeMap;
use std::path::Path;

use millstream::prelude::*;
use millstream::{Environment, Outcome, Stopper};

pub const RECORDS: u64 = 30_000;
const SPLITS: u32 = 3;
const WINDOW_MS: i64 = 1000;
const KEYS: u64 = 7;

/// What may differ between two versions of the job.
#[derive(Clone, Copy)]
pub struct Shape {
    pub job: &'static str,
    pub window: &'static str,
    pub sliding: bool,
    pub running: bool,
    pub splits: u32,
}

pub const SHAPE: Shape = Shape {
    job: "small",
    window: "by-time",
    sliding: false,
    running: true,
    splits: SPLITS,
};

/// Builds the job; its output goes to folders in `dir`.
pub fn job(shape: Shape, dir: &Path) -> Job {
    let job = Job::new(shape.job);
    let numbers = job
        .source(
            "numbers",
            generator::generate(RECORDS, shape.splits, |n| n)
                .event_time(|n: &u64| (*n % (RECORDS / 3)) as i64, Lag::NONE),
        )
        .shared();
    let output = |name: &str| file::jsonl(dir.join("output").join(name)).roll_bytes(1);
    let keyed = numbers.key_by(|n| n % KEYS);
    let size = Duration::from_millis(WINDOW_MS as u64);
    let sums = match shape.sliding {
        false => keyed
            .window(Tumbling::of(size))
            .aggregate(shape.window, sum(|n: &u64| *n)),
        true => keyed
            .window(Sliding::of(size, size / 2))
            .aggregate(shape.window, sum(|n: &u64| *n)),
    };
    sums.results
        .map(|r| (r.key, r.window.start, r.value))
        .to("by-time", output("by-time"));
    if shape.running {
        numbers
            .key_by(|n| (n / (RECORDS / 3), n % KEYS))
            .fold("running", (0, 0), |so_far: &mut (u64, u64), n| {
                so_far.0 += 1;
                so_far.1 += n;
            })
            .filter(|(_, (count, _))| count.is_multiple_of(50))
            .to("running", output("running"));
    }
    job
}

/// What the job has to write: by sink, sorted.
pub fn expected() -> BTreeMap<&'static str, Vec<String>> {
    let mut windows: BTreeMap<(u64, i64), u64> = BTreeMap::new();
    let mut lanes: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    let mut running = Vec::new();
    for n in 0..RECORDS {
        let time = (n % (RECORDS / 3)) as i64;
        *windows
            .entry((n % KEYS, time - time % WINDOW_MS))
            .or_default() += n;
        let (split, key) = (n / (RECORDS / 3), n % KEYS);
        let lane = lanes.entry((split, key)).or_default();
        *lane = (lane.0 + 1, lane.1 + n);
        if lane.0.is_multiple_of(50) {
            running.push(format!("[[{split},{key}],[{},{}]]", lane.0, lane.1));
        }
    }
    let line = |((key, start), sum): (&(u64, i64), &u64)| format!("[{key},{start},{sum}]");
    let mut by_time: Vec<String> = windows.iter().map(line).collect();
    by_time.sort();
    running.sort();
    BTreeMap::from([("by-time", by_time), ("running", running)])
}

/// The output is what it has to be, each row once.
pub fn check_output(dir: &Path, what: &str) {
    for (sink, expected) in expected() {
        let mut rows = crate::on_disk::rows(&dir.join("output").join(sink));
        rows.sort();
        assert!(rows == expected, "{what}: the rows of {sink} are wrong");
    }
}

/// Runs the job in `dir`; `stop_after`: no longer than so many checkpoints.
pub fn run(shape: Shape, dir: &Path, stop_after: Option<u64>) -> Result<Outcome> {
    let settings = Settings {
        workers: 2,
        checkpoint_dir: Some(dir.join("checkpoints")),
        checkpoint_interval: Duration::from_millis(1),
        // So little that changes go to RocksDB every few checkpoints.
        memory_bytes: 256 << 10,
        batch_records: 64,
        // Slow enough that it does not come to its end before it is stopped, on any disk.
        throttle_rows_per_s: stop_after.map(|_| RECORDS / 2),
        ..Settings::default()
    };
    let stopper = Stopper::default();
    let stop = stopper.clone();
    let environment = Environment {
        stopper,
        observe: Box::new(move |counted| {
            if stop_after.is_some_and(|most| counted.checkpoints >= most) {
                stop.stop();
            }
        }),
        ..Environment::default()
    };
    let report = job(shape, dir).run_in(&settings, environment)?;
    Ok(report.outcome)
}
