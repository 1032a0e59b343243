//! Input files that are no longer what the checkpoint read.

use std::fs;
use std::path::Path;

use millstream::prelude::*;
use millstream::{Environment, Outcome, Stopper};
use serde::{Deserialize, Serialize};

use crate::{check_error, on_disk};

const ROWS: u64 = 20_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    n: u64,
}

fn run(dir: &Path, stop: bool) -> Result<Outcome> {
    let job = Job::new("rows");
    let rows = file::csv::<Row>(dir.join("in"));
    job.source("rows", rows.event_time(|r: &Row| r.n as i64, Lag::NONE))
        .to("out", file::jsonl(dir.join("output")));
    let settings = Settings {
        workers: 1,
        checkpoint_dir: Some(dir.join("checkpoints")),
        checkpoint_interval: Duration::from_millis(5),
        memory_bytes: 64 << 20,
        batch_records: 100,
        throttle_rows_per_s: stop.then_some(ROWS),
        ..Settings::default()
    };
    let stopper = Stopper::default();
    let asked = stopper.clone();
    let environment = Environment {
        stopper,
        observe: Box::new(move |counted| {
            if stop && counted.checkpoints >= 2 && counted.read > ROWS / 10 {
                asked.stop();
            }
        }),
        ..Environment::default()
    };
    Ok(job.run_in(&settings, environment)?.outcome)
}

fn check(how: &str, change: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    fs::create_dir(&input).unwrap();
    let file = input.join("rows.csv");
    let lines: Vec<String> = (0..ROWS).map(|n| format!("{n:08}\n")).collect();
    fs::write(&file, format!("n\n{}", lines.concat())).unwrap();
    assert_eq!(run(dir.path(), true).unwrap(), Outcome::Stopped, "{how}");
    change(&file);
    let before = on_disk::snapshot(&dir.path().join("checkpoints"));
    let error = run(dir.path(), false).unwrap_err();
    check_error(&error, &["rows.csv"], how);
    let after = on_disk::snapshot(&dir.path().join("checkpoints"));
    assert!(
        before == after,
        "{how}: the checkpoint directory was changed"
    );
}

#[test]
fn an_input_file_that_is_not_the_same_is_refused_by_name() {
    check("shrank", |file| {
        fs::write(file, "n\n00000000\n00000001\n").unwrap();
    });
    check("changed", |file| {
        let changed = fs::read_to_string(file)
            .unwrap()
            .replace("00000003", "00000004");
        fs::write(file, changed).unwrap();
    });
    check("gone", |file| {
        fs::rename(file, file.with_file_name("other.csv")).unwrap();
    });
}
