//! What all workers of a running job share: the barrier that is due, the stop, the clock, counts.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::data::Timestamp;
use crate::graph::operator::{Barrier, BarrierKind};
use crate::time::clock::Clock;

/// Shared by the supervisor and its workers.
#[derive(Debug)]
pub struct Control {
    /// The clock of the job.
    pub clock: Clock,
    /// What is counted while the job runs.
    pub stats: Stats,
    epoch: AtomicU64,
    kind: Mutex<BarrierKind>,
    settled: AtomicU64,
    aborted: AtomicBool,
    processing_time: AtomicI64,
    throttle: Option<Throttle>,
}

impl Control {
    /// The control of a job that goes on after `epoch`, which was cut at `cut_at_ms`.
    pub fn new(
        clock: Clock,
        epoch: u64,
        cut_at_ms: Option<Timestamp>,
        throttle_rows_per_s: Option<u64>,
    ) -> Self {
        Control {
            clock,
            stats: Stats::default(),
            epoch: AtomicU64::new(epoch),
            kind: Mutex::new(BarrierKind::Checkpoint),
            settled: AtomicU64::new(epoch),
            aborted: AtomicBool::new(false),
            processing_time: AtomicI64::new(cut_at_ms.map_or(Timestamp::MIN, |cut| cut + 1)),
            throttle: throttle_rows_per_s.map(Throttle::new),
        }
    }

    /// The epoch of the last barrier that was asked for.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Asks every source to cut an epoch.
    pub fn inject(&self, barrier: Barrier) {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = barrier.kind;
        self.epoch.store(barrier.epoch, Ordering::Release);
    }

    /// The barrier that a source which has cut `epoch` still has to cut.
    #[inline]
    pub fn barrier_after(&self, epoch: u64) -> Option<Barrier> {
        let due = self.epoch();
        (due > epoch).then(|| Barrier {
            epoch: due,
            kind: *self.kind.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// The state of `epoch` is in a checkpoint.
    pub fn settle(&self, epoch: u64) {
        self.settled.store(epoch, Ordering::Release);
    }

    /// The last epoch whose state is in a checkpoint.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Everybody stops at once: the job has failed.
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
    }

    /// Whether the job has failed.
    pub fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// The clock's time in milliseconds, as all workers of the job see it: it never goes back,
    /// across restarts either.
    pub fn processing_time(&self) -> Timestamp {
        let now = self.clock.now_ms();
        now.max(self.processing_time.fetch_max(now, Ordering::AcqRel))
    }

    /// How many of `wanted` rows may be read now.
    pub fn permit(&self, wanted: usize) -> usize {
        match &self.throttle {
            None => wanted,
            Some(throttle) => throttle.permit(wanted, self.clock.monotonic_us()),
        }
    }

    /// The greatest event time that is not from the future (rule T7).
    pub fn future_limit(&self, max_future_skew: Option<Duration>) -> Timestamp {
        max_future_skew.map_or(Timestamp::MAX, |skew| {
            let skew = i64::try_from(skew.as_millis()).unwrap_or(i64::MAX);
            self.clock.now_ms().saturating_add(skew)
        })
    }
}

/// Hands out rows at a steady rate to all sources together.
#[derive(Debug)]
struct Throttle {
    rows_per_s: u64,
    taken: Mutex<Option<(u64, u64)>>,
}

impl Throttle {
    fn new(rows_per_s: u64) -> Self {
        Throttle {
            rows_per_s: rows_per_s.max(1),
            taken: Mutex::new(None),
        }
    }

    fn permit(&self, wanted: usize, now_us: u64) -> usize {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, rows) = taken.get_or_insert((now_us, 0));
        let earned =
            u128::from(now_us.saturating_sub(*since)) * u128::from(self.rows_per_s) / 1_000_000;
        let earned = u64::try_from(earned).unwrap_or(u64::MAX);
        // At most a tenth of a second is saved up, so that a pause is not followed by a rush.
        let floor = earned.saturating_sub(self.rows_per_s.div_ceil(10));
        *rows = (*rows).max(floor);
        let permitted = earned.saturating_sub(*rows).min(wanted as u64);
        *rows += permitted;
        permitted as usize
    }
}

/// What is counted while a job runs; read by progress displays.
#[derive(Debug, Default)]
pub struct Stats {
    read: AtomicU64,
    skipped: AtomicU64,
    progress_done: AtomicU64,
    progress_total: AtomicU64,
    checkpoints: AtomicU64,
}

impl Stats {
    pub(crate) fn read(&self, n: u64) {
        self.read.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self, n: u64) {
        self.skipped.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn checkpoint(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn source_progress(&self, reported: &mut (u64, u64), now: (u64, u64)) {
        self.progress_done
            .fetch_add(now.0.saturating_sub(reported.0), Ordering::Relaxed);
        self.progress_total
            .fetch_add(now.1.saturating_sub(reported.1), Ordering::Relaxed);
        reported.0 = reported.0.max(now.0);
        reported.1 = reported.1.max(now.1);
    }

    /// What has been counted so far in this process.
    pub fn now(&self) -> Counted {
        Counted {
            read: self.read.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            done: self.progress_done.load(Ordering::Relaxed),
            total: self.progress_total.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
        }
    }
}

/// A look at the [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records read by the sources.
    pub read: u64,
    /// Of those, skipped.
    pub skipped: u64,
    /// How much of `total` the sources have read, in units of theirs.
    pub done: u64,
    /// How much there is to read, as far as it is known.
    pub total: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_throttle_hands_out_its_rate_and_saves_up_little() {
        let throttle = Throttle::new(1000);
        assert_eq!(throttle.permit(100, 5_000_000), 0);
        assert_eq!(throttle.permit(100, 5_050_000), 50);
        assert_eq!(throttle.permit(100, 5_050_000), 0);
        assert_eq!(throttle.permit(30, 5_100_000), 30);
        assert_eq!(throttle.permit(1000, 65_000_000), 100, "a minute's pause");
    }
}
