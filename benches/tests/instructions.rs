//! How many instructions an event costs, held against the figures that are committed.
//!
//! Seconds tell little on a machine that does other work; instructions hardly change from run to
//! run, so that 3 % more are seen. `valgrind --tool=callgrind` counts all threads of the program
//! `nexmark` at two sizes of input; the difference, by event, leaves out its start.
//!
//! The figures belong to a compiler, a C library and a processor's abilities, so each combination
//! has a record of its own in `callgrind/instructions.json`. One without a record is not compared:
//! that is said, and how to add it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

const QUERIES: [&str; 5] = ["q1", "q2", "q5", "q11", "q18"];
const FEW: u64 = 50_000;
const MANY: u64 = 150_000;
const TOLERANCE: f64 = 0.03;
const UPDATE: &str = "./dev bless-instructions";

/// What the counts depend on beside the sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Environment {
    rustc: String,
    libc: String,
    /// What of the processor the libraries choose their code by.
    cpu: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    environment: Environment,
    /// By query: instructions an event.
    instructions: BTreeMap<String, f64>,
}

#[test]
fn an_event_costs_as_many_instructions_as_before() {
    if cfg!(debug_assertions) {
        return note("instructions are counted with `--release` only");
    }
    let environment = Environment::here();
    let mut records = read();
    let known = records
        .iter()
        .position(|record| record.environment == environment);
    let is_blessing = std::env::var_os("MILLSTREAM_BLESS").is_some();
    let (None, false) = (known, is_blessing) else {
        let counted = count_all();
        if is_blessing {
            let record = Record {
                environment,
                instructions: counted,
            };
            match known {
                Some(index) => records[index] = record,
                None => records.push(record),
            }
            write(&records);
            return note("the instruction counts are written down");
        }
        let known = known.map_or_else(BTreeMap::new, |index| records[index].instructions.clone());
        let faults = compare(&known, &counted);
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
        return;
    };
    note(&format!(
        "instructions were not compared: there is no record for {environment:?}; add one with: {UPDATE}"
    ));
}

/// What has changed by more than is tolerated; cheaper counts too, or the next loss would hide.
fn compare(known: &BTreeMap<String, f64>, counted: &BTreeMap<String, f64>) -> Vec<String> {
    let mut faults = Vec::new();
    for (query, &now) in counted {
        let Some(&before) = known.get(query) else {
            faults.push(format!("{query}: no figure yet. Add it with: {UPDATE}"));
            continue;
        };
        let change = now / before - 1.0;
        if change.abs() > TOLERANCE {
            let what = if change > 0.0 { "more" } else { "fewer" };
            faults.push(format!(
                "{query}: {now:.1} instructions an event, {:.1} % {what} than the {before:.1} on record. If that is meant to be, write it down with: {UPDATE}",
                change.abs() * 100.0
            ));
        }
    }
    faults
}

// ---- counting -----------------------------------------------------------------------------------

fn count_all() -> BTreeMap<String, f64> {
    std::thread::scope(|scope| {
        let running: Vec<_> = QUERIES
            .iter()
            .map(|query| scope.spawn(|| ((*query).to_owned(), count(query))))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn count(query: &str) -> f64 {
    let (few, many) = (instructions(query, FEW), instructions(query, MANY));
    let each = (many as f64 - few as f64) / (MANY - FEW) as f64;
    // Digits behind the first differ from run to run.
    (each * 10.0).round() / 10.0
}

/// All instructions of all threads: state in memory, no checkpoints, as those go by time.
fn instructions(query: &str, events: u64) -> u64 {
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_nexmark"))
        .args(["--query", query, "--events", &events.to_string()])
        .args(["--engine", "millstream", "--workers", "1", "--splits", "1"])
        .args(["--state", "memory"])
        .output()
        .unwrap_or_else(|e| panic!("cannot run valgrind ({e}); install it with: ./dev setup"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{query}: {said}");
    collected(&said).unwrap_or_else(|| panic!("{query}: no count in: {said}"))
}

/// The figure in callgrind's line `==7== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected : ")?;
        count.trim().parse().ok()
    })
}

// ---- records ------------------------------------------------------------------------------------

impl Environment {
    fn here() -> Self {
        Environment {
            rustc: said("rustc", &["--version"]),
            libc: said("getconf", &["GNU_LIBC_VERSION"]),
            cpu: abilities(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn abilities() -> String {
    let mut all = vec!["x86_64"];
    // Valgrind passes these on; it hides what it does not know.
    if std::arch::is_x86_feature_detected!("avx2") {
        all.push("avx2");
    }
    if std::arch::is_x86_feature_detected!("bmi2") {
        all.push("bmi2");
    }
    all.join(" ")
}

#[cfg(not(target_arch = "x86_64"))]
fn abilities() -> String {
    std::env::consts::ARCH.to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    Command::new(program).args(arguments).output().map_or_else(
        |_| "unknown".to_owned(),
        |done| String::from_utf8_lossy(&done.stdout).trim().to_owned(),
    )
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("callgrind/instructions.json")
}

fn read() -> Vec<Record> {
    let text = std::fs::read_to_string(path()).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn write(records: &[Record]) {
    let text = serde_json::to_string_pretty(records).unwrap();
    std::fs::write(path(), text + "\n").unwrap();
}

/// Shown even when the test passes: the test runner keeps what is printed by macros.
#[expect(
    clippy::explicit_write,
    reason = "`eprintln` would not be shown when the test passes"
)]
fn note(what: &str) {
    writeln!(std::io::stderr(), "instructions: {what}").unwrap();
}

// ---- and it can fail ----------------------------------------------------------------------------

#[test]
fn three_percent_more_or_fewer_are_a_fault() {
    let figures = |q1: f64| BTreeMap::from([("q1".to_owned(), q1)]);
    let before = figures(100.0);
    for fine in [97.1, 100.0, 102.9] {
        assert_eq!(compare(&before, &figures(fine)), Vec::<String>::new());
    }
    for (now, part) in [
        (
            103.2,
            "103.2 instructions an event, 3.2 % more than the 100.0",
        ),
        (95.0, "5.0 % fewer"),
    ] {
        let faults = compare(&before, &figures(now));
        assert!(faults.len() == 1 && faults[0].contains(part), "{faults:?}");
        assert!(faults[0].contains(UPDATE));
    }
    let missing = compare(&BTreeMap::new(), &before);
    assert!(missing[0].contains("no figure yet"), "{missing:?}");
}

#[test]
fn the_count_is_found_in_what_callgrind_says() {
    let said = "==7== Events    : Ir\n==7== Collected : 48219187\n==7==\n";
    assert_eq!(collected(said), Some(48_219_187));
    assert_eq!(collected("==7== Events : Ir"), None);
}
