//! State larger than memory: rows are evicted to RocksDB and read back, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use millstream::prelude::*;
use millstream::{Outcome, Settings};

const RECORDS: u64 = 1_500_000;
const KEYS: u64 = 400_000;

fn key_of(number: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % KEYS
}

/// Every key's count at the end, through a window that holds the whole input.
fn count_keys(settings: &Settings) -> (BTreeMap<u64, u64>, Report) {
    let job = Job::new("many-keys");
    let sink = memory::sink::<(u64, u64)>();
    let source = generator::generate(RECORDS, 2, |number| number)
        .event_time(|n| *n as i64, Lag::millis(RECORDS));
    job.source("numbers", source)
        .key_by(|n| key_of(*n))
        .window(Tumbling::of(Duration::from_millis(RECORDS)))
        .aggregate("count", count())
        .results
        .map(|r| (r.key, r.value))
        .to("counts", sink.clone());
    let report = job.run(settings).unwrap();
    let rows = sink.rows();
    let counts: BTreeMap<u64, u64> = rows.iter().copied().collect();
    assert_eq!(counts.len(), rows.len(), "no key comes twice");
    (counts, report)
}

#[test]
fn state_beyond_the_memory_budget_gives_the_same_results() {
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for number in 0..RECORDS {
        *expected.entry(key_of(number)).or_default() += 1;
    }
    assert!(expected.len() > 200_000, "{} keys", expected.len());
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        workers: 2,
        checkpoint_dir: Some(dir.path().join("checkpoints")),
        checkpoint_interval: Duration::from_millis(300),
        // A quarter of what the rows take.
        memory_bytes: 16 << 20,
        ..Settings::default()
    };
    let (counts, report) = count_keys(&settings);
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(counts == expected);
}
