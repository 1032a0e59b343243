//! The laws of sources.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::{Emit, Read, Reader, Source, Waker};

use super::{hold, through_bytes};

/// How long a reader may have nothing to read.
const PATIENCE: Duration = Duration::from_secs(60);
/// At how many positions of a split reading is taken up again.
const SAMPLES: usize = 64;

/// The position of a source's readers.
type PositionOf<S> = <<S as Source>::Reader as Reader>::Position;

/// What a split held.
#[derive(Clone, Debug)]
pub struct Collected<T, P> {
    /// The records, in order.
    pub records: Vec<T>,
    /// How many records were skipped.
    pub skipped: u64,
    /// The position behind the last.
    pub end: P,
}

/// Reads a split from `position`, or from its beginning, to its end.
///
/// # Errors
/// Those of the reader; or if it has nothing to read for a minute.
pub fn read_split<S: Source>(
    source: &S,
    split: &str,
    position: Option<PositionOf<S>>,
) -> Result<Collected<S::Record, PositionOf<S>>> {
    let mut reading = Reading::start(source, split, position)?;
    let mut collect = Collect::new(usize::MAX);
    while reading.step(&mut collect)? {}
    Ok(Collected {
        records: collect.records,
        skipped: collect.skipped,
        end: reading.reader.position(),
    })
}

/// Checks a source whose input ends and has no errors:
/// - its splits are the same each time, and no two have the same name;
/// - a split gives the same records each time, however few are taken at once;
/// - reading on from any position, after it has been through a checkpoint, gives the records that
///   an uninterrupted read gives from there, and ends at the same position;
/// - a position that is read before any record is as good as the one that reading began at;
/// - a reader that has ended stays so.
///
/// # Errors
/// Those of the source, and [`ErrorKind::Internal`](millstream_engine::error::ErrorKind::Internal)
/// with the law that does not hold.
pub fn check_source<S: Source>(source: &S) -> Result<()>
where
    S::Record: PartialEq,
{
    let splits = source.splits()?;
    let again = source.splits()?;
    hold("splits are the same each time", splits == again, || {
        format!("first {splits:?}, then {again:?}")
    })?;
    for (i, split) in splits.iter().enumerate() {
        hold(
            "splits have different names",
            !splits[..i].contains(split),
            || split.clone(),
        )?;
        check_split(source, split).map_err(|error| error.at(format!("split `{split}`")))?;
    }
    Ok(())
}

fn check_split<S: Source>(source: &S, split: &str) -> Result<()>
where
    S::Record: PartialEq,
{
    let whole = read_split(source, split, None)?;
    let (steps, end) = one_by_one(source, split)?;
    let singly: Vec<&S::Record> = steps.iter().flat_map(|step| &step.records).collect();
    hold(
        "taking few records at once changes nothing",
        whole.records.iter().eq(singly.iter().copied()),
        || {
            format!(
                "{} records at once, {} one by one",
                whole.records.len(),
                singly.len()
            )
        },
    )?;
    same_position(
        "taking few records at once changes nothing",
        &whole.end,
        &end,
    )?;
    let stride = steps.len().div_ceil(SAMPLES).max(1);
    let last = steps.len().saturating_sub(1);
    let mut before = 0;
    for (i, step) in steps.iter().enumerate() {
        if i % stride == 0 || i == last {
            let rest = whole.records.get(before..).unwrap_or_default();
            check_from::<S>(source, split, &step.position, rest, &whole.end)
                .map_err(|error| error.at(format!("before record {before}")))?;
        }
        before += step.records.len();
    }
    check_from::<S>(source, split, &whole.end, &[], &whole.end)
        .map_err(|error| error.at("at the end"))
}

