//! Tumbling and sliding windows, kept by slice.
//!
//! A record goes into one slice. A window of one slice is that slice; where windows overlap, what
//! their slices come to is carried from one to the next ([`Overlap`]). Firing walks slices, not a
//! timer for each key; a slice is dropped whole.

use std::sync::Arc;

use millstream_engine::data::{Data, Key, Keyed, Timestamp, Wire};
use millstream_engine::error::Result;
use millstream_engine::graph::operator::{
    AnyOutput, EMIT_MAX, Flow, Operator, OperatorContext, OperatorSetup, Output, Records,
};
use millstream_engine::state::run::Run;
use millstream_engine::state::table::{Inventory, LOOK_AHEAD, SliceId, StateTable, Table, Walk};

use crate::accumulator::Accumulator;
use crate::window::overlap::Overlap;
use crate::window::result::{Change, Late, Pane, TimeWindow, Timing, WindowInput, Windowed};
use crate::window::slices::{Slice, Slices};

/// The tables of [`TimeWindows`], with the version of their values.
pub(crate) const TABLES: [(&str, u8); 2] = [("slices", 1), ("panes", 1)];

/// A record as it comes to its window.
type Input<K, T, A> = Keyed<K, WindowInput<<A as Accumulator<T>>::Input, T>>;

/// The operator behind tumbling and sliding windows.
pub(super) struct TimeWindows<K: Key, T: Data, A: Accumulator<T>> {
    windows: Slices,
    lateness: i64,
    accumulator: Arc<A>,
    /// Slice start -> key -> what the key's records in the slice come to.
    slices: Table<K, A::State>,
    /// Window end -> key -> the number of the key's next pane. Only keys with late panes.
    panes: Table<K, u32>,
    /// Where a window has several slices.
    overlap: Option<Overlap<K, A::State>>,
    results: Output<Windowed<K, TimeWindow, A::Output>>,
    late: Output<Late<K, T>>,
    current: Option<Current>,
    /// Every window that ends at or before this watermark plus 1 has fired.
    fired: Timestamp,
    firing: Option<Firing>,
    due: Timestamp,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    processed: u64,
    late: u64,
    refused: u64,
    outside: u64,
}

/// The slice that the last record went into.
#[derive(Clone, Copy)]
struct Current {
    slice: Slice,
    id: SliceId,
    /// While the watermark is below this, no window of the slice has fired: no record that goes
    /// into it is late.
    on_time_below: Timestamp,
}

/// A window that is being given out.
struct Firing {
    window: TimeWindow,
    from: From,
}

enum From {
    /// The one slice it is made of, and how far that has been walked.
    Slice(SliceId, Walk),
    /// What its slices come to, and how far that has been given out.
    Overlap(usize),
}

