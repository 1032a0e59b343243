//! How a run of a job went.

use std::collections::BTreeMap;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The input has ended and every result is out.
    Completed,
    /// The job was asked to stop; it goes on from here at the next start.
    Stopped,
    /// The checkpoint says that the job had completed before: nothing was done.
    AlreadyComplete,
}

/// What a run has done. Counters are totals over all runs since the first start, exactly once.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The epoch that the run went on from; `None`: it started at the beginning.
    pub resumed_from: Option<u64>,
    /// By source id: `read`, `skipped`, `quarantined`.
    pub sources: BTreeMap<String, BTreeMap<String, u64>>,
    /// By operator id: `in`, `processed`, `late`...
    pub operators: BTreeMap<String, BTreeMap<String, u64>>,
    /// By sink id: how many results were written.
    pub sinks: BTreeMap<String, u64>,
    /// Checkpoints completed in this run.
    pub checkpoints: u64,
    /// Records read in this run.
    pub read_now: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How many workers there were.
    pub workers: usize,
}

impl Report {
    /// The sum of a counter over all sources.
    pub fn source_total(&self, counter: &str) -> u64 {
        total(&self.sources, counter)
    }

    /// The sum of a counter over all operators.
    pub fn operator_total(&self, counter: &str) -> u64 {
        total(&self.operators, counter)
    }
}

fn total(counters: &BTreeMap<String, BTreeMap<String, u64>>, counter: &str) -> u64 {
    counters.values().filter_map(|c| c.get(counter)).sum()
}
