//! Watermarks: one per split, and the operator's, which is their minimum.

use super::clamp;

/// The watermark of an operator that reads several splits.
pub(super) struct Watermarks {
    bound: i64,
    splits: Vec<Split>,
    now: i64,
}

#[derive(Clone, Default)]
struct Split {
    highest: Option<i64>,
    idle: bool,
}

impl Split {
    /// T1.
    fn watermark(&self, bound: i64) -> i64 {
        match self.highest {
            None => i64::MIN,
            Some(highest) => clamp(i128::from(highest) - i128::from(bound) - 1),
        }
    }
}

impl Watermarks {
    pub(super) fn new(splits: u32, bound: i64) -> Watermarks {
        assert!(bound >= 0, "negative bound {bound}");
        Watermarks {
            bound,
            splits: vec![Split::default(); splits as usize],
            now: i64::MIN,
        }
    }

    /// The operator's watermark, `i64::MIN` while there is none.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    pub(super) fn record(&mut self, split: u32, time: i64) {
        let split = &mut self.splits[split as usize];
        split.idle = false;
        split.highest = split.highest.max(Some(time));
        self.refresh();
    }

    pub(super) fn idle(&mut self, split: u32) {
        self.splits[split as usize].idle = true;
        self.refresh();
    }

    /// T2, then T3. Without a split that is not idle everything stays (O13).
    fn refresh(&mut self) {
        let lowest = self
            .splits
            .iter()
            .filter(|split| !split.idle)
            .map(|split| split.watermark(self.bound))
            .min();
        self.now = self.now.max(lowest.unwrap_or(i64::MIN));
    }
}
