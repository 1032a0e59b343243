//! The reference model: the rules of time and windows, implemented a second time.
//!
//! It is slow and obvious, and shares no code with the engine: lists that are searched from end to
//! end, ordered maps, one record at a time, one thread, one keyed operator. [`run`] takes a
//! [`Trace`] (what arrives, in which order) and says what has to come out. Rule numbers (`T1`,
//! `W4`, `F2`, ..) are those of the specification, `docs/time-and-windows.md`.
//!
//! # What the rules leave open, and what the model does
//!
//! - **O1, place of a watermark.** A record is handled under the watermark before it; then the
//!   watermark moves and everything that it makes due comes out (T4, T9).
//! - **O2, order.** What one watermark makes due comes out by window end, then window start; within
//!   one window the keys come in no stated order (here: ascending). What one record sets off at
//!   once (late panes of several sliding windows, several retractions) has the same order; all
//!   retractions come before what replaces them. So the results of one key have a fixed order
//!   ([`Outcome::per_key`]), those of all keys are compared as a multiset ([`differences`]).
//! - **O3, panes.** `OnTime` is a pane that a watermark sets off, `Late` one that a record sets off
//!   because its window is already due. The number counts the firings of one key's window from 0,
//!   whatever the pane: a key that had nothing on time starts with `Late` 0, and that window never
//!   has an `OnTime` pane.
//! - **O4, repeated firings.** A late pane of the same window holds the whole new value and is not
//!   preceded by a retraction: it replaces the earlier pane of the same key and bounds.
//! - **O5, retraction.** An emitted session is retracted when its bounds (start, last or end)
//!   change, by growth or by a merge: the result as it was (bounds, value, pane, number) comes again
//!   as `Retract`. A record that leaves the bounds of an emitted session as they are (it lies
//!   inside) follows O4. After a merge of several emitted sessions all of them are retracted.
//! - **O6, after a retraction.** A changed session with `end - 1 <= W` comes out at once as `Late`;
//!   otherwise it waits and comes as `OnTime`. Its pane number goes on: one more than the highest
//!   number that any of the merged sessions has used, 0 if none has been emitted.
//! - **O7, sessions with a gap per record.** A record at `t` with the gap `g` spans `[t, t + g]`;
//!   records belong together when their spans share an instant, directly or through others. The
//!   end is the greatest `t + g` of the session, plus 1. With one gap for all that is W4.
//! - **O8, finalised sessions.** A session is live until `W >= end - 1 + L`. A record near a session
//!   that is no longer live starts a new one if its own span allows (F2), though the new window
//!   overlaps the old.
//! - **O9, gaps between windows.** With `slide > size` a record may lie in no window. It counts as
//!   processed, and in [`Outcome::in_no_window`].
//! - **O10, count windows and running aggregates** go by arrival; no record is late for them. The
//!   window is named by what it holds: `start` the smallest and `last` the greatest event time in
//!   it, `end = last + 1`. Every count window is a window of its own (pane `OnTime` 0); a running
//!   aggregate is one window per key whose number counts the updates.
//! - **O11, sliding count windows.** Behind every `every`-th record of a key comes a result over the
//!   last `n` (fewer while there have not been so many). The partial last window, if asked for,
//!   holds those records that the next result would have held.
//! - **O12, event time of a result** is `end - 1` ([`Out::time`]).
//! - **O13, idleness** (T5): a split is idle from [`Step::Idle`] until its next record. When all
//!   are idle the watermark stays (`hold`). A split that comes back below the operator's watermark
//!   does not pull it back (T3). A split that has not yet had a record holds everything back.
//! - **O14, edges of `i64`.** Bounds are computed exactly and then cut to `i64`; `end - 1`,
//!   `end - 1 + L` and `M - B - 1` saturate. `W = i64::MIN` means "no watermark yet": nothing is
//!   due and nothing late.
//!
//! Not in the model: the future guard (T7), calendar, cumulative and global windows (W3, W7), early
//! triggers (F5), and the policy `advance_with_clock`, as they need a zone, a trigger or a clock.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole module and uses a part of it"
)]

mod count;
mod session;
mod time_window;
pub mod traces;
mod watermark;

use std::collections::BTreeMap;
use std::fmt;

use watermark::Watermarks;

/// One thing that happens to the operator's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record arrives.
    Record {
        /// The source split it comes from, `0..splits`.
        split: u32,
        /// Its key.
        key: u32,
        /// Its event time in ms.
        time: i64,
        /// What is aggregated.
        value: i64,
    },
    /// A split goes idle, until its next record (T5).
    Idle {
        /// The split.
        split: u32,
    },
}

