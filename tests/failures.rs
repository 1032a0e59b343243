//! What a user sees when something is wrong: every message names the part, and nothing of the
//! epoch becomes visible.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use millstream::memory::{self, Item};
use millstream::prelude::*;
use millstream::{ErrorKind, Settings};
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq)]
struct Visit {
    at_ms: i64,
    page: &'static str,
}

fn visits(count: i64) -> Vec<Item<Visit>> {
    let pages = ["/a", "/b", "/c"];
    let visit = |at_ms: i64| Visit {
        at_ms,
        page: pages[at_ms as usize % 3],
    };
    (0..count).map(|at_ms| Item::Record(visit(at_ms))).collect()
}

fn settings(workers: usize) -> Settings {
    Settings {
        workers,
        batch_records: 64,
        ..Settings::default()
    }
}

/// Runs a job whose steps panic as `fail` says; returns its error and what became visible.
fn run_failing(
    workers: usize,
    build: impl FnOnce(&Job, memory::MemorySink<String>),
) -> (Error, Vec<String>) {
    let job = Job::new("failing");
    let sink = memory::sink::<String>();
    build(&job, sink.clone());
    let error = job.run(&settings(workers)).unwrap_err();
    (error, sink.rows())
}

fn expect_named(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn a_panic_in_a_fused_step_names_the_source_the_record_and_shows_it() {
    for workers in [1, 2] {
        let (error, rows) = run_failing(workers, |job, sink| {
            job.source(
                "visits",
                memory::source(vec![visits(1000)]).event_time(|v| v.at_ms, Lag::NONE),
            )
            .map(|v| {
                if v.at_ms == 777 {
                    panic!("step hates {}", v.at_ms)
                } else {
                    v.page.to_owned()
                }
            })
            .to("pages", sink);
        });
        assert_eq!(error.kind(), ErrorKind::User);
        expect_named(
            &error,
            &[
                "visits",
                "record 777",
                "at_ms: 777",
                "step hates 777",
                "pages",
            ],
        );
        assert_eq!(rows, Vec::<String>::new());
    }
}

#[test]
fn a_panic_in_a_reader_names_the_record_that_it_was_at() {
    let make = |n: u64| {
        assert!(n != 777, "source hates {n}");
        n
    };
    let (error, rows) = run_failing(1, |job, sink| {
        let numbers = generator::generate(1000, 1, make);
        job.source("numbers", numbers.event_time(|n| *n as i64, Lag::NONE))
            .map(|n| n.to_string())
            .to("out", sink);
    });
    let expected = [
        "numbers",
        "record 777: (it cannot be read again)",
        "source hates 777",
    ];
    expect_named(&error, &expected);
    assert_eq!(rows, Vec::<String>::new());
}

#[test]
fn a_panic_behind_an_exchange_names_the_operator_the_record_and_shows_it() {
    for workers in [1, 2, 4] {
        let (error, rows) = run_failing(workers, |job, sink| {
            job.source(
                "visits",
                memory::source(vec![visits(1000)]).event_time(|v| v.at_ms, Lag::NONE),
            )
            .key_by(|v| v.page.to_owned())
            .fold("last-visit", 0i64, |last, v| {
                assert!(v.at_ms != 500, "fold hates 500");
                *last = v.at_ms;
            })
            .map(|(page, _)| page)
            .to("pages", sink);
        });
        expect_named(
            &error,
            &["last-visit", "record 500", "at_ms: 500", "fold hates 500"],
        );
        assert_eq!(rows, Vec::<String>::new());
    }
}

#[test]
fn all_mistakes_in_a_job_are_reported_at_once_with_their_lines() {
    let job = Job::new("mistakes");
    let source = || memory::source(vec![visits(1)]).event_time(|v: &Visit| v.at_ms, Lag::NONE);
    let _unread = job.source("unread", source());
    let visits = job.source("Visits", source());
    let windows = visits
        .key_by(|v| v.at_ms)
        .window(Tumbling::of(Duration::ZERO));
    let out = windows
        .aggregate("twice", count())
        .results
        .map(|r| (r.key, r.value));
    out.key_by(|r| r.0)
        .aggregate("twice", count())
        .map(|_| String::new())
        .to("out", memory::sink::<String>());
    let error = job.run(&settings(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    expect_named(
        &error,
        &[
            "4 problems",
            "unread",
            "Visits",
            "at least 1 ms",
            "`twice` is already taken at",
            "tests/failures.rs:",
        ],
    );
}

#[test]
fn two_sinks_must_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let job = Job::new("shared-dir");
    let source = memory::source(vec![visits(1)]).event_time(|v: &Visit| v.at_ms, Lag::NONE);
    let pages = job
        .source("visits", source)
        .map(|v| v.page.to_owned())
        .shared();
    pages.to("one", file::jsonl(dir.path()));
    pages.to("two", file::jsonl(dir.path()));
    expect_named(
        &job.run(&settings(1)).unwrap_err(),
        &["`one`", "`two`", "directory of its own"],
    );
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    at_ms: i64,
    #[expect(dead_code, reason = "it is only there to be parsed")]
    price: u8,
}

fn run_csv(dir: &Path, text: &str, policy: file::csv::BadRows) -> Result<Report> {
    let input = dir.join("prices.csv");
    std::fs::write(&input, text).unwrap();
    let job = Job::new("prices");
    job.source(
        "prices",
        file::csv::<Row>(&input)
            .on_bad_row(policy)
            .event_time(|r| r.at_ms, Lag::NONE),
    )
    .map(|r| r.at_ms)
    .to("times", memory::sink::<i64>());
    job.run(&settings(1))
}

#[test]
fn a_bad_row_stops_the_job_by_file_line_and_column_or_is_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let text = "at_ms,price\n1,10\n2,999\n3,30\n";
    let error = run_csv(dir.path(), text, file::csv::BadRows::Fail).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    expect_named(&error, &["prices.csv", "line 3", "price", "999"]);
    let report = run_csv(dir.path(), text, file::csv::BadRows::Skip).unwrap();
    assert_eq!(
        (report.source_total("read"), report.source_total("skipped")),
        (3, 1)
    );
    assert_eq!(report.sinks["times"], 2);
}

#[test]
fn an_event_time_outside_the_accepted_range_is_refused_by_record() {
    let dir = tempfile::tempdir().unwrap();
    for time in [i64::MIN, i64::MAX] {
        let text = format!("at_ms,price\n1,10\n{time},20\n");
        let error = run_csv(dir.path(), &text, file::csv::BadRows::Fail).unwrap_err();
        expect_named(
            &error,
            &["prices", "record 1", &time.to_string(), "accepted range"],
        );
    }
}
