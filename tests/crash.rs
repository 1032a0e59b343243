//! Jobs whose process is killed at any time, again and again: in the end every result is there
//! once. `MILLSTREAM_KILLS` says how many kills (40), `MILLSTREAM_SEED` which ones.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![expect(clippy::print_stderr, reason = "tells what was done")]

#[path = "crash/child.rs"]
mod child;
mod every_window_oracle;
mod flights_oracle;
mod on_disk;
#[path = "crash/torture.rs"]
mod torture;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use child::Program;
use on_disk::rows;
use serde::de::DeserializeOwned;
use torture::{Random, kills_wanted, torture};

/// At this pace a run takes a second or two.
const EVENTS: u64 = 1_000_000;
const EVENTS_PER_S: u64 = 500_000;
const FLIGHTS_PER_S: u64 = 20_000;

fn every_window() -> Program {
    Program::new("every_window")
        .flag("--records", EVENTS)
        .flag("--throttle", EVENTS_PER_S)
}

fn flights() -> Program {
    Program::new("flights")
        .flag("--input", flights_file().display())
        .flag("--throttle", FLIGHTS_PER_S)
}

fn flights_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights-2013-01.csv.gz")
}

#[test]
fn every_kind_of_window_survives_kills() {
    let expected = every_window_oracle::expected(EVENTS);
    let check = |output: &Path| check_every_window(&expected, output);
    torture(&every_window(), kills_wanted().div_ceil(2), 0, check);
}

#[test]
fn flights_survive_kills() {
    let expected = flights_oracle::expected(&flights_file()).unwrap();
    let check = |output: &Path| check_flights(&expected, output);
    torture(&flights(), kills_wanted() / 2, 1, check);
}

fn check_every_window(expected: &every_window_oracle::Expected, output: &Path) {
    for (name, lines) in expected {
        let mut written = rows(&output.join(name));
        written.sort_unstable();
        let differences = differences(lines, &written);
        assert!(differences.is_empty(), "{name}: {differences:#?}");
    }
}

/// Lines that are there too rarely (below 0) or too often, at most some.
fn differences<'l>(expected: &'l [String], written: &'l [String]) -> Vec<(i64, &'l String)> {
    let mut surplus: BTreeMap<&String, i64> = BTreeMap::new();
    written
        .iter()
        .for_each(|line| *surplus.entry(line).or_default() += 1);
    expected
        .iter()
        .for_each(|line| *surplus.entry(line).or_default() -= 1);
    let differ = surplus.into_iter().filter(|(_, times)| *times != 0);
    differ.map(|(line, times)| (times, line)).take(20).collect()
}

fn check_flights(expected: &flights_oracle::Expected, output: &Path) {
    let hourly: Vec<flights_oracle::Hourly> = sorted(&output.join("hourly"));
    assert_eq!(hourly.len(), expected.hourly.len(), "rows of hourly");
    for (expected, row) in expected.hourly.iter().zip(&hourly) {
        assert!(
            expected.agrees(row),
            "expected {expected:?}, there is {row:?}"
        );
    }
    check_equal(&expected.carriers, &sorted(&output.join("carriers")));
    check_equal(&expected.aircraft, &sorted(&output.join("aircraft")));
}

fn check_equal<T: PartialEq + Debug>(expected: &[T], rows: &[T]) {
    for (expected, row) in expected.iter().zip(rows) {
        assert_eq!(expected, row);
    }
    assert_eq!(expected.len(), rows.len());
}

fn sorted<T: DeserializeOwned + PartialOrd>(dir: &Path) -> Vec<T> {
    let parse = |line: &String| serde_json::from_str(line).unwrap();
    let mut rows: Vec<T> = rows(dir).iter().map(parse).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

#[test]
fn sigterm_takes_a_checkpoint_and_the_next_start_goes_on() {
    let expected = every_window_oracle::expected(EVENTS);
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(7);
    let program = every_window();
    let mut stops = 0;
    loop {
        let mut run = program.start(dir.path(), 1 + random.below(4));
        let ended_by_itself = run.wait_at_most(300 + random.below(200));
        if !ended_by_itself {
            run.signal("TERM");
            stops += 1;
        }
        let (status, stderr) = run.wait();
        assert!(status.success(), "{status}: {stderr}");
        if ended_by_itself {
            break;
        }
        if stops == 1 {
            assert!(stderr.contains("Stopped at a checkpoint"), "{stderr}");
        }
    }
    assert!(stops > 0, "the job ended before it could be stopped");
    check_every_window(&expected, &dir.path().join("output"));
}

#[test]
fn a_second_signal_ends_the_process_at_once_and_the_next_start_goes_on() {
    let expected = every_window_oracle::expected(EVENTS);
    let dir = tempfile::tempdir().unwrap();
    let program = every_window();
    let mut run = program.start(dir.path(), 2);
    assert!(
        !run.wait_at_most(400),
        "the job ended before it could be stopped"
    );
    run.signal("INT");
    run.signal("INT");
    let (status, stderr) = run.wait();
    // The last checkpoint may have been quicker than the second signal.
    assert!(matches!(status.code(), Some(0 | 130)), "{status}: {stderr}");
    let (status, stderr) = program.start(dir.path(), 3).wait();
    assert!(status.success(), "{status}: {stderr}");
    check_every_window(&expected, &dir.path().join("output"));
}
