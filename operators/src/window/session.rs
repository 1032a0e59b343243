//! Session windows (rules W4, W5): records of a key that follow each other within a gap.

use std::sync::Arc;

use millstream_engine::data::{Data, Key, Keyed, Timestamp};
use millstream_engine::error::Result;
use millstream_engine::graph::operator::{
    AnyOutput, EMIT_MAX, Flow, Operator, OperatorContext, OperatorSetup, Output, Records,
};
use millstream_engine::state::table::{LOOK_AHEAD, NO_ROW, RowNumber, SliceId, StateTable, Table};

use crate::accumulator::Accumulator;
use crate::window::live::{Live, Session, Stretch};
use crate::window::result::{Change, Late, Pane, SessionWindow, Timing, WindowInput, Windowed};
use crate::window::timed_rows::{Rows, TimedRows};
use crate::window::timers::{Deadline, Timers};

/// The tables of [`Sessions`], with the version of their values.
pub(crate) const TABLES: [(&str, u8); 2] = [("sessions", 3), ("timers", 2)];

/// A record on its way to its session, or several that follow each other within the gap.
/// The message has the time of the first one.
#[derive(Clone, Debug)]
pub(super) struct SessionInput<I, T> {
    pub(super) input: WindowInput<I, T>,
    /// How far behind the first one the last one is.
    pub(super) span: i64,
    /// How long the last one waits for another.
    pub(super) gap: i64,
}

impl Stretch {
    #[inline]
    fn of<K, I, T>(record: &Keyed<K, SessionInput<I, T>>) -> Self {
        let last = record.time + record.payload.span;
        Stretch {
            start: record.time,
            last,
            reach: last + record.payload.gap,
        }
    }
}

/// The operator behind session windows.
pub(super) struct Sessions<K: Key, T: Data, A: Accumulator<T>> {
    lateness: i64,
    accumulator: Arc<A>,
    /// Key -> its live sessions.
    sessions: Table<K, Live<A::State>>,
    /// The one namespace of that.
    slice: SliceId,
    timers: Timers<K>,
    results: Output<Windowed<K, SessionWindow, A::Output>>,
    late: Output<Late<K, T>>,
    processed: u64,
    late_count: u64,
    guesses: Guesses,
}

/// Which rows the next records of a batch are likely to be of.
struct Guesses {
    rows: [RowNumber; LOOK_AHEAD],
    /// How many records of the batch were to come, with the first of these.
    from: usize,
}

