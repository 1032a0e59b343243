//! Runs a case of the model through a job, and compares.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::engine::data::{Key, Timestamp};
use millstream::memory::{Item, MemorySink, MemorySource};
use millstream::prelude::*;
use millstream::window::{
    CountWindow, Late, SessionWindow, TimeWindow, WindowOut, WindowSpec, Windowed,
};
use millstream::{ErrorKind, Outcome};
use proptest::prelude::*;

use crate::model::traces::{Case, Interleaving};
use crate::model::{self, Gap, Kind, Out, Pane, Step, Trace, Windows, differences};

/// The id of the operator that is looked at.
pub(crate) const OPERATOR: &str = "windows";

/// A record of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rec {
    pub(crate) key: u32,
    pub(crate) time: i64,
    pub(crate) value: i64,
}

/// How a job is run.
#[derive(Clone, Debug)]
pub(crate) struct How {
    /// Workers of the first run, the second, and so on, from the start again after the last.
    pub(crate) workers: Vec<usize>,
    /// Records per batch.
    pub(crate) batch: usize,
    /// Whether there are checkpoints, as often as can be.
    pub(crate) checkpoints: bool,
    /// Places where reading fails once: how many records of the trace come before.
    pub(crate) crashes: Vec<usize>,
    /// Rows a second, so that a short input lasts for several checkpoints.
    pub(crate) throttle: Option<u64>,
}

impl How {
    /// One run without checkpoints.
    pub(crate) fn plain(workers: usize, batch: usize) -> How {
        How {
            workers: vec![workers],
            batch,
            checkpoints: false,
            crashes: Vec::new(),
            throttle: None,
        }
    }
}

/// One run: every number of workers, batches that are cut everywhere.
pub(crate) fn one_run() -> impl Strategy<Value = How> {
    let workers = prop::sample::select(vec![1_usize, 2, 4]);
    let batch = prop::sample::select(vec![1_usize, 2, 3, 7, 1023, 1024, 1025]);
    let checkpoints = prop::bool::weighted(0.1);
    (workers, batch, checkpoints).prop_map(|(workers, batch, checkpoints)| How {
        checkpoints,
        throttle: checkpoints.then_some(20_000),
        ..How::plain(workers, batch)
    })
}

/// Up to three crashes, each followed by a run with another number of workers.
pub(crate) fn interrupted() -> impl Strategy<Value = How> {
    let workers = prop::collection::vec(1..=4_usize, 1..=4);
    let batch = prop::sample::select(vec![1_usize, 2, 5, 1024]);
    let crashes = prop::collection::vec(0..=120_usize, 1..=3);
    let throttle = prop::sample::select(vec![2_000_u64, 5_000, 20_000]);
    let checkpoints = prop::bool::weighted(0.9);
    (workers, batch, crashes, throttle, checkpoints).prop_map(
        |(workers, batch, crashes, throttle, checkpoints)| How {
            workers,
            batch,
            checkpoints,
            crashes,
            throttle: checkpoints.then_some(throttle),
        },
    )
}

/// What came out of the job.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) outs: Vec<Out>,
    pub(crate) late: Vec<(u32, i64, i64)>,
    pub(crate) counters: BTreeMap<String, u64>,
    /// Which checkpoints the runs behind the first one went on from.
    pub(crate) resumed: usize,
}

/// The records of a trace by split, with the crash markers between them.
pub(crate) fn splits(trace: &Trace, crashes: &[usize]) -> Vec<Vec<Item<Rec>>> {
    let mut splits = vec![Vec::new(); trace.splits as usize];
    let records = trace.steps.iter().filter_map(|step| match *step {
        Step::Record {
            split,
            key,
            time,
            value,
        } => Some((split as usize, Rec { key, time, value })),
        Step::Idle { .. } => None,
    });
    for (number, (split, record)) in records.enumerate() {
        for _ in crashes.iter().filter(|&&at| at == number) {
            splits[split].push(Item::Crash);
        }
        splits[split].push(Item::Record(record));
    }
    splits
}

