//! Windows that are cut by a count of records (rule W6).
//!
//! The records of a key are gathered in chunks of the greatest common divisor of the window's
//! length and its step, so a sliding window keeps `n / gcd` states for each key.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_engine::data::{Data, Key, Keyed, Timestamp};
use millstream_engine::error::Result;
use millstream_engine::graph::operator::{
    AnyOutput, EMIT_MAX, Flow, Operator, OperatorContext, OperatorSetup, Output, Records,
};
use millstream_engine::state::table::{StateTable, Table, Walk};
use serde::{Deserialize, Serialize};

use crate::accumulator::Accumulator;
use crate::window::result::{Change, CountWindow, Late, Pane, Timing, Windowed};

/// The table of [`Counts`], with the version of its values.
pub(crate) const TABLES: [(&str, u8); 1] = [("counts", 1)];

/// The operator behind count windows.
pub(super) struct Counts<K: Key, T: Data, A: Accumulator<T>> {
    n: u64,
    every: u64,
    partial: bool,
    accumulator: Arc<A>,
    keys: Table<K, Counted<A::State>>,
    results: Output<Windowed<K, CountWindow, A::Output>>,
    /// Nothing is ever late here, but who reads it hears of barriers and watermarks.
    late: Output<Late<K, T>>,
    processed: u64,
    /// How far the end has brought out partial windows.
    ending: Walk,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counted<S> {
    total: u64,
    windows: u64,
    /// Full chunks, except perhaps the last.
    chunks: VecDeque<Chunk<S>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Chunk<S> {
    records: u64,
    start: Timestamp,
    last: Timestamp,
    state: S,
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl<K, T, A> Counts<K, T, A>
where
    K: Key,
    T: Data,
    A: Accumulator<T>,
{
    /// The operator as the checkpoint left it.
    ///
    /// # Errors
    /// When the plan does not fit.
    pub(super) fn open(
        setup: &mut OperatorSetup<'_>,
        (n, every, partial): (u64, u64, bool),
        accumulator: Arc<A>,
    ) -> Result<Self> {
        let [(keys, version)] = TABLES;
        Ok(Counts {
            n,
            every,
            partial,
            accumulator,
            keys: setup.table(keys, version),
            results: setup.output(0)?,
            late: setup.output(1)?,
            processed: 0,
            ending: Walk::default(),
        })
    }

    fn take(&mut self, record: Keyed<K, A::Input>) -> Result<()> {
        let Keyed {
            time,
            hash,
            key,
            payload,
            ..
        } = record;
        let chunk_records = gcd(self.n, self.every);
        let slice = self.keys.slice(0);
        let counted = self.keys.upsert(slice, hash, &key, || Counted {
            total: 0,
            windows: 0,
            chunks: VecDeque::new(),
        })?;
        counted.total += 1;
        match counted.chunks.back_mut() {
            Some(open) if open.records < chunk_records => {
                open.records += 1;
                open.start = open.start.min(time);
                open.last = open.last.max(time);
                self.accumulator.add(&mut open.state, payload);
            }
            _ => {
                let mut state = self.accumulator.init();
                self.accumulator.add(&mut state, payload);
                counted.chunks.push_back(Chunk {
                    records: 1,
                    start: time,
                    last: time,
                    state,
                });
            }
        }
        while counted.chunks.len() as u64 > self.n / chunk_records {
            counted.chunks.pop_front();
        }
        if counted.total.is_multiple_of(self.every) {
            counted.windows += 1;
            if let Some(result) = over(
                &*self.accumulator,
                &key,
                counted.windows - 1,
                counted.chunks.iter(),
            ) {
                self.results.emit(result.window.last, result);
            }
        }
        Ok(())
    }
}

/// What the next window of a key would have held, if the end had not come.
fn partial<S>((n, every): (u64, u64), counted: &Counted<S>) -> impl Iterator<Item = &Chunk<S>> {
    let next_end = counted.total.next_multiple_of(every);
    let wanted = counted.total.saturating_sub(next_end.saturating_sub(n));
    let wanted = if next_end > counted.total { wanted } else { 0 };
    let held: u64 = counted.chunks.iter().map(|c| c.records).sum();
    let mut before = held.saturating_sub(wanted);
    counted.chunks.iter().skip_while(move |chunk| {
        let skip = before > 0;
        before = before.saturating_sub(chunk.records);
        skip
    })
}

fn over<'c, K: Key, T, A: Accumulator<T>>(
    accumulator: &A,
    key: &K,
    number: u64,
    mut chunks: impl Iterator<Item = &'c Chunk<A::State>>,
) -> Option<Windowed<K, CountWindow, A::Output>> {
    let first = chunks.next()?;
    let mut state = first.state.clone();
    let mut window = CountWindow {
        number,
        records: first.records,
        start: first.start,
        last: first.last,
    };
    for chunk in chunks {
        accumulator.merge(&mut state, &chunk.state);
        window.records += chunk.records;
        window.start = window.start.min(chunk.start);
        window.last = window.last.max(chunk.last);
    }
    Some(Windowed {
        key: key.clone(),
        window,
        pane: Pane {
            timing: Timing::OnTime,
            number: 0,
        },
        change: Change::Insert,
        value: accumulator.finish(&state),
    })
}

impl<K, T, A> Operator for Counts<K, T, A>
where
    K: Key,
    T: Data,
    A: Accumulator<T>,
{
    type In = Keyed<K, A::Input>;

    fn on_records(&mut self, records: Records<'_, Self::In>, _cx: &OperatorContext) -> Result<()> {
        for record in records {
            self.processed += 1;
            self.take(record)?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, cx: &OperatorContext) -> Result<Flow> {
        let Some(slice) = self.keys.find_slice(0) else {
            return Ok(Flow::Done);
        };
        if !self.partial || cx.watermark < Timestamp::MAX {
            return Ok(Flow::Done);
        }
        let (accumulator, spec) = (&*self.accumulator, (self.n, self.every));
        let mut results = Vec::new();
        let more = self.keys.walk(slice, &mut self.ending, EMIT_MAX, |row| {
            let chunks = partial(spec, row.value);
            results.extend(over(accumulator, row.key, row.value.windows, chunks));
        })?;
        for result in results {
            self.results.emit(result.window.last, result);
        }
        Ok(if more { Flow::Again } else { Flow::Done })
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        visit(&mut self.keys);
    }

    fn outputs(&mut self, visit: &mut dyn FnMut(&mut dyn AnyOutput)) {
        visit(&mut self.results);
        visit(&mut self.late);
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("processed", self.processed)]
    }
}
