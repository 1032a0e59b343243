//! Windows of processing time: by the clock alone, whatever the records say.
#![allow(clippy::unwrap_used, reason = "tests")]

use millstream::prelude::*;
use millstream::{Clock, Environment, ManualClock};

const START_MS: i64 = 1_000_000_000;
/// More than are read before the supervisor looks whether it was asked to stop.
const MANY: u64 = 200_000;

/// `records` records that all say the same event time; the clock moves on by `step_ms` behind each.
fn job(
    records: u64,
    clock: ManualClock,
    step_ms: i64,
    out: &memory::MemorySink<(i64, u64)>,
) -> Job {
    let job = Job::new("by-the-clock");
    let ticking = generator::generate(records, 1, move |n| {
        clock.advance_ms(step_ms);
        n
    });
    job.source("ticks", ticking.event_time(|_| 5, Lag::NONE))
        .processing_time()
        .key_by(|n| n % 2)
        .window(Tumbling::of(Duration::from_secs(10)))
        .aggregate("by-ten-seconds", count())
        .results
        .map(|r| (r.window.start, r.value))
        .to("out", out.clone());
    job
}

fn run(job: &Job, clock: Clock, settings: &Settings) -> Report {
    let environment = Environment {
        clock,
        ..Environment::default()
    };
    job.run_in(settings, environment).unwrap()
}

/// Records by window start.
fn by_window(out: &memory::MemorySink<(i64, u64)>) -> Vec<(i64, u64)> {
    let mut windows = std::collections::BTreeMap::new();
    for (start, count) in out.rows() {
        *windows.entry(start).or_default() += count;
    }
    windows.into_iter().collect()
}

#[test]
fn f6_a_record_is_in_the_window_of_the_moment_it_is_handled() {
    let (clock, hand) = Clock::manual(START_MS);
    let out = memory::sink();
    let settings = Settings {
        workers: 2,
        batch_records: 1,
        ..Settings::default()
    };
    // 100 records, 500 ms apart: 20 in each window of ten seconds.
    run(&job(100, hand, 500, &out), clock, &settings);
    let expected: Vec<(i64, u64)> = (0..5).map(|n| (START_MS + n * 10_000, 20)).collect();
    assert_eq!(by_window(&out), expected);
}

#[test]
fn a_clock_that_went_back_during_a_restart_makes_no_record_late() {
    let dir = tempfile::tempdir().unwrap();
    let out = memory::sink();
    let settings = Settings {
        workers: 1,
        batch_records: 1,
        checkpoint_dir: Some(dir.path().to_owned()),
        ..Settings::default()
    };
    let (clock, hand) = Clock::manual(START_MS);
    let stopper = millstream::Stopper::default();
    stopper.stop();
    let first = job(MANY, hand, 500, &out);
    let environment = Environment {
        clock,
        stopper,
        ..Environment::default()
    };
    let stopped = first.run_in(&settings, environment).unwrap();
    assert_eq!(stopped.outcome, millstream::Outcome::Stopped);
    let (earlier, hand) = Clock::manual(START_MS - 900_000_000);
    let report = run(&job(MANY, hand, 500, &out), earlier, &settings);
    assert_eq!(report.operator_total("late"), 0);
    let counted: u64 = by_window(&out).iter().map(|(_, count)| count).sum();
    assert_eq!(counted, MANY);
    assert!(by_window(&out).iter().all(|(start, _)| *start >= START_MS));
}
