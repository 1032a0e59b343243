//! The arithmetic of windows that are cut by time (rules W1, W2).
//!
//! A *slice* is the greatest stretch of time that no window bound cuts. Records are kept by
//! slice; a window is merged from its slices, so what a record costs does not depend on how many
//! windows it is in. Where the slide does not divide the size, a period of one slide has two
//! slices; where the slide exceeds the size, the second one lies in no window.
//!
//! Event times and sizes lie within ±2^60 ms, so nothing here overflows.

use millstream_engine::data::Timestamp;

/// Windows of `size` that start at every multiple of `slide`, plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// How long a window is, in milliseconds.
    pub size: i64,
    /// How far apart windows start.
    pub slide: i64,
    /// Where they start, modulo the slide.
    pub offset: i64,
}

/// A slice `[start, end)` and the ends of the windows it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its first instant: also its name.
    pub start: Timestamp,
    /// Its first instant no more.
    pub end: Timestamp,
    /// The end of the first window that holds it.
    pub first_window_end: Timestamp,
    /// The end of the last window that holds it. Before the first: no window holds it.
    pub last_window_end: Timestamp,
}

impl Slice {
    /// Whether no window holds it.
    pub fn is_outside(&self) -> bool {
        self.last_window_end < self.first_window_end
    }

    /// How many windows that hold it end at or before `end`.
    pub fn windows_until(&self, end: Timestamp, slide: i64) -> u64 {
        let last = end.min(self.last_window_end);
        if last < self.first_window_end {
            return 0;
        }
        ((last - self.first_window_end) / slide + 1) as u64
    }
}

impl Slices {
    /// How many slices a window has, if it has several.
    pub fn overlap(&self) -> Option<usize> {
        let (whole, cut) = (self.size / self.slide, self.size % self.slide);
        // Where the slide does not divide the size, a window ends with a part of a period.
        let slices = if cut == 0 { whole } else { 2 * whole + 1 };
        (slices > 1).then(|| usize::try_from(slices).unwrap_or(usize::MAX))
    }

    /// The last window start at or before `t`.
    fn period(&self, t: Timestamp) -> Timestamp {
        t - (t - self.offset).rem_euclid(self.slide)
    }

    /// The slice that holds `t`.
    pub fn of(&self, t: Timestamp) -> Slice {
        let period = self.period(t);
        let cut = period + self.size.rem_euclid(self.slide);
        let (start, end) = if cut == period {
            (period, period + self.slide)
        } else if t < cut {
            (period, cut)
        } else {
            (cut, period + self.slide)
        };
        Slice {
            start,
            end,
            first_window_end: self.period(start - self.size) + self.slide + self.size,
            last_window_end: period + self.size,
        }
    }

    /// The first end of a window that holds `slice` and ends after `after`.
    pub fn next_end(&self, slice: &Slice, after: Timestamp) -> Option<Timestamp> {
        if slice.is_outside() || after >= slice.last_window_end {
            return None;
        }
        if after < slice.first_window_end {
            return Some(slice.first_window_end);
        }
        let skipped = (after - slice.first_window_end) / self.slide + 1;
        Some(slice.first_window_end + skipped * self.slide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All windows that contain `t`, by looking at every start nearby.
    fn brute_force(w: &Slices, t: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let starts = (t - w.size - w.slide)..=t;
        starts
            .filter(|s| (s - w.offset).rem_euclid(w.slide) == 0)
            .map(|s| (s, s + w.size))
            .filter(|&(s, e)| s <= t && t < e)
            .collect()
    }

    fn windows(w: &Slices, slice: &Slice) -> Vec<(Timestamp, Timestamp)> {
        let mut windows = Vec::new();
        let mut after = Timestamp::MIN;
        while let Some(end) = w.next_end(slice, after) {
            windows.push((end - w.size, end));
            after = end;
        }
        windows
    }

    proptest! {
        #[test]
        fn w1_w2_every_instant_is_in_the_windows_that_enumeration_finds(
            size in 1i64..40, slide in 1i64..40, offset in -50i64..50, t in -200i64..200,
        ) {
            let w = Slices { size, slide, offset };
            let slice = w.of(t);
            prop_assert!(slice.start <= t && t < slice.end);
            for instant in slice.start..slice.end {
                prop_assert_eq!(w.of(instant), slice);
                prop_assert_eq!(windows(&w, &slice), brute_force(&w, instant));
            }
            let all = windows(&w, &slice);
            // Who looks for the next window to end may stop at the first slice that has one.
            let next = w.of(slice.end);
            prop_assert!(slice.last_window_end <= next.last_window_end);
            for after in (t - 100)..(t + 100) {
                if let (Some(end), Some(later)) = (w.next_end(&slice, after), w.next_end(&next, after)) {
                    prop_assert!(end <= later);
                }
            }
            for until in (t - 100)..(t + 100) {
                let expected = all.iter().filter(|(_, e)| *e <= until).count() as u64;
                prop_assert_eq!(slice.windows_until(until, slide), expected);
            }
        }
    }

    #[test]
    fn w2_windows_have_as_many_slices_as_bounds_cut_out() {
        for (size, slide, expected) in [
            (10, 10, None),
            (10, 15, None),
            (20, 10, Some(2)),
            (15, 10, Some(3)),
            (100, 1, Some(100)),
        ] {
            let w = Slices {
                size,
                slide,
                offset: 0,
            };
            assert_eq!(w.overlap(), expected, "{size} by {slide}");
            let mut starts: Vec<_> = (0..size).map(|t| w.of(t).start).collect();
            starts.dedup();
            assert_eq!(starts.len(), expected.unwrap_or(1), "{size} by {slide}");
        }
    }

    #[test]
    fn w1_edges_of_time() {
        let hour = Slices {
            size: 3_600_000,
            slide: 3_600_000,
            offset: 0,
        };
        for (t, start) in [
            (0, 0),
            (-1, -3_600_000),
            (3_599_999, 0),
            (3_600_000, 3_600_000),
        ] {
            assert_eq!(hour.of(t).start, start, "{t}");
        }
        for t in [
            millstream_engine::data::EVENT_TIME_MIN,
            millstream_engine::data::EVENT_TIME_MAX,
        ] {
            let huge = Slices {
                size: 1 << 60,
                slide: (1 << 60) - 1,
                offset: 1 << 59,
            };
            for w in [hour, huge] {
                let slice = w.of(t);
                assert!(slice.start <= t && t < slice.end);
                assert!(w.next_end(&slice, Timestamp::MIN).is_some_and(|e| e > t));
            }
        }
    }
}
