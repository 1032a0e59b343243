//! The load: events that are due at fixed times, whatever the job makes of them.
//!
//! Event `n` is due at the start plus `n / rate`. It is handed over when it is due, or as soon
//! after as the job asks; none is skipped and none is put off, so that a job that stands still
//! finds all that came due meanwhile, and the delay shows in the latency of its results.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream::engine::graph::source::{Emit, Read, Reader, Waker};
use millstream::{Clock, Error, Result, Source, Timestamp};

/// Wall-clock time in microseconds that never goes back, the same for load and results.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    clock: Clock,
    offset_us: i64,
}

impl Time {
    /// From now on.
    pub(crate) fn start() -> Self {
        let clock = Clock::system();
        let offset_us = clock.now_ms() * 1000 - clock.monotonic_us() as i64;
        Time { clock, offset_us }
    }

    /// Microseconds since 1970.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.monotonic_us() as i64 + self.offset_us
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) key: u64,
    /// When it is due: its event time.
    pub(crate) due_ms: Timestamp,
}

/// Events at a fixed rate.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) rate: u64,
    pub(crate) events: u64,
    pub(crate) keys: u64,
    pub(crate) splits: u64,
    /// How often a reader that waits looks again.
    pub(crate) tick: Duration,
    pub(crate) time: Time,
    /// When event 0 is due.
    pub(crate) start_us: Arc<OnceLock<i64>>,
}

impl Load {
    fn due_us(&self, n: u64, start_us: i64) -> i64 {
        start_us + (u128::from(n) * 1_000_000 / u128::from(self.rate)) as i64
    }

    /// When the last event is due, once the first reader is open.
    pub(crate) fn end_us(&self) -> Option<i64> {
        let start_us = *self.start_us.get()?;
        Some(self.due_us(self.events.saturating_sub(1), start_us))
    }
}

impl Source for Load {
    type Record = Event;
    type Reader = LoadReader;

    fn splits(&self) -> Result<Vec<String>> {
        Ok((0..self.splits).map(|split| split.to_string()).collect())
    }

    fn open(&self, split: &str, position: Option<u64>, waker: Waker) -> Result<LoadReader> {
        let split: u64 = split
            .parse()
            .map_err(|_| Error::checkpoint(format!("the load has no split `{split}`")))?;
        Ok(LoadReader {
            start_us: *self.start_us.get_or_init(|| self.time.now_us()),
            load: self.clone(),
            next: position.unwrap_or(split),
            _alarm: wake_each(self.tick, waker)?,
        })
    }
}

/// Wakes the worker at each tick until what is returned is dropped.
fn wake_each(tick: Duration, waker: Waker) -> Result<Sender<()>> {
    let (alive, gone) = channel::<()>();
    std::thread::Builder::new()
        .name("tick".to_owned())
        .spawn(move || {
            while gone.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                waker.wake();
            }
        })
        .map_err(|e| Error::io("no thread for the ticks", e))?;
    Ok(alive)
}

/// Hands over the events of one split that are due. Its position is the next event's number.
pub(crate) struct LoadReader {
    load: Load,
    start_us: i64,
    next: u64,
    _alarm: Sender<()>,
}

impl Reader for LoadReader {
    type Record = Event;
    type Position = u64;

    fn read<E: Emit<Event>>(&mut self, emit: &mut E) -> Result<Read> {
        let now_us = self.load.time.now_us();
        while self.next < self.load.events {
            let due_us = self.load.due_us(self.next, self.start_us);
            if due_us > now_us {
                return Ok(Read::Wait);
            }
            let event = Event {
                key: self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.load.keys,
                due_ms: due_us.div_euclid(1000),
            };
            self.next += self.load.splits;
            if !emit.emit(event) {
                return Ok(Read::More);
            }
        }
        Ok(Read::End)
    }

    fn position(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All(Vec<Event>);

    impl Emit<Event> for All {
        fn emit(&mut self, event: Event) -> bool {
            self.0.push(event);
            true
        }
        fn skip(&mut self) -> bool {
            true
        }
    }

    /// Whoever asks late gets all that came due meanwhile, stamped with the time it was due.
    #[test]
    fn nothing_that_was_due_is_left_out_or_put_off() {
        let time = Time::start();
        let start_us = time.now_us() - 10_000;
        let load = Load {
            rate: 1_000_000,
            events: 1_000_000_000,
            keys: 10,
            splits: 2,
            tick: Duration::from_millis(1),
            time: time.clone(),
            start_us: Arc::new(OnceLock::from(start_us)),
        };
        let mut reader = load.open("1", None, Waker::none()).unwrap();
        let mut all = All(Vec::new());
        assert_eq!(reader.read(&mut all).unwrap(), Read::Wait);
        let due = (time.now_us() - start_us) as usize / 2;
        assert!((5_000..=due + 1).contains(&all.0.len()), "{}", all.0.len());
        for (i, event) in all.0.iter().enumerate() {
            assert_eq!(event.due_ms, (start_us + 2 * i as i64 + 1).div_euclid(1000));
        }
        assert_eq!(reader.position(), 2 * all.0.len() as u64 + 1);
    }

    #[test]
    fn a_split_ends_behind_its_last_event() {
        let time = Time::start();
        let load = Load {
            rate: 1000,
            events: 7,
            keys: 10,
            splits: 2,
            tick: Duration::from_millis(1),
            start_us: Arc::new(OnceLock::from(time.now_us() - 1_000_000)),
            time,
        };
        for (split, count) in [("0", 4), ("1", 3)] {
            let mut all = All(Vec::new());
            let mut reader = load.open(split, None, Waker::none()).unwrap();
            assert_eq!(reader.read(&mut all).unwrap(), Read::End);
            assert_eq!(all.0.len(), count);
        }
    }
}