impl<K, T, A> Sessions<K, T, A>
where
    K: Key,
    T: Data,
    A: Accumulator<T>,
{
    /// The operator as the checkpoint left it. `gap` is about how long gaps are.
    ///
    /// # Errors
    /// When the plan does not fit.
    pub(super) fn open(
        setup: &mut OperatorSetup<'_>,
        gap: i64,
        lateness: i64,
        accumulator: Arc<A>,
    ) -> Result<Self> {
        let [(sessions, v1), (timers, v2)] = TABLES;
        let mut sessions = setup.table(sessions, v1);
        let slice = sessions.slice(0);
        let timers = (setup.tables)(timers, v2);
        Ok(Sessions {
            lateness,
            accumulator,
            sessions,
            slice,
            timers: Timers::new(timers, gap.saturating_add(lateness), lateness),
            results: setup.output(0)?,
            late: setup.output(1)?,
            processed: 0,
            late_count: 0,
            guesses: Guesses {
                rows: [NO_ROW; LOOK_AHEAD],
                from: 0,
            },
        })
    }

    /// Takes a record that may do more than let a session grow.
    #[cold]
    fn take(
        &mut self,
        record: Keyed<K, SessionInput<A::Input, T>>,
        watermark: Timestamp,
    ) -> Result<()> {
        let at = Stretch::of(&record);
        let Keyed {
            time,
            hash,
            key,
            payload: SessionInput { input, .. },
            ..
        } = record;
        let reach = at.reach;
        // F2: refused if no live session is near and its own would be finalised already.
        let finalised = reach + self.lateness <= watermark;
        let near = |s: &mut Session<A::State>| time <= s.reach && s.start <= reach;
        if finalised {
            let known = self.sessions.get(self.slice, hash, &key)?;
            if !known.is_some_and(|live| live.touches(at)) {
                self.refuse(key, time, input);
                return Ok(());
            }
        }
        self.processed += u64::from(input.records);
        let accumulator = &*self.accumulator;
        let mut begun = false;
        let (row, live) = self
            .sessions
            .upsert_row(self.slice, NO_ROW, hash, &key, || {
                begun = true;
                Live::begun(at, accumulator.init())
            })?;
        let mut due_before = live.due(self.lateness);
        let mut sessions = live.take(accumulator.init());
        if begun {
            sessions.clear();
            due_before = Timestamp::MAX;
        }
        let touched: Vec<_> = sessions.extract_if(.., near).collect();
        let mut grown = Session::begun(at, accumulator.init());
        accumulator.add(&mut grown.state, input.input);
        let mut retracted = Vec::new();
        for old in touched {
            let unchanged = old.start <= time && at.last <= old.last && reach <= old.reach;
            if let Some(timing) = old.emitted {
                if unchanged {
                    grown.emitted = Some(timing);
                } else {
                    retracted.push(emitted(accumulator, &key, &old, timing, Change::Retract));
                }
            }
            grown.start = grown.start.min(old.start);
            grown.last = grown.last.max(old.last);
            grown.reach = grown.reach.max(old.reach);
            grown.panes = grown.panes.max(old.panes);
            let added = std::mem::replace(&mut grown.state, old.state);
            accumulator.merge(&mut grown.state, &added);
        }
        retracted.sort_by_key(|r| (r.window.end, r.window.start));
        for result in retracted {
            self.results.emit(result.window.end - 1, result);
        }
        if grown.reach <= watermark {
            // F4: its time has come already, so it fires at once.
            grown.panes += 1;
            grown.emitted = Some(Timing::Late);
            let result = emitted(accumulator, &key, &grown, Timing::Late, Change::Insert);
            self.results.emit(result.window.end - 1, result);
        }
        let due = grown.due(self.lateness);
        sessions.push(grown);
        live.put(sessions);
        if due < due_before {
            live.arm(due);
            self.timers.set(due, row);
        }
        Ok(())
    }

    fn refuse(&mut self, key: K, time: Timestamp, input: WindowInput<A::Input, T>) {
        self.late_count += u64::from(input.records);
        if let Some(whole) = input.whole {
            let record = *whole;
            self.late.emit(time, Late { key, time, record });
        }
    }

    /// The time of a row has come: fires and forgets what is due of its key.
    fn handle(&mut self, row: RowNumber, watermark: Timestamp) -> Result<()> {
        let Some(found) = self.sessions.row(self.slice, row) else {
            return Ok(());
        };
        let Some((window, number, state)) = found.value.only().filter(|_| self.lateness == 0)
        else {
            return self.fire(row, watermark);
        };
        let result = Windowed {
            key: found.key.clone(),
            window,
            pane: Pane {
                timing: Timing::OnTime,
                number,
            },
            change: Change::Insert,
            value: self.accumulator.finish(state),
        };
        self.results.emit(window.end - 1, result);
        self.sessions.remove_row(self.slice, row)
    }

    fn fire(&mut self, row: RowNumber, watermark: Timestamp) -> Result<()> {
        let (slice, lateness) = (self.slice, self.lateness);
        let key = self.sessions.row(slice, row).map(|row| row.key.clone());
        let (Some(key), Some(live)) = (key, self.sessions.change_row(slice, row)?) else {
            return Ok(());
        };
        let mut sessions = live.take(self.accumulator.init());
        sessions.sort_by_key(|s| (s.reach, s.start));
        for session in &mut sessions {
            if session.emitted.is_none() && session.reach <= watermark {
                session.panes += 1;
                session.emitted = Some(Timing::OnTime);
                let (accumulator, timing) = (&*self.accumulator, Timing::OnTime);
                let result = emitted(accumulator, &key, session, timing, Change::Insert);
                self.results.emit(result.window.end - 1, result);
            }
        }
        sessions.retain(|s| s.reach + lateness > watermark);
        if sessions.is_empty() {
            return self.sessions.remove_row(slice, row);
        }
        live.put(sessions);
        let due = live.due(lateness);
        live.arm(due);
        self.timers.set(due, row);
        Ok(())
    }

    /// Sets the timer of a row that was just begun.
    fn set_timer(&mut self, row: RowNumber) {
        if let Some(live) = self.sessions.note(self.slice, row) {
            let due = live.due(self.lateness);
            live.arm(due);
            self.timers.set(due, row);
        }
    }

    /// The row that the first of the records to come is likely to be of. Rows are looked for
    /// together, beyond the next watermark too: memory then answers for several at a time.
    #[inline]
    fn guess(&mut self, rest: &[Keyed<K, SessionInput<A::Input, T>>]) -> RowNumber {
        let place = self.guesses.from.wrapping_sub(rest.len());
        match self.guesses.rows.get(place) {
            Some(&row) => row,
            None => self.guess_on(rest),
        }
    }

    #[inline(never)]
    fn guess_on(&mut self, rest: &[Keyed<K, SessionInput<A::Input, T>>]) -> RowNumber {
        self.guesses.from = rest.len();
        let hashes = rest.iter().map(|record| record.hash);
        self.sessions
            .guess_rows(self.slice, hashes, &mut self.guesses.rows, Live::look);
        let [first, ..] = self.guesses.rows;
        first
    }
}