impl<K, T, A> TimeWindows<K, T, A>
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
        windows: Slices,
        lateness: i64,
        accumulator: Arc<A>,
    ) -> Result<Self> {
        let [(slices, v1), (panes, v2)] = TABLES;
        let mut operator = TimeWindows {
            windows,
            lateness,
            accumulator,
            slices: setup.table(slices, v1),
            panes: setup.table(panes, v2),
            overlap: windows.overlap().map(Overlap::new),
            results: setup.output(0)?,
            late: setup.output(1)?,
            current: None,
            fired: setup.watermark,
            firing: None,
            due: Timestamp::MAX,
            counts: Counts::default(),
        };
        operator.find_due();
        Ok(operator)
    }

    /// Makes the slice of `time` the current one, if it is not finalised. Returns whether it is.
    #[cold]
    fn seek(&mut self, time: Timestamp, watermark: Timestamp) -> Option<Current> {
        let slice = self.windows.of(time);
        let last_chance = self.finalised_from(slice.last_window_end);
        if slice.is_outside() || watermark >= last_chance {
            return None;
        }
        let id = match self.slices.find_slice(slice.start) {
            Some(id) => id,
            None => {
                let id = self.slices.slice(slice.start);
                let next_end = self.windows.next_end(&slice, watermark.saturating_add(1));
                self.due = self.due.min(last_chance);
                if let Some(end) = next_end {
                    self.due = self.due.min(end - 1);
                }
                id
            }
        };
        let current = Current {
            slice,
            id,
            on_time_below: slice.first_window_end - 1,
        };
        self.current = Some(current);
        Some(current)
    }

    /// F2, F4: from this watermark on, a window with this end is finalised.
    fn finalised_from(&self, end: Timestamp) -> Timestamp {
        end - 1 + self.lateness
    }

    /// Takes a record, and those of its key that come right behind it.
    #[inline]
    fn take(
        &mut self,
        record: Input<K, T, A>,
        records: &mut Records<'_, Input<K, T, A>>,
        watermark: Timestamp,
    ) -> Result<()> {
        let within = |slice: &Slice, time| slice.start <= time && time < slice.end;
        let current = match self.current {
            Some(current) if within(&current.slice, record.time) => current,
            _ => match self.seek(record.time, watermark) {
                Some(current) => current,
                None => {
                    self.turn_away(record);
                    return Ok(());
                }
            },
        };
        self.counts.processed += u64::from(record.payload.records);
        if watermark >= current.on_time_below {
            return self.take_late(current, record, watermark);
        }
        let (accumulator, hash, key) = (&self.accumulator, record.hash, record.key);
        let state = self
            .slices
            .upsert(current.id, hash, &key, || accumulator.init())?;
        accumulator.add(state, record.payload.input);
        while let Some(same) = records.next_if(|next| {
            next.hash == hash && next.key == key && within(&current.slice, next.time)
        }) {
            self.counts.processed += u64::from(same.payload.records);
            accumulator.add(state, same.payload.input);
        }
        Ok(())
    }

    /// A record whose slice is outside of all windows, or finalised in all of them.
    fn turn_away(&mut self, record: Keyed<K, WindowInput<A::Input, T>>) {
        let slice = self.windows.of(record.time);
        let records = u64::from(record.payload.records);
        if slice.is_outside() {
            self.counts.outside += records;
            return;
        }
        self.counts.late += records;
        self.counts.refused +=
            records * slice.windows_until(slice.last_window_end, self.windows.slide);
        if let Some(whole) = record.payload.whole {
            let late = Late {
                key: record.key,
                time: record.time,
                record: *whole,
            };
            self.late.emit(record.time, late);
        }
    }

    /// F3, F4: a record that some of its windows are past. Those that are finalised refuse it;
    /// those that have fired fire again for its key.
    fn take_late(
        &mut self,
        current: Current,
        record: Keyed<K, WindowInput<A::Input, T>>,
        watermark: Timestamp,
    ) -> Result<()> {
        let slice = current.slice;
        let finalised = watermark.saturating_sub(self.lateness).saturating_add(1);
        self.counts.refused +=
            u64::from(record.payload.records) * slice.windows_until(finalised, self.windows.slide);
        let mut refire = Vec::new();
        let mut after = finalised;
        while let Some(end) = self.windows.next_end(&slice, after) {
            if end - 1 > watermark {
                break;
            }
            let known = self.merged(end, record.hash, &record.key)?.is_some();
            refire.push((end, known));
            after = end;
        }
        let accumulator = &self.accumulator;
        if let Some(overlap) = &mut self.overlap {
            let mut alone = accumulator.init();
            accumulator.add(&mut alone, record.payload.input.clone());
            let of = (record.hash, &record.key);
            overlap.add_late(slice.start, of, alone, |a, b| accumulator.merge(a, b));
        }
        let state = self
            .slices
            .upsert(current.id, record.hash, &record.key, || accumulator.init())?;
        accumulator.add(state, record.payload.input);
        for (end, known) in refire {
            self.fire_again(end, known, record.hash, &record.key)?;
        }
        Ok(())
    }

    fn fire_again(&mut self, end: Timestamp, known: bool, hash: u32, key: &K) -> Result<()> {
        let panes = self.panes.slice(end);
        // Without a late pane before, the key had pane 0 if it had anything when the window fired.
        let next = self.panes.upsert(panes, hash, key, || u32::from(known))?;
        let number = *next;
        *next += 1;
        let Some(state) = self.merged(end, hash, key)? else {
            return Ok(());
        };
        let result = Windowed {
            key: key.clone(),
            window: self.window(end),
            pane: Pane {
                timing: Timing::Late,
                number,
            },
            change: Change::Insert,
            value: self.accumulator.finish(&state),
        };
        self.results.emit(end - 1, result);
        Ok(())
    }

    fn window(&self, end: Timestamp) -> TimeWindow {
        TimeWindow {
            start: end - self.windows.size,
            end,
        }
    }

    fn slices_of(&self, window: TimeWindow) -> Vec<SliceId> {
        let slices = self.slices.namespaces_in(window.start..window.end);
        slices.map(|(_, id)| id).collect()
    }

    /// What a key's records in the window with this end come to.
    fn merged(&mut self, end: Timestamp, hash: u32, key: &K) -> Result<Option<A::State>> {
        let mut merged: Option<A::State> = None;
        for id in self.slices_of(self.window(end)) {
            if let Some(state) = self.slices.get(id, hash, key)? {
                match &mut merged {
                    None => merged = Some(state.clone()),
                    Some(merged) => self.accumulator.merge(merged, state),
                }
            }
        }
        Ok(merged)
    }

    /// The next window to fire at this watermark.
    fn next_window(&self, watermark: Timestamp) -> Option<TimeWindow> {
        let after = self.fired.saturating_add(1);
        let end = self.next_end(after)?;
        (end - 1 <= watermark).then(|| self.window(end))
    }

    /// The first end after `after` of a window that has a slice: that of the first slice that
    /// has one, since slices and the ends of their windows ascend together.
    fn next_end(&self, after: Timestamp) -> Option<Timestamp> {
        let mut slices = self.slices.namespaces();
        slices.find_map(|(start, _)| self.windows.next_end(&self.windows.of(start), after))
    }

    fn begin_firing(&mut self, window: TimeWindow) -> Result<()> {
        let TimeWindows {
            slices,
            accumulator,
            overlap,
            ..
        } = self;
        let from = match overlap {
            None => {
                let mut held = slices.namespaces_in(window.start..window.end);
                held.next().map(|(_, id)| From::Slice(id, Walk::default()))
            }
            Some(overlap) => {
                let from = overlap.absorb_from(window.start);
                let new: Vec<_> = slices.namespaces_in(from..window.end).collect();
                for (start, id) in new {
                    overlap.begin_slice(start);
                    slices.walk_together(id, |rows| {
                        overlap.absorb(rows, |a, b| accumulator.merge(a, b));
                    })?;
                    // Only late records ask for one of its keys from now on.
                    slices.close(id);
                }
                overlap.advance(window.start, window.end, |a, b| accumulator.merge(a, b));
                Some(From::Overlap(0))
            }
        };
        self.firing = from.map(|from| Firing { window, from });
        Ok(())
    }

    /// F1: gives out results of the window that is firing, up to the bound of one call.
    fn go_on_firing(&mut self) -> Result<Flow> {
        let Some(mut firing) = self.firing.take() else {
            return Ok(Flow::Done);
        };
        let TimeWindows {
            results,
            slices,
            accumulator,
            overlap,
            ..
        } = self;
        let mut emit = |key: &K, state: &A::State| {
            let result = Windowed {
                key: key.clone(),
                window: firing.window,
                pane: Pane {
                    timing: Timing::OnTime,
                    number: 0,
                },
                change: Change::Insert,
                value: accumulator.finish(state),
            };
            results.emit(firing.window.end - 1, result);
        };
        let more = match &mut firing.from {
            From::Slice(id, walk) => {
                slices.walk(*id, walk, EMIT_MAX, |row| emit(row.key, row.value))?
            }
            From::Overlap(next) => {
                let merge = |a: &mut A::State, b: &A::State| accumulator.merge(a, b);
                let overlap = overlap.as_ref();
                let more = overlap.and_then(|o| o.values(*next, EMIT_MAX, merge, emit));
                *next = more.unwrap_or_default();
                more.is_some()
            }
        };
        if more {
            self.firing = Some(firing);
            return Ok(Flow::Again);
        }
        self.fired = self.fired.max(firing.window.end - 1);
        Ok(Flow::Done)
    }

    /// F4: frees what no window needs any more.
    fn expire(&mut self, watermark: Timestamp) -> Result<()> {
        // Slices and the ends of their windows ascend together.
        while let Some(start) = self.slices.first_namespace() {
            if watermark < self.finalised_from(self.windows.of(start).last_window_end) {
                break;
            }
            self.slices.drop_slice(start)?;
        }
        while let Some(end) = self.panes.first_namespace() {
            if watermark < self.finalised_from(end) {
                break;
            }
            self.panes.drop_slice(end)?;
        }
        self.current = None;
        Ok(())
    }

    fn find_due(&mut self) {
        let after = self.fired.saturating_add(1);
        let fires = self.next_end(after).map(|end| end - 1);
        let first = self.slices.first_namespace();
        let expires =
            first.map(|start| self.finalised_from(self.windows.of(start).last_window_end));
        let first = self.panes.first_namespace();
        let panes = first.map(|end| self.finalised_from(end));
        let soonest = [fires, expires, panes].into_iter().flatten().min();
        self.due = soonest.unwrap_or(Timestamp::MAX);
    }
}

