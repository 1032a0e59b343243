//! The flights job against a recomputation without the engine: everything is compared, for
//! several numbers of workers, batch sizes and checkpoint intervals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../examples/flights/mod.rs"]
mod flights;
mod flights_oracle;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use flights_oracle::{Aircraft, Carrier, Expected, Hourly};
use millstream::{Outcome, Report};
use serde::de::DeserializeOwned;

const INPUT: &str = "examples/data/flights-2013-01.csv.gz";

struct Run {
    workers: usize,
    batch: usize,
    interval_ms: u64,
}

fn read<T: DeserializeOwned + PartialOrd>(dir: &Path) -> Vec<T> {
    let mut rows: Vec<T> = Vec::new();
    for part in std::fs::read_dir(dir).unwrap() {
        let path = part.unwrap().path();
        assert_eq!(
            path.extension().unwrap(),
            "jsonl",
            "only whole parts are left: {path:?}"
        );
        let text = std::fs::read_to_string(path).unwrap();
        rows.extend(
            text.lines()
                .map(|line| serde_json::from_str::<T>(line).unwrap()),
        );
    }
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

fn sorted<T: PartialOrd + Clone>(rows: &[T]) -> Vec<T> {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

fn agrees(expected: &Expected, output: &Path) {
    let hourly: Vec<Hourly> = read(&output.join("hourly"));
    let mut wanted: Vec<_> = expected.hourly.iter().collect();
    wanted.sort_by(|a, b| a.row.partial_cmp(&b.row).unwrap());
    assert_eq!(hourly.len(), wanted.len());
    for (got, wanted) in hourly.iter().zip(wanted) {
        assert!(wanted.agrees(got), "{got:?} where {wanted:?} is due");
    }
    assert_eq!(
        read::<Carrier>(&output.join("carriers")),
        sorted(&expected.carriers)
    );
    assert_eq!(
        read::<Aircraft>(&output.join("aircraft")),
        sorted(&expected.aircraft)
    );
}

fn check(expected: &Expected, run: &Run) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let args = flights::Args::parse_from([
        "flights",
        "--quiet",
        "--input",
        INPUT,
        "--output",
        &path("out"),
        "--checkpoint-dir",
        &path("checkpoints"),
        "--checkpoint-interval",
        &format!("{}ms", run.interval_ms),
        "--workers",
        &run.workers.to_string(),
        "--batch",
        &run.batch.to_string(),
    ]);
    let report = flights::run(&args).unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    agrees(expected, &dir.path().join("out"));
    flights::show(&args).unwrap();
    let again = flights::run(&args).unwrap();
    assert_eq!(again.outcome, Outcome::AlreadyComplete);
    report
}

#[test]
fn f7_the_results_are_the_same_for_every_number_of_workers_batch_and_interval() {
    let expected = flights_oracle::expected(Path::new(INPUT)).unwrap();
    let intervals = [1, 20, 1000];
    for workers in [1, 2, 4] {
        for (batch, interval_ms) in [1, 1023, 2048].into_iter().zip(intervals) {
            let report = check(
                &expected,
                &Run {
                    workers,
                    batch,
                    interval_ms,
                },
            );
            assert_eq!(report.source_total("read"), expected.rows);
            assert_eq!(report.source_total("skipped"), expected.skipped);
            assert_eq!(report.operator_total("late"), 0);
            for counters in report.operators.values() {
                assert_eq!(counters["in"], counters["processed"] + counters["late"]);
            }
        }
    }
}

#[test]
fn the_throttle_holds_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().display().to_string();
    let args = flights::Args::parse_from([
        "flights",
        "--quiet",
        "--input",
        INPUT,
        "--output",
        &output,
        "--throttle",
        "100000",
    ]);
    let report = flights::run(&args).unwrap();
    assert!(
        report.elapsed >= Duration::from_millis(200),
        "27,004 rows took {:?}",
        report.elapsed
    );
}
