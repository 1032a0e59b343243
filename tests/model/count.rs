//! Windows that go by arrival: count windows and running aggregates (O10, O11).

use std::collections::BTreeMap;

use super::{Kind, Operator, Out, Outcome, Pane, Record, Value};

pub(super) struct Counts {
    n: usize,
    every: usize,
    partial: bool,
    /// All records of each key, in arrival order.
    seen: BTreeMap<u32, Vec<Record>>,
}

impl Counts {
    pub(super) fn new(n: u64, every: u64, partial: bool) -> Counts {
        assert!(n >= 1 && every >= 1, "n {n}, every {every}");
        Counts {
            n: n as usize,
            every: every as usize,
            partial,
            seen: BTreeMap::new(),
        }
    }
}

impl Operator for Counts {
    fn record(&mut self, record: Record, _watermark: i64, outcome: &mut Outcome) {
        outcome.processed += 1;
        let seen = self.seen.entry(record.key).or_default();
        seen.push(record);
        if seen.len().is_multiple_of(self.every) {
            let from = seen.len().saturating_sub(self.n);
            outcome.emit(over(&seen[from..], 0));
        }
    }

    fn advance(&mut self, _watermark: i64, _outcome: &mut Outcome) {}

    fn finish(&mut self, outcome: &mut Outcome) {
        if !self.partial {
            return;
        }
        let mut rest = Vec::new();
        for seen in self.seen.values() {
            let next_end = seen.len().next_multiple_of(self.every);
            let next_start = next_end.saturating_sub(self.n);
            if next_end > seen.len() && next_start < seen.len() {
                rest.push(over(&seen[next_start..], 0));
            }
        }
        rest.sort_by_key(|out| (out.end, out.start, out.key));
        for out in rest {
            outcome.emit(out);
        }
    }
}

#[derive(Default)]
pub(super) struct Running {
    /// All records of each key, in arrival order.
    seen: BTreeMap<u32, Vec<Record>>,
}

impl Operator for Running {
    fn record(&mut self, record: Record, _watermark: i64, outcome: &mut Outcome) {
        outcome.processed += 1;
        let seen = self.seen.entry(record.key).or_default();
        let number = seen.len() as u64;
        seen.push(record);
        outcome.emit(over(seen, number));
    }

    fn advance(&mut self, _watermark: i64, _outcome: &mut Outcome) {}

    fn finish(&mut self, _outcome: &mut Outcome) {}
}

/// The result over some records, at least one, of one key.
fn over(records: &[Record], number: u64) -> Out {
    let first = records[0];
    let mut value = Value::of(first.value);
    let (mut start, mut last) = (first.time, first.time);
    for record in &records[1..] {
        value.merge(Value::of(record.value));
        start = start.min(record.time);
        last = last.max(record.time);
    }
    Out {
        key: first.key,
        start,
        end: last.saturating_add(1),
        last: Some(last),
        pane: Pane::OnTime,
        number,
        kind: Kind::Insert,
        count: value.count,
        sum: value.sum,
        min: value.min,
        max: value.max,
    }
}
