//! Random input for the model and for what is held against it: small numbers and few keys, so that
//! a shrunk case can be worked out by hand.
//!
//! Three families, by what may be compared (rule F7):
//! - [`one_split`]: records may be late. There is one order of arrival, so everything is comparable:
//!   results with panes and numbers, the late output, the counters.
//! - [`any_interleaving`]: one to three splits, none idle, and a bound that makes nothing late
//!   however the splits interleave. Results are comparable without replaying the order across
//!   splits. Not for what goes by arrival (count windows, running aggregates).
//! - [`recorded_interleaving`]: one to three splits that may go idle, and records may be late; only
//!   a replay of exactly this order of arrival is comparable.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Gap, Step, Trace, Windows};

/// What a family allows to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interleaving {
    /// There is only one.
    OneSplit,
    /// The results do not depend on it.
    Any,
    /// The order of the trace has to be replayed.
    Recorded,
}

/// An operator and its input.
#[derive(Clone, Debug)]
pub struct Case {
    /// The input.
    pub trace: Trace,
    /// What the operator gathers records into.
    pub windows: Windows,
    /// Allowed lateness in ms.
    pub lateness: i64,
    /// Which orders of arrival give the same results.
    pub interleaving: Interleaving,
}

/// Tumbling windows of 1 to 20 ms, with and without an offset.
pub fn tumbling() -> impl Strategy<Value = Windows> + Clone {
    (1..=20_i64, offset()).prop_map(|(size, offset)| Windows::Tumbling { size, offset })
}

/// Sliding windows of 1 to 20 ms; the slide divides the size, does not, or exceeds it.
pub fn sliding() -> impl Strategy<Value = Windows> + Clone {
    (1..=20_i64, 1..=25_i64, offset()).prop_map(|(size, slide, offset)| Windows::Sliding {
        size,
        slide,
        offset,
    })
}

/// Sessions with one gap of 0 to 8 ms, or with a gap per record of up to 12 ms.
pub fn sessions() -> impl Strategy<Value = Windows> + Clone {
    prop_oneof![
        3 => (0..=8_i64).prop_map(Gap::Fixed),
        1 => (0..=4_i64, 1..=9_i64).prop_map(|(base, modulo)| Gap::ByValue { base, modulo }),
    ]
    .prop_map(|gap| Windows::Sessions { gap })
}

/// Tumbling and sliding count windows of 1 to 5 records.
pub fn counts() -> impl Strategy<Value = Windows> + Clone {
    prop_oneof![
        (1..=5_u64, any::<bool>()).prop_map(|(n, partial)| Windows::CountTumbling { n, partial }),
        (1..=5_u64, 1..=6_u64, any::<bool>())
            .prop_map(|(n, every, partial)| { Windows::CountSliding { n, every, partial } }),
    ]
}

/// All windows in event time.
pub fn time_windows() -> impl Strategy<Value = Windows> + Clone {
    prop_oneof![tumbling(), sliding(), sessions()]
}

/// Everything the model knows.
pub fn any_windows() -> impl Strategy<Value = Windows> + Clone {
    prop_oneof![4 => time_windows(), 1 => counts(), 1 => Just(Windows::Running)]
}

/// One split, 0 to 60 steps; records beyond the bound and beyond the lateness occur.
pub fn one_split(windows: impl Strategy<Value = Windows>) -> impl Strategy<Value = Case> {
    parts(windows, 1, false).prop_map(|parts| Case {
        trace: Trace {
            splits: 1,
            bound: parts.bound,
            steps: parts.steps(),
        },
        windows: parts.windows,
        lateness: parts.lateness,
        interleaving: Interleaving::OneSplit,
    })
}

/// One to three splits that nothing is late in, whichever comes first.
pub fn any_interleaving(windows: impl Strategy<Value = Windows>) -> impl Strategy<Value = Case> {
    parts(windows, 3, false).prop_map(|parts| {
        let steps = parts.steps();
        Case {
            trace: Trace {
                splits: parts.splits,
                bound: disorder_within_splits(&steps) + parts.bound % 3,
                steps,
            },
            windows: parts.windows,
            lateness: parts.lateness,
            interleaving: Interleaving::Any,
        }
    })
}

/// One to three splits that go idle and come back; records may be late.
pub fn recorded_interleaving(
    windows: impl Strategy<Value = Windows>,
) -> impl Strategy<Value = Case> {
    parts(windows, 3, true).prop_map(|parts| Case {
        trace: Trace {
            splits: parts.splits,
            bound: parts.bound,
            steps: parts.steps(),
        },
        windows: parts.windows,
        lateness: parts.lateness,
        interleaving: Interleaving::Recorded,
    })
}

/// How far a record lies behind the highest time that its own split had before it, at most: the
/// smallest bound that makes nothing late while no split is idle.
pub fn disorder_within_splits(steps: &[Step]) -> i64 {
    let mut highest: BTreeMap<u32, i64> = BTreeMap::new();
    let mut disorder = 0;
    for step in steps {
        if let Step::Record { split, time, .. } = *step {
            let highest = highest.entry(split).or_insert(time);
            *highest = time.max(*highest);
            disorder = disorder.max(*highest - time);
        }
    }
    disorder
}

