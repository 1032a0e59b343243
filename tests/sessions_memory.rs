//! More open sessions than memory holds: rows and their timers leave it and come back, and every
//! session fires once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use millstream::prelude::*;
use millstream::{Outcome, Settings};

const RECORDS: u64 = 1_500_000;
/// A key's second record comes so many keys later.
const APART: u64 = 150_000;
const GAP_MS: u64 = 400_000;

/// One record a millisecond: each key has two of them, within the gap, unless the second would
/// come before the stream begins or after it ends.
fn key_of(number: u64) -> String {
    let key = match number % 2 {
        0 => (number / 2).cast_signed(),
        _ => (number / 2).cast_signed() - APART.cast_signed(),
    };
    format!("k{key}")
}

#[test]
fn w4_sessions_beyond_the_memory_budget_fire_once() {
    let mut expected: BTreeMap<String, (i64, i64, u64)> = BTreeMap::new();
    for number in 0..RECORDS {
        let time = number.cast_signed();
        let session = expected.entry(key_of(number)).or_insert((time, time, 0));
        *session = (session.0, time, session.2 + 1);
    }
    let job = Job::new("many-sessions");
    let sink = memory::sink::<(String, (i64, i64, u64))>();
    let source =
        generator::generate(RECORDS, 1, |number| number).event_time(|n| *n as i64, Lag::NONE);
    job.source("numbers", source)
        .key_by(|n| key_of(*n))
        .window(Session::gap(Duration::from_millis(GAP_MS)))
        .aggregate("sessions", count())
        .results
        .map(|s| (s.key, (s.window.start, s.window.last, s.value)))
        .to("sessions", sink.clone());
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        workers: 1,
        checkpoint_dir: Some(dir.path().join("checkpoints")),
        checkpoint_interval: Duration::from_millis(300),
        // A third of what the open sessions take.
        memory_bytes: 16 << 20,
        ..Settings::default()
    };
    assert_eq!(job.run(&settings).unwrap().outcome, Outcome::Completed);
    let rows = sink.rows();
    let fired: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(fired.len(), rows.len(), "no key fires twice");
    assert!(fired == expected);
}