/// Runs a job until it completes; every run before that has to end at a crash marker.
/// Returns the last report, and how many runs went on from a checkpoint.
pub(crate) fn run_to_the_end(job: &Job, how: &How) -> (Report, usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut resumed = 0;
    for run in 0..=how.crashes.len() {
        let settings = Settings {
            workers: how.workers[run % how.workers.len()],
            batch_records: how.batch,
            checkpoint_dir: how.checkpoints.then(|| dir.path().join("checkpoints")),
            checkpoint_interval: Duration::from_millis(1),
            memory_bytes: 32 << 20,
            throttle_rows_per_s: how.throttle,
            ..Settings::default()
        };
        match job.run(&settings) {
            Ok(report) => {
                assert_eq!(report.outcome, Outcome::Completed);
                resumed += usize::from(report.resumed_from.is_some());
                if how.checkpoints {
                    let again = job.run(&settings).unwrap();
                    assert_eq!(again.outcome, Outcome::AlreadyComplete);
                }
                return (report, resumed);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::User, "{error:?}");
                assert!(error.to_string().contains("crash marker"), "{error:?}");
            }
        }
    }
    panic!("more failures than crash markers");
}

/// What a window holds, as the job computes it.
pub(crate) type Totals = (u64, i128, i64, i64);

/// Bounds that the model has a form for.
pub(crate) trait Bounds {
    /// Start, end, and the last event if there is one.
    fn bounds(&self) -> (Timestamp, Timestamp, Option<Timestamp>);
    /// How many records it says there are in it.
    fn records(&self) -> Option<u64> {
        None
    }
}

impl Bounds for TimeWindow {
    fn bounds(&self) -> (Timestamp, Timestamp, Option<Timestamp>) {
        (self.start, self.end, None)
    }
}

impl Bounds for SessionWindow {
    fn bounds(&self) -> (Timestamp, Timestamp, Option<Timestamp>) {
        (self.start, self.end, Some(self.last))
    }
}

impl Bounds for CountWindow {
    fn bounds(&self) -> (Timestamp, Timestamp, Option<Timestamp>) {
        (self.start, self.last + 1, Some(self.last))
    }

    fn records(&self) -> Option<u64> {
        Some(self.records)
    }
}

/// A result in the model's form.
pub(crate) fn out<W: Bounds>(result: &Windowed<u32, W, Totals>) -> Out {
    let (start, end, last) = result.window.bounds();
    let (count, sum, min, max) = result.value;
    if let Some(records) = result.window.records() {
        assert_eq!(records, count, "{count} records in {start}..{end}");
    }
    Out {
        key: result.key,
        start,
        end,
        last,
        pane: match result.pane.timing {
            Timing::OnTime => Pane::OnTime,
            Timing::Late => Pane::Late,
            Timing::Early => panic!("nobody asked for early results"),
        },
        number: result.pane.number.into(),
        kind: match result.change {
            Change::Insert => Kind::Insert,
            Change::Retract => Kind::Retract,
        },
        count,
        sum,
        min,
        max,
    }
}

/// The results that a sink holds, whose event times have to be those of rule F1.
pub(crate) fn outs<W: Bounds>(sink: &MemorySink<Windowed<u32, W, Totals>>) -> Vec<Out>
where
    Windowed<u32, W, Totals>: Clone + std::fmt::Debug + Send + 'static,
{
    let rows = sink.timed_rows();
    let rows = rows.iter().map(|(time, result)| {
        let out = out(result);
        assert_eq!(*time, out.time(), "event time of {out}");
        out
    });
    rows.collect()
}

/// Runs a case through a job of a source, the windows, and two sinks.
pub(crate) fn engine(case: &Case, how: &How) -> Observed {
    let source = memory::source(splits(&case.trace, &how.crashes));
    match case.windows {
        Windows::Tumbling { size, offset } => {
            let windows = Tumbling::of(ms(size)).offset(ms(offset.rem_euclid(size)));
            windowed(case, how, source, windows)
        }
        Windows::Sliding {
            size,
            slide,
            offset,
        } => {
            let windows = Sliding::of(ms(size), ms(slide)).offset(ms(offset.rem_euclid(slide)));
            windowed(case, how, source, windows)
        }
        // A fixed gap has to be at least 1 ms.
        Windows::Sessions { gap: Gap::Fixed(0) } => {
            windowed(case, how, source, Session::gap_by(|_| Duration::ZERO))
        }
        Windows::Sessions {
            gap: Gap::Fixed(gap),
        } => windowed(case, how, source, Session::gap(ms(gap))),
        Windows::Sessions { gap } => {
            let windows = Session::gap_by(move |record: &Rec| ms(gap.of(record.value)));
            windowed(case, how, source, windows)
        }
        Windows::CountTumbling { n, partial } => {
            windowed(case, how, source, partly(Count::of(n), partial))
        }
        Windows::CountSliding { n, every, partial } => windowed(
            case,
            how,
            source,
            partly(Count::of(n).every(every), partial),
        ),
        Windows::Running => running(case, how, source),
    }
}

