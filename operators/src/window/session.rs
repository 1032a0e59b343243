//! Session windows (rules W4, W5): records of a key that follow each other within a gap.

use std::sync::Arc;

use millstream_engine::data::{Data, Key, Keyed, Timestamp};
use millstream_engine::error::Result;
use millstream_engine::graph::operator::{
    AnyOutput, EMIT_MAX, Flow, Operator, OperatorContext, OperatorSetup, Output, Records,
};
use millstream_engine::state::table::{Fate, LOOK_AHEAD, SliceId, StateTable, Table};
use serde::{Deserialize, Serialize};

use crate::accumulator::Accumulator;
use crate::window::result::{Change, Late, Pane, SessionWindow, Timing, WindowInput, Windowed};
use crate::window::timers::{Origin, Timer, Timers};

/// The tables of [`Sessions`], with the version of their values.
pub(crate) const TABLES: [(&str, u8); 2] = [("sessions", 2), ("timers", 2)];

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

/// Where records lie that follow each other within the gap.
#[derive(Clone, Copy)]
struct Stretch {
    start: Timestamp,
    last: Timestamp,
    /// The last instant at which another one still belongs to them.
    reach: Timestamp,
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
}

const NOWHERE: Stretch = Stretch {
    start: 0,
    last: 0,
    reach: 0,
};

/// The live sessions of a key, which do not touch each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Live<S> {
    /// Nearly every key has one session at a time.
    first: Session<S>,
    #[expect(
        clippy::box_collection,
        reason = "a word where there is no other session"
    )]
    others: Option<Box<Vec<Session<S>>>>,
    /// The time that a timer is set for; others that were set have lost their meaning.
    armed: Timestamp,
}

impl<S> Live<S> {
    fn begun(at: Stretch, state: S) -> Self {
        Live {
            first: Session::begun(at, state),
            others: None,
            armed: Timestamp::MAX,
        }
    }

    /// The session that a record goes into, if that is the only one and has not come out: it
    /// grows, and nothing else is to be done. A timer that is set is found too early then.
    /// The record alone reaches beyond the watermark.
    #[inline]
    fn grow(&mut self, at: Stretch) -> Option<&mut S> {
        let only = &mut self.first;
        let near = at.start <= only.reach && only.start <= at.reach;
        if !near || only.emitted.is_some() || self.others.is_some() {
            return None;
        }
        only.start = only.start.min(at.start);
        only.last = only.last.max(at.last);
        only.reach = only.reach.max(at.reach);
        Some(&mut only.state)
    }

    fn all(&self) -> impl Iterator<Item = &Session<S>> {
        std::iter::once(&self.first).chain(self.others.iter().flat_map(|others| others.iter()))
    }

    /// Takes the sessions out; `instead` stands there until [`put`](Live::put).
    fn take(&mut self, instead: S) -> Vec<Session<S>> {
        let first = std::mem::replace(&mut self.first, Session::begun(NOWHERE, instead));
        let mut all = vec![first];
        all.extend(self.others.take().into_iter().flat_map(|others| *others));
        all
    }

