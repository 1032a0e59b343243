//! When to look at what is over.

use millstream::Timestamp;

/// Tells once in a while how far event time has come for good.
#[derive(Debug)]
pub(super) struct Watermark {
    lag_ms: Timestamp,
    step_ms: Timestamp,
    /// From this time of an event on there is something to tell.
    due: Timestamp,
}

impl Watermark {
    /// Tells each time that a multiple of `step_ms` has passed, if events come at most `lag_ms`
    /// behind the highest time before them.
    pub(super) fn new(lag_ms: Timestamp, step_ms: Timestamp) -> Self {
        Watermark {
            lag_ms,
            step_ms,
            due: step_ms + lag_ms,
        }
    }

    /// After an event of time `ts`: no event will come any more whose time is less than this.
    #[inline]
    pub(super) fn after(&mut self, ts: Timestamp) -> Option<Timestamp> {
        if ts < self.due {
            return None;
        }
        let passed = ts - self.lag_ms;
        self.due = passed - passed % self.step_ms + self.step_ms + self.lag_ms;
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_when_a_step_has_passed_for_good() {
        let mut watermark = Watermark::new(5, 10);
        for (ts, expect) in [
            (0, None),
            (14, None),
            (15, Some(10)),
            (14, None),
            (24, None),
            (47, Some(42)),
            (54, None),
            (55, Some(50)),
        ] {
            assert_eq!(watermark.after(ts), expect, "{ts}");
        }
    }
}
