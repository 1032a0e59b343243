//! CPU time and results between two events of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millstream::prelude::*;
use millstream_benches::cpu_seconds;

use crate::{Cli, Failure};

/// Stands beside one worker's stream and notes how far it has come at two events.
pub(crate) struct Meter {
    from: u64,
    to: u64,
    results: AtomicU64,
    at_from: [AtomicU64; 2],
    at_to: [AtomicU64; 2],
}

/// What lay between the two events, for each event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerEvent {
    pub ns: f64,
    pub results: f64,
}

impl Meter {
    pub(crate) fn between(from: u64, to: u64) -> Arc<Meter> {
        Arc::new(Meter {
            from,
            to,
            results: AtomicU64::new(0),
            at_from: Default::default(),
            at_to: Default::default(),
        })
    }

    /// Event `n` is being made.
    #[inline]
    pub(crate) fn event(&self, n: u64) {
        if n == self.from {
            self.note(&self.at_from);
        } else if n == self.to {
            self.note(&self.at_to);
        }
    }

    /// A result came out. Only one thread calls this.
    #[inline]
    pub(crate) fn result(&self) {
        self.results.store(self.results.load(Relaxed) + 1, Relaxed);
    }

    #[cold]
    fn note(&self, place: &[AtomicU64; 2]) {
        let [ns, results] = place;
        ns.store((cpu_seconds() * 1e9) as u64, Relaxed);
        results.store(self.results.load(Relaxed), Relaxed);
    }

    pub(crate) fn per_event(&self) -> PerEvent {
        let events = (self.to - self.from) as f64;
        let per_event = |i: usize| {
            let (from, to) = (&self.at_from[i], &self.at_to[i]);
            to.load(Relaxed).saturating_sub(from.load(Relaxed)) as f64 / events
        };
        PerEvent {
            ns: per_event(0),
            results: per_event(1),
        }
    }
}

/// Runs a job of one worker, with checkpoints if they are asked for.
pub(crate) fn run(cli: &Cli, job: &Job) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let settings = Settings {
        workers: 1,
        memory_bytes: 8 << 30,
        checkpoint_dir: cli.checkpoints.then(|| folder.path().to_owned()),
        ..Settings::default()
    };
    job.run(&settings)?;
    Ok(())
}