    /// Puts sessions back. False if there are none.
    fn put(&mut self, mut sessions: Vec<Session<S>>) -> bool {
        let Some(first) = sessions.pop() else {
            return false;
        };
        self.first = first;
        self.others = (!sessions.is_empty()).then(|| Box::new(sessions));
        true
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session<S> {
    start: Timestamp,
    last: Timestamp,
    /// The last instant at which a record still belongs to it.
    reach: Timestamp,
    state: S,
    /// The timing of its latest pane, unless that was taken back.
    emitted: Option<Timing>,
    /// How many panes it has had, those taken back included.
    panes: u32,
}

/// What a timer finds of its key.
enum Found<R> {
    /// Its timer is another one.
    Armed(Timestamp),
    /// One session that has grown since: its timer is now this.
    Grown(Timestamp),
    /// One session that is over, with the number of its pane and its value: it is forgotten.
    Ended(SessionWindow, u32, R),
    /// Several sessions, or one that may still grow.
    Several,
}

impl<S> Session<S> {
    fn begun(at: Stretch, state: S) -> Self {
        Session {
            start: at.start,
            last: at.last,
            reach: at.reach,
            state,
            emitted: None,
            panes: 0,
        }
    }

    fn window(&self) -> SessionWindow {
        SessionWindow {
            start: self.start,
            last: self.last,
            end: self.reach + 1,
        }
    }

    /// When something is to be done about it: it fires, then it is forgotten.
    fn due(&self, lateness: i64) -> Timestamp {
        match self.emitted {
            None => self.reach,
            Some(_) => self.reach + lateness,
        }
    }
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
            timers: Timers::new(timers, gap.saturating_add(lateness)),
            results: setup.output(0)?,
            late: setup.output(1)?,
            processed: 0,
            late_count: 0,
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
        let near = |s: &Session<A::State>| time <= s.reach && s.start <= reach;
        if finalised {
            let known = self.sessions.get(self.slice, hash, &key)?;
            if !known.is_some_and(|live| live.all().any(near)) {
                self.refuse(key, time, input);
                return Ok(());
            }
        }
        self.processed += u64::from(input.records);
        let accumulator = &*self.accumulator;
        let mut begun = false;
        let live = self.sessions.upsert(self.slice, hash, &key, || {
            begun = true;
            Live::begun(at, accumulator.init())
        })?;
        let mut sessions = live.take(accumulator.init());
        if begun {
            sessions.clear();
        }
        let touched: Vec<_> = sessions.extract_if(.., |s| near(s)).collect();
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
        if due < live.armed {
            live.armed = due;
            self.timers.set(due, hash, key)?;
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

    /// A timer has come: fires and forgets what is due of a key, and sets the next timer.
    fn handle(&mut self, timer: Timer<K>, watermark: Timestamp) -> Result<()> {
        let (lateness, hash, accumulator) = (self.lateness, timer.hash, &*self.accumulator);
        let found = self.sessions.alter(self.slice, hash, &timer.key, |live| {
            let only = &live.first;
            if live.armed != timer.time {
                (Fate::Stays, Found::Armed(live.armed))
            } else if live.others.is_some() || only.emitted.is_some() {
                (Fate::Stays, Found::Several)
            } else if only.reach > watermark {
                live.armed = only.reach;
                (Fate::Stays, Found::Grown(live.armed))
            } else if lateness > 0 {
                (Fate::Stays, Found::Several)
            } else {
                let value = accumulator.finish(&only.state);
                (Fate::Goes, Found::Ended(only.window(), only.panes, value))
            }
        })?;
        match found {
            None => {}
            Some(Found::Armed(_)) if timer.origin != Origin::ReadBack => {}
            Some(Found::Armed(due) | Found::Grown(due)) => self.timers.set(due, hash, timer.key)?,
            Some(Found::Several) => self.fire(timer, watermark)?,
            Some(Found::Ended(window, number, value)) => {
                let result = Windowed {
                    key: timer.key,
                    window,
                    pane: Pane {
                        timing: Timing::OnTime,
                        number,
                    },
                    change: Change::Insert,
                    value,
                };
                self.results.emit(window.end - 1, result);
            }
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer<K>, watermark: Timestamp) -> Result<()> {
        let Timer { hash, key, .. } = timer;
        let (slice, lateness) = (self.slice, self.lateness);
        let Some(live) = self.sessions.get_mut(slice, hash, &key)? else {
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
        let next = sessions.iter().map(|s| s.due(lateness)).min();
        live.armed = next.unwrap_or(Timestamp::MAX);
        live.put(sessions);
        match next {
            Some(due) => self.timers.set(due, hash, key),
            None => self.sessions.remove(slice, hash, &key).map(|_| ()),
        }
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
        let mut looked_at = 0;
        let mut next = records.next();
        while let Some(record) = next.take() {
            let left = records.ahead(usize::MAX).len();
            if looked_at == 0 || left + LOOK_AHEAD <= looked_at {
                looked_at = left.max(1);
                let ahead = records.ahead(LOOK_AHEAD).iter().map(|next| next.hash);
                self.sessions.look_ahead(self.slice, ahead);
            }
            let (at, hash) = (Stretch::of(&record), record.hash);
            if at.reach <= watermark {
                self.take(record, watermark)?;
                next = records.next();
                continue;
            }
            let accumulator = &*self.accumulator;
            let mut begun = false;
            let live = self.sessions.upsert(self.slice, hash, &record.key, || {
                begun = true;
                Live::begun(at, accumulator.init())
            })?;
            let Some(state) = live.grow(at) else {
                self.take(record, watermark)?;
                next = records.next();
                continue;
            };
            let Keyed { key, payload, .. } = record;
            self.processed += u64::from(payload.input.records);
            accumulator.add(state, payload.input.input);
            // Records of one key often follow each other.
            next = records.next();
            while let Some(same) = next.take_if(|next| {
                next.hash == hash && next.key == key && Stretch::of(next).reach > watermark
            }) {
                let Some(state) = live.grow(Stretch::of(&same)) else {
                    next = Some(same);
                    break;
                };
                self.processed += u64::from(same.payload.input.records);
                accumulator.add(state, same.payload.input.input);
                next = records.next();
            }
            if begun {
                live.armed = live.first.reach;
                let due = live.armed;
                self.timers.set(due, hash, key)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, cx: &OperatorContext) -> Result<Flow> {
        let pause_at = self.results.emitted() + EMIT_MAX as u64;
        let mut taken = 0;
        while let Some(timer) = self.timers.take_due(cx.watermark)? {
            if taken % LOOK_AHEAD == 0 {
                let ahead = self.timers.ahead(cx.watermark, LOOK_AHEAD);
                self.sessions.look_ahead(self.slice, ahead);
            }
            taken += 1;
            self.handle(timer, cx.watermark)?;
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
        visit(&mut self.sessions);
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
}
