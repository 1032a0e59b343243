//! Tumbling and sliding windows; tumbling is sliding by its own size.

use std::collections::BTreeMap;

use super::{Kind, Operator, Out, Outcome, Pane, Record, Value, clamp, reached};

pub(super) struct TimeWindows {
    size: i128,
    slide: i128,
    offset: i128,
    lateness: i64,
    /// By start and key: as all windows are equally long, this is also the order of their ends.
    open: BTreeMap<(i128, u32), Window>,
}

struct Window {
    value: Value,
    firings: u64,
}

impl TimeWindows {
    pub(super) fn new(size: i64, slide: i64, offset: i64, lateness: i64) -> TimeWindows {
        assert!(size >= 1 && slide >= 1, "size {size}, slide {slide}");
        TimeWindows {
            size: size.into(),
            slide: slide.into(),
            offset: offset.into(),
            lateness,
            open: BTreeMap::new(),
        }
    }

    /// The starts of all windows that contain `time`, ascending (W1, W2).
    fn starts(&self, time: i64) -> Vec<i128> {
        let time = i128::from(time);
        let mut start = time - (time - self.offset).rem_euclid(self.slide);
        let mut starts = Vec::new();
        while start + self.size > time {
            starts.insert(0, start);
            start -= self.slide;
        }
        starts
    }

    fn end(&self, start: i128) -> i64 {
        clamp(start + self.size)
    }

    /// F1: the instant that the watermark has to come to before the window fires.
    fn due(&self, start: i128) -> i64 {
        self.end(start).saturating_sub(1)
    }

    /// F2, F4: the instant from which on nothing can change the window.
    fn final_at(&self, start: i128) -> i64 {
        self.due(start).saturating_add(self.lateness)
    }

    fn fire(&mut self, start: i128, key: u32, pane: Pane, outcome: &mut Outcome) {
        let end = self.end(start);
        if let Some(window) = self.open.get_mut(&(start, key)) {
            outcome.emit(Out {
                key,
                start: clamp(start),
                end,
                last: None,
                pane,
                number: window.firings,
                kind: Kind::Insert,
                count: window.value.count,
                sum: window.value.sum,
                min: window.value.min,
                max: window.value.max,
            });
            window.firings += 1;
        }
    }
}

impl Operator for TimeWindows {
    fn record(&mut self, record: Record, watermark: i64, outcome: &mut Outcome) {
        let starts = self.starts(record.time);
        let mut refusals = 0;
        for start in &starts {
            if reached(watermark, self.final_at(*start)) {
                refusals += 1;
                continue;
            }
            let one = Value::of(record.value);
            self.open
                .entry((*start, record.key))
                .and_modify(|window| window.value.merge(one))
                .or_insert(Window {
                    value: one,
                    firings: 0,
                });
            if reached(watermark, self.due(*start)) {
                self.fire(*start, record.key, Pane::Late, outcome);
            }
        }
        outcome.refused += refusals as u64;
        if starts.is_empty() {
            outcome.in_no_window += 1;
        }
        if refusals > 0 && refusals == starts.len() {
            outcome.refuse(record);
        } else {
            outcome.processed += 1;
        }
    }

    fn advance(&mut self, watermark: i64, outcome: &mut Outcome) {
        let windows: Vec<(i128, u32)> = self.open.keys().copied().collect();
        for (start, key) in &windows {
            let fresh = self.open[&(*start, *key)].firings == 0;
            if fresh && reached(watermark, self.due(*start)) {
                self.fire(*start, *key, Pane::OnTime, outcome);
            }
        }
        for (start, key) in windows {
            if reached(watermark, self.final_at(start)) {
                self.open.remove(&(start, key));
            }
        }
    }

    fn finish(&mut self, _outcome: &mut Outcome) {
        assert!(self.open.is_empty(), "the last watermark frees everything");
    }
}