/// What the strategies draw; a trace is built from it in one pass, so that a case shrinks by
/// leaving moves out and making numbers smaller.
#[derive(Clone, Debug)]
struct Parts {
    windows: Windows,
    splits: u32,
    bound: i64,
    lateness: i64,
    origin: i64,
    moves: Vec<Move>,
}

#[derive(Clone, Debug)]
struct Move {
    split: u32,
    key: u32,
    value: i64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The clock goes on, and a record comes this far behind it.
    Tick { advance: i64, behind: i64 },
    /// A record at an edge, plus `off`: a bound of a window around the clock, or for sessions the
    /// clock plus or minus the gap.
    Edge { off: i64, before: bool },
    /// Two records a little more than the gap apart, then one of another key that closes both,
    /// then one between them: a merge of two emitted sessions if the lateness allows it.
    Bridge,
    /// The last record once more, all of it.
    Again,
    /// The split goes idle.
    Idle,
}

fn parts(
    windows: impl Strategy<Value = Windows>,
    splits_max: u32,
    idle: bool,
) -> impl Strategy<Value = Parts> {
    let splits = 1..=splits_max;
    let moves = proptest::collection::vec(a_move(splits_max, idle), 0..=60);
    (windows, splits, 0..=10_i64, lateness(), origin(), moves).prop_map(
        |(windows, splits, bound, lateness, origin, moves)| Parts {
            windows,
            splits,
            bound,
            lateness,
            origin,
            moves,
        },
    )
}

fn a_move(splits_max: u32, idle: bool) -> impl Strategy<Value = Move> {
    let tick = (advance(), behind()).prop_map(|(advance, behind)| What::Tick { advance, behind });
    let edge = (-1..=1_i64, any::<bool>()).prop_map(|(off, before)| What::Edge { off, before });
    let what = prop_oneof![
        12 => tick,
        4 => edge,
        1 => Just(What::Again),
        1 => Just(What::Bridge),
        u32::from(idle) => Just(What::Idle),
    ];
    (0..splits_max, key(), -20..=20_i64, what).prop_map(|(split, key, value, what)| Move {
        split,
        key,
        value,
        what,
    })
}

/// Mostly small steps, now and then one that closes everything.
fn advance() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..=4_i64, 2 => 0..=15_i64, 1 => 20..=60_i64]
}

/// In order, within most bounds, beyond bound and lateness.
fn behind() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0_i64), 4 => 0..=8_i64, 2 => 0..=40_i64]
}

/// Mostly short; now and then long enough for sessions to merge after they have been emitted.
fn lateness() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0..=12_i64, 2 => 0..=60_i64]
}

/// Key 0 has half of the records, so that it has windows with several of them.
fn key() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0_u32), 1..=2_u32]
}

/// The time of the clock at the start: around the epoch, before it, today.
fn origin() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => Just(0_i64),
        3 => -60..=60_i64,
        1 => Just(-1_000_000_i64),
        1 => Just(1_700_000_000_000_i64),
    ]
}

fn offset() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![2 => Just(0_i64), 1 => -30..=30_i64]
}

impl Parts {
    fn steps(&self) -> Vec<Step> {
        let mut clock = self.origin;
        let mut steps = Vec::new();
        let mut previous: Option<Step> = None;
        for one in &self.moves {
            let split = one.split % self.splits;
            let record = |key, time| Step::Record {
                split,
                key,
                time,
                value: one.value,
            };
            match one.what {
                What::Tick { advance, behind } => {
                    clock += advance;
                    steps.push(record(one.key, clock - behind));
                }
                What::Edge { off, before } => {
                    steps.push(record(one.key, self.edge(clock, before) + off));
                }
                What::Bridge => {
                    let gap = self.gap(one.value);
                    let (first, second) = (clock, clock + 2 * gap);
                    clock = second + gap + self.bound + 1;
                    steps.push(record(one.key, first));
                    steps.push(record(one.key, second));
                    steps.push(record(one.key + 1, clock));
                    steps.push(record(one.key, first + gap));
                }
                What::Again => steps.extend(previous),
                What::Idle => steps.push(Step::Idle { split }),
            }
            previous = steps
                .last()
                .copied()
                .filter(|step| matches!(step, Step::Record { .. }))
                .or(previous);
        }
        steps
    }

    /// The session gap of a record with this value, or something of its magnitude.
    fn gap(&self, value: i64) -> i64 {
        match self.windows {
            Windows::Sessions { gap } => gap.of(value),
            _ => 4,
        }
    }

    fn edge(&self, clock: i64, before: bool) -> i64 {
        match self.windows {
            Windows::Tumbling { size, offset } => clock - (clock - offset).rem_euclid(size),
            Windows::Sliding {
                size,
                slide,
                offset,
            } => {
                let start = clock - (clock - offset).rem_euclid(slide);
                if before { start } else { start + size }
            }
            Windows::Sessions { .. } if before => clock - self.gap(0),
            Windows::Sessions { .. } => clock + self.gap(0),
            Windows::CountTumbling { .. } | Windows::CountSliding { .. } | Windows::Running => {
                clock
            }
        }
    }
}
