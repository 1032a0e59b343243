//! One split of a source on a worker: its reader, its watermark, its counters.

use crate::data::{Progress, Timestamp};
use crate::graph::source::Watermarks;

/// How far a split's event time has come (rules T1, T3, T5, T8).
#[derive(Clone, Debug)]
pub struct SplitTime {
    bound_ms: i64,
    idle_after_us: Option<u64>,
    /// The highest event time seen.
    pub max_time: Option<Timestamp>,
    watermark: Timestamp,
    silent_since_us: Option<u64>,
    silent_us: u64,
    idle: bool,
    finished: bool,
}

impl SplitTime {
    /// A split as the checkpoint left it, or a new one.
    pub fn new(
        watermarks: &Watermarks,
        max_time: Option<Timestamp>,
        watermark: Option<Timestamp>,
    ) -> Self {
        let bound = watermarks.lag.bound().as_millis();
        SplitTime {
            bound_ms: i64::try_from(bound).unwrap_or(i64::MAX),
            idle_after_us: watermarks
                .idle_after
                .map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)),
            max_time,
            watermark: watermark.unwrap_or(Timestamp::MIN),
            silent_since_us: None,
            silent_us: 0,
            idle: false,
            finished: false,
        }
    }

    /// A record of this time was read; true if the watermark rose behind it.
    #[inline]
    pub fn saw(&mut self, time: Timestamp) -> bool {
        if self.max_time.is_some_and(|max| time <= max) {
            return false;
        }
        self.max_time = Some(time);
        // T1: W = M - B - 1.
        let watermark = time.saturating_sub(self.bound_ms).saturating_sub(1);
        if watermark > self.watermark {
            self.watermark = watermark;
            return true;
        }
        false
    }

    /// How far the watermark is behind the highest time (rule T1), at most 2^61 ms.
    pub fn behind(&self) -> i64 {
        self.bound_ms.saturating_add(1).min(1 << 61)
    }

    /// Something was read: the silence is over.
    pub fn stirred(&mut self) {
        self.silent_since_us = None;
        self.silent_us = 0;
        self.idle = false;
    }

    /// There was nothing to read at this moment.
    pub fn was_silent(&mut self, now_us: u64) {
        let since = self.silent_since_us.replace(now_us).unwrap_or(now_us);
        self.silent_us += now_us.saturating_sub(since);
        if self
            .idle_after_us
            .is_some_and(|after| self.silent_us >= after)
        {
            self.idle = true;
        }
    }

    /// The engine did not ask: the time until it asks again is not the split's silence.
    pub fn paused(&mut self) {
        self.silent_since_us = None;
    }

    /// The split has ended (rule T8).
    pub fn finish(&mut self) {
        self.finished = true;
        self.idle = false;
        self.watermark = Timestamp::MAX;
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The watermark: `i64::MIN` before there is one.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// What it tells those behind it.
    pub fn progress(&self) -> Progress {
        if self.idle {
            Progress::Idle
        } else {
            Progress::Watermark(self.watermark)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::source::Lag;
    use std::time::Duration;

    fn split(lag: Lag, idle_after: Option<Duration>) -> SplitTime {
        let watermarks = Watermarks {
            lag,
            idle_after,
            ..Watermarks::default()
        };
        SplitTime::new(&watermarks, None, None)
    }

    #[test]
    fn t1_the_watermark_is_the_highest_time_less_the_bound_less_one() {
        let mut split = split(Lag::secs(2), None);
        for (time, watermark) in [(1000, -1001), (4000, 1999), (3000, 1999), (11_000, 8999)] {
            split.saw(time);
            assert_eq!(split.watermark(), watermark, "after {time}");
        }
        let mut monotonic = self::split(Lag::NONE, None);
        assert!(monotonic.saw(7));
        assert_eq!(monotonic.watermark(), 6);
    }

    #[test]
    fn t3_a_restored_split_never_goes_back() {
        let watermarks = Watermarks {
            lag: Lag::secs(1),
            ..Watermarks::default()
        };
        let mut split = SplitTime::new(&watermarks, Some(5000), Some(3999));
        assert!(!split.saw(4500));
        assert_eq!(split.watermark(), 3999);
        // A larger bound after a restart must not lower it either.
        let mut wider = SplitTime::new(
            &Watermarks {
                lag: Lag::secs(100),
                ..watermarks
            },
            Some(5000),
            Some(3999),
        );
        assert!(!wider.saw(6000));
        assert_eq!(wider.watermark(), 3999);
    }

    #[test]
    fn t5_a_silent_split_is_idle_but_time_that_the_engine_paused_it_does_not_count() {
        let mut split = split(Lag::NONE, Some(Duration::from_millis(10)));
        split.saw(100);
        split.was_silent(0);
        split.was_silent(9_000);
        assert_eq!(split.progress(), Progress::Watermark(99));
        split.paused();
        split.was_silent(500_000);
        assert_eq!(split.progress(), Progress::Watermark(99));
        split.was_silent(501_000);
        assert_eq!(split.progress(), Progress::Idle);
        split.stirred();
        assert_eq!(split.progress(), Progress::Watermark(99));
    }

    #[test]
    fn t8_the_end_is_the_greatest_watermark() {
        let mut split = split(Lag::secs(5), None);
        split.saw(7);
        split.finish();
        assert_eq!(split.progress(), Progress::Watermark(Timestamp::MAX));
    }
}
