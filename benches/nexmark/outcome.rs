//! How a run went, as the line that is printed last.

use millstream::Clock;
use millstream_benches::{cpu_seconds, peak_memory_mib};
use serde::Serialize;

use crate::args::{Args, Engine, Query, State};
use crate::tally::Tally;

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    query: Query,
    engine: Engine,
    events: u64,
    workers: u64,
    splits: u64,
    state: State,
    /// 0: no checkpoints are made.
    checkpoint_interval_ms: u64,
    secs: f64,
    /// Of all threads, in user code and in the kernel.
    cpu_secs: f64,
    rows: u64,
    checksum: u64,
    /// The most memory that was ever resident; null where the system does not tell.
    peak_rss_mib: Option<f64>,
    checkpoints: u64,
}

/// Measures a run.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: Clock,
    cpu_secs: f64,
}

impl Meter {
    /// The run begins.
    pub(crate) fn start() -> Self {
        Meter {
            clock: Clock::system(),
            cpu_secs: cpu_seconds(),
        }
    }

    /// The run of a job has ended.
    pub(crate) fn job(self, args: &Args, tally: Tally, checkpoints: u64) -> Outcome {
        let interval_ms = args.checkpoint_interval.as_millis();
        let has_checkpoints = args.state == State::Rocksdb;
        Outcome {
            workers: args.workers,
            splits: args.input().splits,
            state: args.state,
            checkpoint_interval_ms: if has_checkpoints {
                u64::try_from(interval_ms).unwrap_or(u64::MAX)
            } else {
                0
            },
            checkpoints,
            ..self.plain(args, tally)
        }
    }

    /// The run of a loop has ended.
    pub(crate) fn plain(self, args: &Args, tally: Tally) -> Outcome {
        Outcome {
            query: args.query,
            engine: args.engine,
            events: args.events,
            workers: 1,
            splits: 1,
            state: State::Memory,
            checkpoint_interval_ms: 0,
            secs: self.clock.monotonic_us() as f64 / 1e6,
            cpu_secs: cpu_seconds() - self.cpu_secs,
            rows: tally.rows,
            checksum: tally.checksum,
            peak_rss_mib: peak_memory_mib(),
            checkpoints: 0,
        }
    }
}