/// The input of one keyed operator in arrival order; behind the last step comes the end (T8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// How many source splits there are.
    pub splits: u32,
    /// The out-of-orderness bound `B` of every split in ms.
    pub bound: i64,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What the records of a key are gathered into. Times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// W1.
    Tumbling {
        /// Length, at least 1.
        size: i64,
        /// Where a window starts, modulo the size.
        offset: i64,
    },
    /// W2.
    Sliding {
        /// Length, at least 1.
        size: i64,
        /// Distance of the starts, at least 1; need not divide the size, and may exceed it.
        slide: i64,
        /// Where a window starts, modulo the slide.
        offset: i64,
    },
    /// W4, W5.
    Sessions {
        /// The greatest distance within a session.
        gap: Gap,
    },
    /// W6.
    CountTumbling {
        /// Records per window, at least 1.
        n: u64,
        /// Whether the end of the input brings out what is left over.
        partial: bool,
    },
    /// W6, O11.
    CountSliding {
        /// Records per window, at least 1.
        n: u64,
        /// A result behind every so many records, at least 1.
        every: u64,
        /// Whether the end of the input brings out what is left over.
        partial: bool,
    },
    /// An aggregate per key over everything so far; every record brings out the new value.
    Running,
}

/// A session gap in ms, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The same for all records, at least 0.
    Fixed(i64),
    /// `base + value.rem_euclid(modulo)`: depends on the record, as W4 allows.
    ByValue {
        /// The smallest gap, at least 0.
        base: i64,
        /// At least 1; the greatest gap is `base + modulo - 1`.
        modulo: i64,
    },
}

impl Gap {
    /// The gap of a record with this value.
    pub fn of(self, value: i64) -> i64 {
        match self {
            Gap::Fixed(gap) => gap,
            Gap::ByValue { base, modulo } => base + value.rem_euclid(modulo),
        }
    }
}

/// What set a result off (O3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pane {
    /// The watermark passed the end of the window.
    OnTime,
    /// A record came behind that, within the allowed lateness.
    Late,
}

/// Whether a result holds or is taken back (W5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// This is the value.
    Insert,
    /// This value, emitted earlier, is void.
    Retract,
}

/// One result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Out {
    /// The key.
    pub key: u32,
    /// First instant of the window.
    pub start: i64,
    /// First instant behind the window.
    pub end: i64,
    /// The last event of a session; for count windows and running aggregates see O10.
    pub last: Option<i64>,
    /// What set it off.
    pub pane: Pane,
    /// Which firing of this key's window it is, from 0.
    pub number: u64,
    /// Holds or taken back.
    pub kind: Kind,
    /// How many records.
    pub count: u64,
    /// Sum of their values, exact.
    pub sum: i128,
    /// Smallest value.
    pub min: i64,
    /// Greatest value.
    pub max: i64,
}

impl Out {
    /// The event time of the result (F1).
    pub fn time(&self) -> i64 {
        self.end.saturating_sub(1)
    }
}

impl fmt::Display for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            Kind::Insert => '+',
            Kind::Retract => '-',
        };
        write!(f, "{sign} key {} [{}, {})", self.key, self.start, self.end)?;
        if let Some(last) = self.last {
            write!(f, " last {last}")?;
        }
        write!(
            f,
            " {:?} {}: count {} sum {} min {} max {}",
            self.pane, self.number, self.count, self.sum, self.min, self.max
        )
    }
}

/// Everything that comes out of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The results in the order of emission (O2).
    pub outs: Vec<Out>,
    /// For each result the number of the step that brought it out; `steps.len()` is the end.
    pub emitted_at: Vec<usize>,
    /// The late side output in arrival order: key, time, value.
    pub late: Vec<(u32, i64, i64)>,
    /// How often a single window refused a record (F3).
    pub refused: u64,
    /// Records that at least one window took, or that lie in no window (O9).
    pub processed: u64,
    /// Those of them that lie in no window.
    pub in_no_window: u64,
    /// The operator's watermark behind each step, `i64::MIN` while there is none; the end brings
    /// one more, `i64::MAX`.
    pub watermarks: Vec<i64>,
}

/// What a reader of all results holds: `(key, start, end) -> (count, sum, min, max)`.
pub type Table = BTreeMap<(u32, i64, i64), (u64, i128, i64, i64)>;

impl Outcome {
    /// The results of each key in the order of their emission.
    pub fn per_key(&self) -> BTreeMap<u32, Vec<Out>> {
        let mut keys: BTreeMap<u32, Vec<Out>> = BTreeMap::new();
        for out in &self.outs {
            keys.entry(out.key).or_default().push(*out);
        }
        keys
    }

    /// What a reader who keeps the last value per key and bounds holds in the end. For windows in
    /// event time; count windows may share their bounds.
    pub fn table(&self) -> Table {
        table(&self.outs)
    }