impl<K, T, A> Operator for TimeWindows<K, T, A>
where
    K: Key,
    T: Data,
    A: Accumulator<T>,
{
    type In = Keyed<K, WindowInput<A::Input, T>>;

    fn on_records(
        &mut self,
        mut records: Records<'_, Self::In>,
        cx: &OperatorContext,
    ) -> Result<()> {
        // What this watermark makes due has been given out before these records came.
        self.fired = self.fired.max(cx.watermark);
        while !records.ahead(1).is_empty() {
            if let Some(current) = &self.current {
                let ahead = records.ahead(LOOK_AHEAD).iter().map(|next| next.hash);
                self.slices.look_ahead(current.id, ahead);
            }
            for _ in 0..LOOK_AHEAD {
                let Some(record) = records.next() else {
                    break;
                };
                self.take(record, &mut records, cx.watermark)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, cx: &OperatorContext) -> Result<Flow> {
        let pause_at = self.results.emitted() + EMIT_MAX as u64;
        loop {
            if self.firing.is_none() {
                match self.next_window(cx.watermark) {
                    Some(window) => self.begin_firing(window)?,
                    None => break,
                }
            }
            if self.go_on_firing()? == Flow::Again || self.results.emitted() >= pause_at {
                return Ok(Flow::Again);
            }
        }
        self.fired = cx.watermark;
        self.expire(cx.watermark)?;
        self.find_due();
        Ok(Flow::Done)
    }

    fn due(&self) -> Timestamp {
        self.due
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        match &mut self.overlap {
            None => visit(&mut self.slices),
            Some(overlap) => visit(&mut Carried {
                slices: &mut self.slices,
                overlap,
                firing: self.firing.is_some(),
            }),
        }
        visit(&mut self.panes);
    }

    fn outputs(&mut self, visit: &mut dyn FnMut(&mut dyn AnyOutput)) {
        visit(&mut self.results);
        visit(&mut self.late);
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("processed", self.counts.processed),
            ("late", self.counts.late),
            ("refused", self.counts.refused),
            ("outside", self.counts.outside),
        ]
    }
}

/// Slices with what is carried from window to window: the memory of both counts, and the checkpoint
/// holds the slices alone.
struct Carried<'a, K, S> {
    slices: &'a mut Table<K, S>,
    overlap: &'a mut Overlap<K, S>,
    firing: bool,
}

impl<K: Key, S: Wire> StateTable for Carried<'_, K, S> {
    fn freeze(&mut self) {
        self.slices.freeze();
    }

    fn drain(&mut self, rows: usize) -> Result<bool> {
        self.slices.drain(rows)
    }

    fn take_runs(&mut self) -> Vec<Run> {
        self.slices.take_runs()
    }

    fn take_full_runs(&mut self) -> Vec<Run> {
        self.slices.take_full_runs()
    }

    fn settle(&mut self, written: bool) {
        self.slices.settle(written);
    }

    fn warm(&mut self, rows: usize) -> Result<bool> {
        self.slices.warm(rows)
    }

    /// Slices go first: all but the newest are read again only for late records. Without what is
    /// carried, each window has to read all of its slices.
    fn evict(&mut self, bytes: usize) -> Result<usize> {
        let carried = self.overlap.bytes();
        if !self.firing && self.slices.bytes() < carried / 4 {
            self.overlap.forget();
            return Ok(carried);
        }
        self.slices.evict(bytes)
    }

    fn bytes(&self) -> usize {
        self.slices.bytes() + self.overlap.bytes()
    }

    fn inventory(&self) -> Inventory {
        self.slices.inventory()
    }
}
