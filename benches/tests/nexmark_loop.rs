//! The loops written by hand give the results that every implementation of these queries gives:
//! the rows and checksums of a million events, in order and shuffled.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const EVENTS: u64 = 1_000_000;

/// Rows and the wrapping sum of the column that the query is checked by.
const EXPECTED: [(&str, u64, u64); 11] = [
    ("q0", 1_000_000, 4_999_500_000),
    ("q1", 920_000, 488_684_362_891),
    ("q2", 6_800, 3_993_579_333),
    ("q5", 10, 8_362),
    ("q7", 78, 638_983_800),
    ("q11", 19_916, 920_000),
    ("q12", 19_916, 920_000),
    ("q15", 1, 19_916),
    ("q17", 59_966, 35_161_726_031),
    ("q18", 292_883, 181_335_593_957),
    ("q19", 441_430, 312_091_170_783),
];

fn nexmark(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nexmark"))
        .args(words)
        .output()
        .unwrap()
}

/// Runs a query as a loop; returns the last line of what it prints.
fn outcome(query: &str, words: &[&str]) -> Value {
    let events = EVENTS.to_string();
    let mut all = vec!["--query", query, "--events", &events, "--engine", "loop"];
    all.extend(words);
    let output = nexmark(&all);
    assert!(output.status.success(), "{query} {words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[track_caller]
fn check(words: &[&str]) {
    for (query, rows, checksum) in EXPECTED {
        let outcome = outcome(query, words);
        let found = outcome["rows"].as_u64().unwrap();
        if query == "q12" {
            // Bidders are counted anew when the clock enters another ten seconds.
            assert!(found >= rows, "{query} {words:?}: {found} rows");
        } else {
            assert_eq!(found, rows, "{query} {words:?}: rows");
        }
        assert_eq!(outcome["checksum"], checksum, "{query} {words:?}: checksum");
    }
}

#[test]
fn results_in_order() {
    check(&[]);
}

#[test]
fn results_shuffled() {
    check(&["--shuffle-ms", "2000"]);
}

#[test]
fn results_of_wide_events() {
    check(&["--wide", "--shuffle-ms=500"]);
}

/// More windows than a million events have at the usual rate: what is closed on the way and what
/// is closed at the end, in order and shuffled, comes to the same.
#[test]
fn results_of_long_streams_do_not_depend_on_the_order() {
    for (query, rate) in [
        ("q5", "1000"),
        ("q7", "1000"),
        ("q11", "1000"),
        ("q15", "2"),
        ("q17", "2"),
    ] {
        let in_order = outcome(query, &["--rate", rate]);
        for shuffle_ms in ["700", "2000", "60_000"] {
            let words = ["--rate", rate, "--shuffle-ms", shuffle_ms];
            let shuffled = outcome(query, &words);
            for column in ["rows", "checksum"] {
                assert_eq!(
                    shuffled[column], in_order[column],
                    "{query} {words:?} {column}"
                );
            }
        }
    }
}

#[test]
fn the_last_line_says_what_ran_and_what_it_cost() {
    let outcome = outcome("q7", &["--workers", "3", "--splits=2"]);
    let names: Vec<&str> = outcome
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expect = [
        "query",
        "engine",
        "events",
        "workers",
        "splits",
        "state",
        "checkpoint_interval_ms",
        "secs",
        "cpu_secs",
        "rows",
        "checksum",
        "peak_rss_mib",
        "checkpoints",
    ];
    expect.sort_unstable();
    assert_eq!(names, expect);
    for (name, value) in [("query", "q7"), ("engine", "loop"), ("state", "memory")] {
        assert_eq!(outcome[name], value);
    }
    for (name, value) in [
        ("events", EVENTS),
        ("workers", 1),
        ("splits", 1),
        ("checkpoints", 0),
    ] {
        assert_eq!(outcome[name], value);
    }
    for name in ["secs", "cpu_secs"] {
        let seconds = outcome[name].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < 600.0, "{name}: {seconds}");
    }
}

#[test]
fn rows_are_written_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("new").join("rows");
    for (query, rows, checksum) in EXPECTED {
        let column = match query {
            "q0" => continue,
            "q5" | "q11" | "q12" => "bids",
            "q15" => "total_bidders",
            "q17" => "avg_price",
            _ => "price",
        };
        outcome(query, &["--output", to.to_str().unwrap()]);
        let lines = lines(&to);
        assert!(lines.len() as u64 >= rows, "{query}: {} lines", lines.len());
        let sum: u64 = lines.iter().map(|row| row[column].as_u64().unwrap()).sum();
        assert_eq!(sum, checksum, "{query}");
    }
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("rows.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_cannot_run_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    for (words, expect) in [
        (
            vec!["--query", "q3"],
            "q0, q1, q2, q5, q7, q11, q12, q15, q17, q18, q19",
        ),
        (vec!["--query", "q0", "--splits", "0"], "from 1 to 65536"),
        (
            vec![
                "--query",
                "q0",
                "--engine=loop",
                "--rate=100_000_000",
                "--shuffle-ms=1000",
            ],
            "--shuffle-ms 1000",
        ),
        (
            vec!["--query", "q0", "--engine=loop", "--output", file],
            file,
        ),
    ] {
        let output = nexmark(&words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{words:?}");
        assert!(said.contains(expect), "{words:?}: {said}");
    }
}