fn partly(windows: Count, partial: bool) -> Count {
    if partial {
        windows.emit_partial()
    } else {
        windows
    }
}

pub(crate) fn ms(n: i64) -> Duration {
    Duration::from_millis(n.try_into().unwrap())
}

pub(crate) fn lag(trace: &Trace) -> Lag {
    Lag::of(ms(trace.bound))
}

/// Records, sum, least and greatest of the values.
pub(crate) fn totals() -> impl Accumulator<Rec, Output = Totals, State: Sync> {
    (
        count(),
        sum(|r: &Rec| r.value),
        min(|r: &Rec| r.value),
        max(|r: &Rec| r.value),
    )
}

/// Makes the two outputs of windows known to two sinks.
pub(crate) fn collect<K: Key, W, R>(
    out: WindowOut<'_, K, Rec, W, R>,
) -> (MemorySink<Windowed<K, W, R>>, MemorySink<Late<K, Rec>>)
where
    W: Clone + std::fmt::Debug + Send + 'static,
    R: Clone + std::fmt::Debug + Send + 'static,
{
    let (results, late) = (memory::sink(), memory::sink());
    out.results.to("results", results.clone());
    out.late.to("late", late.clone());
    (results, late)
}

fn windowed<W>(case: &Case, how: &How, source: MemorySource<Rec>, windows: W) -> Observed
where
    W: WindowSpec<Rec, Bounds: Bounds>,
{
    let job = Job::new("case");
    let out = job
        .source(
            "trace",
            source.event_time(|r: &Rec| r.time, lag(&case.trace)),
        )
        .key_by(|r| r.key)
        .window(windows)
        .allow_late(ms(case.lateness))
        .aggregate(OPERATOR, totals());
    let (results, late) = collect(out);
    let (report, resumed) = run_to_the_end(&job, how);
    let late = late.timed_rows().into_iter().map(|(time, late)| {
        assert_eq!(
            (time, late.time, late.key),
            (late.record.time, late.record.time, late.record.key)
        );
        (late.key, late.time, late.record.value)
    });
    Observed {
        outs: outs(&results),
        late: late.collect(),
        counters: report.operators[OPERATOR].clone(),
        resumed,
    }
}

fn running(case: &Case, how: &How, source: MemorySource<Rec>) -> Observed {
    let job = Job::new("case");
    let results = memory::sink();
    job.source(
        "trace",
        source.event_time(|r: &Rec| r.time, lag(&case.trace)),
    )
    .key_by(|r| r.key)
    .aggregate(
        OPERATOR,
        (totals(), min(|r: &Rec| r.time), max(|r: &Rec| r.time)),
    )
    .to("results", results.clone());
    let (report, resumed) = run_to_the_end(&job, how);
    let outs = results
        .rows()
        .into_iter()
        .map(|(key, (value, start, last))| {
            let (count, sum, min, max) = value;
            Out {
                key,
                start,
                end: last + 1,
                last: Some(last),
                pane: Pane::OnTime,
                number: count - 1,
                kind: Kind::Insert,
                count,
                sum,
                min,
                max,
            }
        });
    Observed {
        outs: outs.collect(),
        late: Vec::new(),
        counters: report.operators[OPERATOR].clone(),
        resumed,
    }
}

/// Runs a case and compares all that can be compared: as sets, then, where the order of arrival
/// is that of the trace, the results of each key in their order.
pub(crate) fn check(case: &Case, how: &How) -> Observed {
    let expected = model::run(&case.trace, case.windows, case.lateness);
    let observed = engine(case, how);

    let found = differences(&expected.outs, &observed.outs);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(
        sorted(&observed.late),
        sorted(&expected.late),
        "late records"
    );
    if case.interleaving == Interleaving::OneSplit {
        let observed = model::Outcome {
            outs: observed.outs.clone(),
            ..model::Outcome::default()
        };
        assert_eq!(observed.per_key(), expected.per_key(), "order within a key");
    }

    let counter = |name: &str| observed.counters.get(name).copied().unwrap_or(0);
    let late = expected.late.len() as u64;
    let counted =
        ["in", "processed", "late", "refused", "outside"].map(|name| (name, counter(name)));
    let expected = [
        ("in", expected.processed + late),
        ("processed", expected.processed - expected.in_no_window),
        ("late", late),
        ("refused", expected.refused),
        ("outside", expected.in_no_window),
    ];
    assert_eq!(counted, expected, "counters");
    observed
}

fn sorted<T: Ord + Clone>(rows: &[T]) -> Vec<T> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows
}