fn check_from<S: Source>(
    source: &S,
    split: &str,
    position: &PositionOf<S>,
    rest: &[S::Record],
    end: &PositionOf<S>,
) -> Result<()>
where
    S::Record: PartialEq,
{
    let law = "reading on from a position gives the remaining records";
    let stored = through_bytes(position)?;
    let opened = source.open(split, Some(stored.clone()), Waker::none())?;
    let unread = through_bytes(&opened.position())?;
    drop(opened);
    for position in [stored, unread] {
        let read = read_split(source, split, Some(position.clone()))?;
        hold(law, read.records == rest, || {
            let differs = read.records.iter().zip(rest).position(|(a, b)| a != b);
            format!(
                "from {position:?}: {} records instead of {}, first difference at {differs:?}",
                read.records.len(),
                rest.len()
            )
        })?;
        same_position(law, end, &read.end)?;
    }
    Ok(())
}

fn same_position<P: std::fmt::Debug>(law: &str, expect: &P, found: &P) -> Result<()> {
    let (expect, found) = (format!("{expect:?}"), format!("{found:?}"));
    hold(law, expect == found, || {
        format!("ends at {found} instead of {expect}")
    })
}

/// One record, and the position before it.
struct Step<T, P> {
    position: P,
    records: Vec<T>,
}

type Steps<S> = Vec<Step<<S as Source>::Record, PositionOf<S>>>;

fn one_by_one<S: Source>(source: &S, split: &str) -> Result<(Steps<S>, PositionOf<S>)> {
    let mut reading = Reading::start(source, split, None)?;
    let mut steps = Vec::new();
    loop {
        let position = reading.reader.position();
        let mut one = Collect::new(1);
        let more = reading.step(&mut one)?;
        hold(
            "after enough records a reader returns",
            one.records.len() <= 1,
            || format!("{} records instead of 1", one.records.len()),
        )?;
        if one.taken() > 0 {
            steps.push(Step {
                position,
                records: one.records,
            });
        }
        if !more {
            break;
        }
    }
    let end = reading.reader.position();
    let mut nothing = Collect::new(usize::MAX);
    let more = reading.step(&mut nothing)?;
    hold(
        "a reader that has ended stays so",
        !more && nothing.taken() == 0,
        || format!("{} records after the end", nothing.taken()),
    )?;
    Ok((steps, end))
}

struct Reading<R> {
    reader: R,
    woken: Receiver<()>,
}

impl<R: Reader> Reading<R> {
    fn start<S: Source<Reader = R>>(
        source: &S,
        split: &str,
        position: Option<R::Position>,
    ) -> Result<Self> {
        let (wake, woken) = bounded(1);
        let waker = Waker::new(move || {
            // Full: a wake-up is already on its way.
            let _ = wake.try_send(());
        });
        Ok(Reading {
            reader: source.open(split, position, waker)?,
            woken,
        })
    }

    /// Reads once, and waits if there was nothing; returns whether there may be more.
    fn step<T>(&mut self, emit: &mut Collect<T>) -> Result<bool>
    where
        R: Reader<Record = T>,
    {
        match self.reader.read(emit)? {
            Read::More => Ok(true),
            Read::End => Ok(false),
            Read::Wait => match self.woken.recv_timeout(PATIENCE) {
                Ok(()) => Ok(true),
                Err(_) => Err(Error::internal(format!(
                    "conformance: a reader that waits wakes the worker: nothing for {PATIENCE:?}"
                ))),
            },
        }
    }
}

struct Collect<T> {
    records: Vec<T>,
    skipped: u64,
    limit: usize,
}

impl<T> Collect<T> {
    fn new(limit: usize) -> Self {
        Collect {
            records: Vec::new(),
            skipped: 0,
            limit,
        }
    }

    fn taken(&self) -> usize {
        self.records.len() + usize::try_from(self.skipped).unwrap_or(usize::MAX)
    }
}

impl<T> Emit<T> for Collect<T> {
    fn emit(&mut self, record: T) -> bool {
        self.records.push(record);
        self.taken() < self.limit
    }

    fn skip(&mut self) -> bool {
        self.skipped += 1;
        self.taken() < self.limit
    }
}