fn emitted<K: Key, T, A: Accumulator<T>>(
    accumulator: &A,
    key: &K,
    session: &Session<A::State>,
    timing: Timing,
    change: Change,
) -> Windowed<K, SessionWindow, A::Output> {
    Windowed {
        key: key.clone(),
        window: session.window(),
        pane: Pane {
            timing,
            number: session.panes.saturating_sub(1),
        },
        change,
        value: accumulator.finish(&session.state),
    }
}

impl<K, T, A> Operator for Sessions<K, T, A>
where
    K: Key,
    T: Data,
    A: Accumulator<T>,
{
    type In = Keyed<K, SessionInput<A::Input, T>>;

    fn on_records(
        &mut self,
        mut records: Records<'_, Self::In>,
        cx: &OperatorContext,
    ) -> Result<()> {
        let watermark = cx.watermark;
        let large = self.sessions.is_large(self.slice);
        // Records of one key often follow each other.
        let mut guess = NO_ROW;
        while let Some(record) = records.peek() {
            let (at, hash) = (Stretch::of(record), record.hash);
            if large {
                guess = self.guess(records.rest());
            }
            if at.reach > watermark {
                let mut begun = false;
                let accumulator = &*self.accumulator;
                let (row, live) =
                    self.sessions
                        .upsert_row(self.slice, guess, hash, &record.key, || {
                            begun = true;
                            Live::begun(at, accumulator.init())
                        })?;
                guess = row;
                let grown = live.grow(at);
                let done = grown.is_some();
                // Taken only here: a record is not copied to be looked at.
                if let Some(state) = grown
                    && let Some(record) = records.next()
                {
                    let input = record.payload.input;
                    self.processed += u64::from(input.records);
                    accumulator.add(state, input.input);
                }
                if begun {
                    self.set_timer(row);
                }
                if done {
                    continue;
                }
            }
            if let Some(record) = records.next() {
                self.take(record, watermark)?;
            }
        }
        let (table, slice) = (&mut self.sessions, self.slice);
        self.timers.store_many(&Rows { table, slice })
    }

    fn on_watermark(&mut self, cx: &OperatorContext) -> Result<Flow> {
        let pause_at = self.results.emitted() + EMIT_MAX as u64;
        loop {
            let (table, slice) = (&mut self.sessions, self.slice);
            let rows = &mut Rows { table, slice };
            let Some(row) = self.timers.take_due(rows, cx.watermark)? else {
                break;
            };
            self.handle(row, cx.watermark)?;
            if self.results.emitted() >= pause_at {
                return Ok(Flow::Again);
            }
        }
        self.timers.drop_past(cx.watermark)?;
        Ok(Flow::Done)
    }

    fn due(&self) -> Timestamp {
        self.timers.due()
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        let (table, slice) = (&mut self.sessions, self.slice);
        visit(&mut TimedRows {
            rows: Rows { table, slice },
            timers: &mut self.timers,
        });
        visit(&mut self.timers);
    }

    fn outputs(&mut self, visit: &mut dyn FnMut(&mut dyn AnyOutput)) {
        visit(&mut self.results);
        visit(&mut self.late);
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        // A late record is refused by the one session that it would have begun.
        vec![
            ("processed", self.processed),
            ("late", self.late_count),
            ("refused", self.late_count),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::{Count, count};
    use millstream_engine::state::key_group::stable_hash;
    use millstream_engine::testing::{Emitted, OperatorHarness};

    type Harness = OperatorHarness<Sessions<u32, u32, Count>>;
    type Results = Emitted<Windowed<u32, SessionWindow, u64>>;

    fn sessions(gap: i64, lateness: i64) -> (Harness, Results) {
        let results = Results::default();
        let harness = OperatorHarness::new(vec![Some(results.outlet()), None], |setup| {
            Sessions::open(setup, gap, lateness, Arc::new(count()))
        });
        (harness.unwrap(), results)
    }

    fn at(time: Timestamp, gap: i64) -> Keyed<u32, SessionInput<u32, u32>> {
        let input = WindowInput {
            input: 1,
            records: 1,
            whole: None,
        };
        Keyed {
            time,
            hash: stable_hash(&1u32),
            at: 0,
            key: 1,
            payload: SessionInput {
                input,
                span: 0,
                gap,
            },
        }
    }

    fn bounds(results: &Results) -> Vec<(Timestamp, Timestamp, u64)> {
        let results = results.take().into_iter();
        results
            .map(|(_, r)| (r.window.start, r.window.last, r.value))
            .collect()
    }

    #[test]
    fn w4_fires_at_end_minus_one() {
        let (mut harness, results) = sessions(10, 0);
        harness.records(vec![at(0, 10), at(10, 10)]).unwrap();
        harness.watermark(19).unwrap();
        assert_eq!(bounds(&results), []);
        harness.watermark(20).unwrap();
        assert_eq!(bounds(&results), [(0, 10, 2)]);
    }

    #[test]
    fn a_timer_that_has_lost_its_meaning_takes_no_other_with_it() {
        let (mut harness, results) = sessions(640, 0);
        // Due at 1640; then an earlier session, due at 640; then the first one grows, in the
        // bucket of its old timer.
        harness
            .records(vec![at(1000, 640), at(0, 640), at(1001, 640)])
            .unwrap();
        harness.watermark(640).unwrap();
        assert_eq!(bounds(&results), [(0, 0, 1)]);
        harness.watermark(1640).unwrap();
        assert_eq!(bounds(&results), []);
        harness.watermark(1641).unwrap();
        assert_eq!(bounds(&results), [(1000, 1001, 2)]);
    }

    #[test]
    fn w4_sessions_of_months_fire_as_any_other() {
        let day = 86_400_000;
        let gap = 60 * day;
        let (mut harness, results) = sessions(gap, 0);
        harness
            .records(vec![at(0, gap), at(day, gap), at(62 * day, gap)])
            .unwrap();
        harness.watermark(61 * day).unwrap();
        assert_eq!(bounds(&results), [(0, day, 2)]);
        harness.watermark(122 * day).unwrap();
        assert_eq!(bounds(&results), [(62 * day, 62 * day, 1)]);
    }

    #[test]
    fn w4_a_place_that_another_key_has_taken_keeps_its_own_timer() {
        let (mut harness, results) = sessions(640, 0);
        let of = |key, time| Keyed {
            key,
            hash: stable_hash(&key),
            ..at(time, 640)
        };
        // The timer at 1640 loses its meaning; key 2 takes the row, and is due later.
        harness.records(vec![of(1, 1000), of(1, 0)]).unwrap();
        harness.watermark(640).unwrap();
        assert_eq!(bounds(&results), [(0, 0, 1)]);
        harness.records(vec![of(1, 1100), of(2, 1001)]).unwrap();
        harness.watermark(1641).unwrap();
        assert_eq!(bounds(&results), [(1001, 1001, 1)]);
        harness.watermark(1740).unwrap();
        assert_eq!(bounds(&results), [(1000, 1100, 2)]);
        harness.records(vec![of(3, 1800), of(1, 1900)]).unwrap();
        harness.watermark(5000).unwrap();
        assert_eq!(bounds(&results), [(1800, 1800, 1), (1900, 1900, 1)]);
    }
}
