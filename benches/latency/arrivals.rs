//! Where results arrive: each is held against the end of its window.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use millstream::engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};
use millstream::window::{TimeWindow, Windowed};
use millstream::{Error, Result, Timestamp};

use crate::load::Load;

/// The result of a window.
pub(crate) type Counted = Windowed<u64, TimeWindow, u64>;

/// What is later than an hour counts as an hour.
const HIGHEST_US: u64 = 3_600_000_000;

/// A sink that notes when results reach its writers.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    load: Load,
    /// Results of windows that end before this long after the start are not measured.
    warm_up_us: i64,
    noted: Arc<Mutex<Noted>>,
}

/// What has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// Microseconds from the end of the window to the arrival of its result.
    pub(crate) latency_us: Histogram<u64>,
    /// Events counted in all results.
    pub(crate) events: u64,
    /// Results, also those that are not measured.
    pub(crate) results: u64,
}

impl Arrivals {
    /// Nothing has arrived yet.
    ///
    /// # Errors
    /// When there can be no histogram.
    pub(crate) fn new(load: Load, warm_up_us: i64) -> Result<Self> {
        let latency_us = Histogram::new_with_bounds(1, HIGHEST_US, 3)
            .map_err(|e| Error::internal(e.to_string()))?;
        Ok(Arrivals {
            load,
            warm_up_us,
            noted: Arc::new(Mutex::new(Noted {
                latency_us,
                events: 0,
                results: 0,
            })),
        })
    }

    /// What has arrived so far.
    pub(crate) fn noted(&self) -> Noted {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, now_us: i64, results: &[(Timestamp, u64)]) {
        let first_us = self
            .load
            .start_us
            .get()
            .map_or(i64::MAX, |start| start + self.warm_up_us);
        // Windows that the end of the input has closed did not wait for their end.
        let last_us = self.load.end_us().unwrap_or(i64::MIN);
        let mut noted = self.lock();
        for &(end_ms, events) in results {
            noted.events += events;
            noted.results += 1;
            let end_us = end_ms.saturating_mul(1000);
            if (first_us..=last_us).contains(&end_us) {
                let late_us = u64::try_from(now_us - end_us).unwrap_or(0);
                noted.latency_us.saturating_record(late_us);
            }
        }
    }
}

impl Sink<Counted> for Arrivals {
    /// The end of the window and its count.
    type Chunk = Vec<(Timestamp, u64)>;
    type Writer = ArrivalWriter;

    fn encode(&self, result: Counted, _time: Timestamp, chunk: &mut Self::Chunk) -> Result<()> {
        chunk.push((result.window.end, result.value));
        Ok(())
    }

    fn chunk_bytes(&self, chunk: &Self::Chunk) -> usize {
        size_of_val(chunk.as_slice())
    }

    fn recover(&self, _start: &SinkStart<'_, ()>) -> Result<()> {
        Ok(())
    }

    fn open(&self, _slot: WriterSlot, _restored: Option<()>) -> Result<ArrivalWriter> {
        Ok(ArrivalWriter(self.clone()))
    }
}

/// Notes what reaches it.
pub(crate) struct ArrivalWriter(Arrivals);

impl Writer for ArrivalWriter {
    type Chunk = Vec<(Timestamp, u64)>;
    type Pending = ();

    fn write(&mut self, chunk: Self::Chunk) -> Result<()> {
        self.0.note(self.0.load.time.now_us(), &chunk);
        Ok(())
    }

    fn prepare(&mut self, _epoch: u64, _last: bool) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self, _pending: &()) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Time;
    use std::sync::OnceLock;
    use std::time::Duration;

    #[test]
    fn latency_runs_from_the_end_of_the_window_and_leaves_the_ends_out() {
        let load = Load {
            rate: 1000,
            events: 10_000,
            keys: 1,
            splits: 1,
            tick: Duration::from_millis(1),
            time: Time::start(),
            start_us: Arc::new(OnceLock::from(0)),
        };
        let arrivals = Arrivals::new(load, 2_000_000).unwrap();
        // Before the warm-up's end, at it, at the last event (9,999 ms), behind it.
        let results = [(1_990, 1), (2_000, 2), (9_999, 4), (10_000, 8)];
        arrivals.note(10_000_000, &results);
        let noted = arrivals.noted();
        assert_eq!((noted.results, noted.events), (4, 15));
        assert_eq!(noted.latency_us.len(), 2);
        assert!(noted.latency_us.min() >= 999 && noted.latency_us.min() <= 1000);
        assert!(noted.latency_us.max() >= 8_000_000);
    }
}
