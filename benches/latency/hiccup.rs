//! What the machine itself adds: a thread that wants to wake every millisecond notes how late it
//! is woken. A job's results cannot be there earlier than its threads run.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use millstream::{Clock, Error, Result};

const EACH: Duration = Duration::from_millis(1);
const HIGHEST_US: u64 = 3_600_000_000;

/// Runs beside a job.
#[derive(Debug)]
pub(crate) struct Hiccups {
    stop: Sender<()>,
    thread: JoinHandle<Histogram<u64>>,
}

impl Hiccups {
    /// Notes from now on.
    ///
    /// # Errors
    /// When there can be no histogram or no thread.
    pub(crate) fn start() -> Result<Self> {
        let mut late_us = Histogram::new_with_bounds(1, HIGHEST_US, 3)
            .map_err(|e| Error::internal(e.to_string()))?;
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("hiccups".to_owned())
            .spawn(move || {
                let clock = Clock::system();
                let each_us = EACH.as_micros() as u64;
                let mut slept_at = clock.monotonic_us();
                while stopped.recv_timeout(EACH) == Err(RecvTimeoutError::Timeout) {
                    let now = clock.monotonic_us();
                    let late = (now - slept_at).saturating_sub(each_us);
                    // Who is late once would have been late at each time that it slept through.
                    for missed in (0..=late / each_us).map(|n| late - n * each_us) {
                        late_us.saturating_record(missed);
                    }
                    slept_at = clock.monotonic_us();
                }
                late_us
            })
            .map_err(|e| Error::io("no thread for hiccups", e))?;
        Ok(Hiccups { stop, thread })
    }

    /// How late the thread was woken, in microseconds.
    ///
    /// # Errors
    /// When the thread has panicked.
    pub(crate) fn stop(self) -> Result<Histogram<u64>> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| Error::internal("the thread that notes hiccups panicked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_woken_notes_it() {
        let hiccups = Hiccups::start().unwrap();
        let (_silent, never) = channel::<()>();
        let _ = never.recv_timeout(Duration::from_millis(30));
        let late_us = hiccups.stop().unwrap();
        assert!((5..=40).contains(&late_us.len()), "{}", late_us.len());
    }
}