    fn emit(&mut self, out: Out) {
        self.outs.push(out);
        self.emitted_at.push(self.watermarks.len());
    }

    fn refuse(&mut self, record: Record) {
        self.late.push((record.key, record.time, record.value));
    }
}

/// See [`Outcome::table`]; panics when a retraction does not name what is held.
pub fn table(outs: &[Out]) -> Table {
    let mut held = Table::new();
    for out in outs {
        let window = (out.key, out.start, out.end);
        let value = (out.count, out.sum, out.min, out.max);
        match out.kind {
            Kind::Insert => {
                held.insert(window, value);
            }
            Kind::Retract => {
                assert_eq!(held.remove(&window), Some(value), "not held: {out}");
            }
        }
    }
    held
}

/// Compares two sets of results as multisets. Empty when they are equal; otherwise one line for
/// each result that is `missing` from the observed ones or `unexpected` among them.
pub fn differences(expected: &[Out], observed: &[Out]) -> Vec<String> {
    let mut surplus: BTreeMap<Out, i64> = BTreeMap::new();
    for out in observed {
        *surplus.entry(*out).or_default() += 1;
    }
    for out in expected {
        *surplus.entry(*out).or_default() -= 1;
    }
    surplus
        .into_iter()
        .filter(|(_, times)| *times != 0)
        .map(|(out, times)| {
            let verdict = if times < 0 { "missing" } else { "unexpected" };
            format!("{verdict} {} x {out}", times.abs())
        })
        .collect()
}

/// A record as an operator sees it.
#[derive(Clone, Copy, Debug)]
struct Record {
    key: u32,
    time: i64,
    value: i64,
}

/// What a window holds: enough to notice a record that is lost, doubled or in the wrong place.
#[derive(Clone, Copy, Debug)]
struct Value {
    count: u64,
    sum: i128,
    min: i64,
    max: i64,
}

impl Value {
    fn of(value: i64) -> Value {
        Value {
            count: 1,
            sum: i128::from(value),
            min: value,
            max: value,
        }
    }

    fn merge(&mut self, other: Value) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// A keyed operator of the model.
trait Operator {
    /// Takes a record under the watermark before it (O1).
    fn record(&mut self, record: Record, watermark: i64, outcome: &mut Outcome);
    /// Brings out what the watermark makes due, then frees what nothing can change any more.
    fn advance(&mut self, watermark: i64, outcome: &mut Outcome);
    /// Called once, behind the watermark `i64::MAX`.
    fn finish(&mut self, outcome: &mut Outcome);
}

/// Runs a trace through one keyed operator with the allowed lateness `L` in ms. Panics on windows
/// that make no sense (a size of 0, a negative gap or lateness).
pub fn run(trace: &Trace, windows: Windows, lateness: i64) -> Outcome {
    assert!(lateness >= 0, "negative lateness {lateness}");
    let mut operator = operator(windows, lateness);
    let mut watermarks = Watermarks::new(trace.splits, trace.bound);
    let mut outcome = Outcome::default();
    for step in &trace.steps {
        match *step {
            Step::Record {
                split,
                key,
                time,
                value,
            } => {
                let record = Record { key, time, value };
                operator.record(record, watermarks.now(), &mut outcome);
                watermarks.record(split, time);
            }
            Step::Idle { split } => watermarks.idle(split),
        }
        operator.advance(watermarks.now(), &mut outcome);
        outcome.watermarks.push(watermarks.now());
    }
    operator.advance(i64::MAX, &mut outcome);
    operator.finish(&mut outcome);
    outcome.watermarks.push(i64::MAX);
    outcome
}

fn operator(windows: Windows, lateness: i64) -> Box<dyn Operator> {
    match windows {
        Windows::Tumbling { size, offset } => {
            Box::new(time_window::TimeWindows::new(size, size, offset, lateness))
        }
        Windows::Sliding {
            size,
            slide,
            offset,
        } => Box::new(time_window::TimeWindows::new(size, slide, offset, lateness)),
        Windows::Sessions { gap } => Box::new(session::Sessions::new(gap, lateness)),
        Windows::CountTumbling { n, partial } => Box::new(count::Counts::new(n, n, partial)),
        Windows::CountSliding { n, every, partial } => {
            Box::new(count::Counts::new(n, every, partial))
        }
        Windows::Running => Box::new(count::Running::default()),
    }
}

/// Whether the watermark has come to an instant; `i64::MIN` has come to none (O14).
fn reached(watermark: i64, instant: i64) -> bool {
    watermark != i64::MIN && watermark >= instant
}

/// Cuts an exact instant to the range of event time (O14).
fn clamp(instant: i128) -> i64 {
    instant.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
