//! The queries as jobs give the rows and checksums that every implementation gives: with 1, 2 and 4
//! workers, in order and shuffled, and when the process is killed on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millstream_benches::expected;
use serde_json::Value;

const EVENTS: u64 = 1_000_000;
const QUERIES: [&str; 11] = [
    "q0", "q1", "q2", "q5", "q7", "q11", "q12", "q15", "q17", "q18", "q19",
];

fn nexmark(query: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexmark"));
    let events = EVENTS.to_string();
    command.args(["--query", query, "--events", &events]);
    command.args(words);
    command
}

/// Runs a query to its end; returns the last line of what it prints.
fn outcome(query: &str, words: &[&str]) -> Value {
    let output = nexmark(query, words).output().unwrap();
    assert!(output.status.success(), "{query} {words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[track_caller]
fn check_outcome(query: &str, words: &[&str], outcome: &Value) {
    let table = expected::table().unwrap();
    let expect = table.get(query).and_then(|query| query.over(EVENTS));
    let rows = outcome["rows"].as_u64().unwrap();
    match expect {
        // q12 is not in the table: its windows are of processing time. Every bid counts once.
        None => assert_eq!(outcome["checksum"], 920_000, "{query} {words:?}: checksum"),
        Some(expect) => {
            assert_eq!(rows, expect.rows, "{query} {words:?}: rows");
            let checksum = &outcome["checksum"];
            assert_eq!(*checksum, expect.checksum, "{query} {words:?}: checksum");
        }
    }
}

fn check(words: &[&str]) {
    for query in QUERIES {
        check_outcome(query, words, &outcome(query, words));
    }
}

#[test]
fn results_with_one_worker() {
    check(&["--workers", "1"]);
    check(&["--workers", "1", "--shuffle-ms", "2000"]);
}

#[test]
fn results_with_two_workers() {
    check(&["--workers", "2", "--checkpoint-interval", "20ms"]);
    check(&["--workers", "2", "--splits", "5", "--shuffle-ms", "2000"]);
}

#[test]
fn results_with_four_workers() {
    check(&["--workers", "4", "--state", "memory"]);
    check(&["--workers", "4", "--shuffle-ms", "2000"]);
}

#[test]
fn rows_are_written_with_the_names_of_their_columns() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rows");
    outcome("q5", &["--output", out.to_str().unwrap()]);
    let files = std::fs::read_dir(&out).unwrap().map(|f| f.unwrap().path());
    let text: String = files
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 10);
    let bids: u64 = rows.iter().map(|row| row["bids"].as_u64().unwrap()).sum();
    assert_eq!(bids, 8362);
    let names: BTreeSet<&String> = rows[0].as_object().unwrap().keys().collect();
    let expect = ["auction", "bids", "window_end_ms", "window_start_ms"];
    assert!(names.into_iter().eq(expect), "{}", rows[0]);
}

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits until there is another checkpoint than at first, or the process has ended. True if it
/// still runs.
fn passes_a_checkpoint(child: &mut Child, checkpoints: &Path) -> bool {
    let before = names(checkpoints);
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if names(checkpoints) != before {
            return true;
        }
        std::thread::park_timeout(Duration::from_micros(500));
    }
}

#[test]
fn results_across_kills() {
    for query in ["q1", "q5", "q11", "q15", "q18", "q19"] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = dir.path().join("checkpoints");
        let words = [
            "--workers",
            "2",
            "--shuffle-ms",
            "2000",
            "--checkpoint-interval",
            "10ms",
            "--checkpoint-dir",
            checkpoints.to_str().unwrap(),
        ];
        let mut killed = 0;
        for _ in 0..4 {
            let mut child = nexmark(query, &words)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            if passes_a_checkpoint(&mut child, &checkpoints) {
                child.kill().unwrap();
                killed += 1;
            }
            child.wait().unwrap();
        }
        assert!(killed > 0, "{query}: nothing was killed on its way");
        check_outcome(query, &words, &outcome(query, &words));
    }
}
