//! Every step of the commit protocol fails, or the process ends in it: in the end each result is
//! there once. Needs the feature `failpoints`.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod on_disk;
mod small_job;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fail::FailScenario;
use millstream::engine::checkpoint::fail_points::FAIL_POINTS;
use millstream::{ErrorKind, Outcome};
use small_job::{SHAPE, check_output, run};

const SINK_POINTS: [&str; 5] = [
    "sink.part.write",
    "sink.part.fsync",
    "sink.dir.fsync",
    "sink.part.rename",
    "sink.part.renamed",
];
/// Hits of a point before the one that fails.
const PASSES: [u64; 3] = [0, 1, 2];
/// So many runs are stopped in the middle, so that recovery is passed several times.
const STOPPED_RUNS: usize = 3;
const CHECKPOINTS_PER_RUN: u64 = 6;

fn points() -> impl Iterator<Item = &'static str> {
    FAIL_POINTS.into_iter().chain(SINK_POINTS)
}

fn stop_after(run: usize) -> Option<u64> {
    (run < STOPPED_RUNS).then_some(CHECKPOINTS_PER_RUN)
}

/// A child that is being started holds, for a moment, the locks of all jobs in this process.
static ONE_TEST_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_TEST_AT_A_TIME
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Fail points are the process's: everything that sets them here is one test.
#[test]
fn a_failed_step_is_reported_and_the_next_start_goes_on() {
    let _alone = alone();
    for point in points() {
        for passes in PASSES {
            fails_once(point, "return", passes, |dir, number| {
                run(SHAPE, dir, stop_after(number)).map_err(|error| {
                    assert_eq!(error.kind(), ErrorKind::Io, "{point}: {error}");
                    let named = match point.starts_with("sink.") {
                        true => error.to_string().contains("a fail point said so"),
                        false => error.message().contains(point),
                    };
                    assert!(named, "{point}: {error}");
                })
            });
        }
        fails_once(point, "panic", 2, |dir, number| {
            // What runs on the caller's thread panics there, the rest is reported.
            let run = || run(SHAPE, dir, stop_after(number));
            match std::panic::catch_unwind(run) {
                Ok(Err(error)) => {
                    assert!(error.to_string().contains(point), "{point}: {error}");
                    Err(())
                }
                Ok(Ok(outcome)) => Ok(outcome),
                Err(_) => Err(()),
            }
        });
    }
}

fn fails_once(
    point: &str,
    action: &str,
    passes: u64,
    run: impl Fn(&Path, usize) -> Result<Outcome, ()>,
) {
    let what = format!("{point}: {action} after {passes} hits");
    let scenario = FailScenario::setup();
    let before = match passes {
        0 => String::new(),
        _ => format!("{passes}*off->"),
    };
    fail::cfg(point, &format!("{before}1*{action}->off")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let failures = runs_until_complete(&what, |number| run(dir.path(), number));
    scenario.teardown();
    assert_eq!(failures, 1, "{what}: not reached");
    check_output(dir.path(), &what);
}

/// How many runs failed before the job came to its end.
fn runs_until_complete(what: &str, run: impl Fn(usize) -> Result<Outcome, ()>) -> u64 {
    let mut failures = 0;
    for number in 0..STOPPED_RUNS + 3 {
        match run(number) {
            // What fails in the last commit is made up for by a start that finds nothing to do.
            Ok(Outcome::Completed | Outcome::AlreadyComplete) => return failures,
            Ok(Outcome::Stopped) => {}
            Err(()) => failures += 1,
        }
    }
    panic!("{what}: does not come to its end");
}

const CHILD_DIR: &str = "MILLSTREAM_TEST_DIR";
const CHILD_POINT: &str = "MILLSTREAM_TEST_POINT";
const CHILD_PASSES: &str = "MILLSTREAM_TEST_PASSES";
const CHILD_RUN: &str = "MILLSTREAM_TEST_RUN";

#[test]
fn a_process_that_ends_in_any_step_is_made_up_for_by_the_next() {
    let _alone = alone();
    for point in points() {
        for passes in PASSES {
            let what = format!("{point}: the process ends after {passes} hits");
            let dir = tempfile::tempdir().unwrap();
            let failures = runs_until_complete(&what, |number| {
                let child = Command::new(std::env::current_exe().unwrap())
                    .args(["--ignored", "--exact", "one_run_of_the_job"])
                    .env(CHILD_DIR, dir.path())
                    .env(CHILD_POINT, point)
                    .env(CHILD_PASSES, passes.to_string())
                    .env(CHILD_RUN, number.to_string())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .output()
                    .unwrap();
                if child.status.code().is_none() {
                    return Err(());
                }
                let said = String::from_utf8_lossy(&child.stdout);
                assert!(child.status.success(), "{what}: {said}");
                Ok(match dir.path().join("completed").exists() {
                    true => Outcome::Completed,
                    false => Outcome::Stopped,
                })
            });
            assert!(failures >= 1, "{what}: not reached");
            check_output(dir.path(), &what);
        }
    }
}

/// The child of the test above; the points passed are counted over all runs.
#[test]
#[ignore = "only as a child process"]
fn one_run_of_the_job() {
    let variable = |name| std::env::var(name).unwrap();
    let dir = std::path::PathBuf::from(variable(CHILD_DIR));
    let passes: u64 = variable(CHILD_PASSES).parse().unwrap();
    let number: usize = variable(CHILD_RUN).parse().unwrap();
    let scenario = FailScenario::setup();
    let hits_file = dir.join("hits");
    let before = std::fs::read_to_string(&hits_file).map_or(0, |text| text.parse().unwrap());
    let hits = std::sync::Arc::new(AtomicU64::new(before));
    let counted = hits.clone();
    let count_file = hits_file.clone();
    fail::cfg_callback(variable(CHILD_POINT), move || {
        let hits = counted.fetch_add(1, Ordering::SeqCst);
        if hits == passes {
            std::fs::write(&count_file, (hits + 1).to_string()).unwrap();
            std::process::abort();
        }
    })
    .unwrap();
    let outcome = run(SHAPE, &dir, stop_after(number)).unwrap();
    std::fs::write(hits_file, hits.load(Ordering::SeqCst).to_string()).unwrap();
    if outcome != Outcome::Stopped {
        std::fs::write(dir.join("completed"), "").unwrap();
    }
    scenario.teardown();
}
