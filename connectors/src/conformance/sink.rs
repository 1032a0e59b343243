//! The laws of exactly-once sinks.

use std::ops::Range;

use millstream_engine::error::{Error, ErrorKind, Result};
use millstream_engine::graph::sink::{PendingOf, Sink, SinkStart, Writer, WriterSlot};

use super::{hold, through_bytes};

/// A sink under test, and what others see of its output.
pub trait Outside {
    /// What is written.
    type Record;
    /// The sink.
    type Sink: Sink<Self::Record>;

    /// The sink, as a job that is started again makes it: it writes to the same outside.
    fn sink(&self) -> Self::Sink;

    /// Some record; another for each `n`.
    fn record(&self, n: u64) -> Self::Record;

    /// The numbers of the records that a reader sees, in any order.
    ///
    /// # Errors
    /// When the output cannot be read.
    fn visible(&self) -> Result<Vec<u64>>;
}

/// Checks an exactly-once sink. `new` makes an outside that nothing was written to. The laws:
/// - what is written is not visible before it is committed, and then it is, once;
/// - committing twice is committing once; a later epoch may be prepared before a commit;
/// - recovery drops what the checkpoint does not hold, and makes visible what it holds; doing it
///   twice, or after a commit, changes nothing;
/// - a job may go on with fewer writers, or more, than it had;
/// - without a checkpoint, output that is there is refused; a fresh start removes it.
///
/// # Errors
/// Those of the sink, and [`ErrorKind::Internal`] with the law that does not hold.
pub fn check_sink<O: Outside>(new: impl Fn() -> O) -> Result<()> {
    let laws: [(&str, Law<O>); 10] = [
        (
            "output is visible after its commit, and not before",
            commit_shows,
        ),
        (
            "a later epoch may be prepared before a commit",
            prepare_ahead,
        ),
        (
            "recovery commits earlier epochs that were prepared and not committed",
            recovery_commits_several,
        ),
        (
            "recovery drops an epoch that the checkpoint does not hold",
            recovery_drops,
        ),
        (
            "recovery drops what was written and never prepared",
            recovery_drops_unprepared,
        ),
        (
            "recovery commits what the checkpoint holds",
            recovery_commits,
        ),
        ("recovery commits the last epoch", recovery_commits_last),
        ("a job goes on with fewer writers", fewer_writers),
        (
            "a job goes on with other numbers of writers, again and again",
            rescaled_again,
        ),
        (
            "output without a checkpoint is refused, a fresh start removes it",
            first_start,
        ),
    ];
    for (law, check) in laws {
        check(&new()).map_err(|error| error.at(format!("law `{law}`")))?;
    }
    Ok(())
}

type Law<O> = fn(&O) -> Result<()>;

/// A run of a job: its sink with its writers.
struct Run<'o, O: Outside> {
    outside: &'o O,
    sink: O::Sink,
    writers: Vec<WriterOf<O>>,
}

type WriterOf<O> = <<O as Outside>::Sink as Sink<<O as Outside>::Record>>::Writer;
type Pendings<O> = Vec<PendingOf<<O as Outside>::Record, <O as Outside>::Sink>>;

impl<'o, O: Outside> Run<'o, O> {
    fn first(outside: &'o O, writers: usize) -> Result<Self> {
        Self::start(outside, &SinkStart::First, writers)
    }

    /// Goes on from a checkpoint, recovering twice, as after a crash in the middle of it.
    fn restored(outside: &'o O, pending: &Pendings<O>, writers: usize) -> Result<Self> {
        let start = SinkStart::Restored { pending, writers };
        outside.sink().recover(&start)?;
        Self::start(outside, &start, writers)
    }

    fn start(
        outside: &'o O,
        start: &SinkStart<'_, PendingOf<O::Record, O::Sink>>,
        of: usize,
    ) -> Result<Self> {
        let sink = outside.sink();
        sink.recover(start)?;
        let pending = match start {
            SinkStart::Restored { pending, .. } => *pending,
            _ => &[],
        };
        let writers = (0..of)
            .map(|index| sink.open(WriterSlot { index, of }, pending.get(index).cloned()))
            .collect::<Result<_>>()?;
        Ok(Run {
            outside,
            sink,
            writers,
        })
    }

    fn write(&mut self, writer: usize, records: Range<u64>) -> Result<()> {
        let mut chunk = Default::default();
        for n in records {
            let time = i64::try_from(n).unwrap_or(i64::MAX);
            self.sink.encode(self.outside.record(n), time, &mut chunk)?;
        }
        hold(
            "a chunk with records has a size",
            self.sink.chunk_bytes(&chunk) > 0,
            || "0".into(),
        )?;
        match self.writers.get_mut(writer) {
            Some(writer) => writer.write(chunk),
            None => Err(Error::internal("no such writer")),
        }
    }

    fn prepare(&mut self, epoch: u64, last: bool) -> Result<Pendings<O>> {
        let pendings = self
            .writers
            .iter_mut()
            .map(|w| through_bytes(&w.prepare(epoch, last)?));
        pendings.collect()
    }

    fn commit(&mut self, pending: &Pendings<O>) -> Result<()> {
        self.writers
            .iter_mut()
            .zip(pending)
            .try_for_each(|(w, p)| w.commit(p))
    }

    /// Writes nothing more, and commits that.
    fn finish(mut self, epoch: u64) -> Result<()> {
        let pending = self.prepare(epoch, true)?;
        self.commit(&pending)
    }
}

fn sees<O: Outside>(outside: &O, when: &str, expect: Range<u64>) -> Result<()> {
    let mut seen = outside.visible()?;
    seen.sort_unstable();
    hold(when, seen.iter().copied().eq(expect.clone()), || {
        format!("records {seen:?} are visible instead of {expect:?}")
    })
}

/// A sink may show committed output later than it could, but nothing else.
fn sees_at_most<O: Outside>(outside: &O, when: &str, most: Range<u64>) -> Result<()> {
    let mut seen = outside.visible()?;
    seen.sort_unstable();
    let twice = seen.windows(2).any(|pair| pair.first() == pair.last());
    hold(
        when,
        !twice && seen.iter().all(|n| most.contains(n)),
        || format!("records {seen:?} are visible, at most {most:?} may be"),
    )
}

fn refused(what: &str, kind: ErrorKind, result: Result<()>) -> Result<()> {
    let seen = result.map_err(|error| error.kind()).err();
    hold(what, seen == Some(kind), || {
        format!("{seen:?} instead of {kind:?}")
    })
}

fn commit_shows<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 2)?;
    run.write(0, 0..5)?;
    run.write(1, 5..10)?;
    sees(outside, "after writing", 0..0)?;
    let pending = run.prepare(1, true)?;
    sees(outside, "after preparing", 0..0)?;
    run.commit(&pending)?;
    sees(outside, "after the commit", 0..10)?;
    run.commit(&pending)?;
    sees(outside, "after a second commit", 0..10)
}

fn prepare_ahead<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 1)?;
    run.write(0, 0..5)?;
    let one = run.prepare(1, false)?;
    run.write(0, 5..10)?;
    let two = run.prepare(2, true)?;
    run.commit(&one)?;
    sees_at_most(outside, "after the first commit", 0..5)?;
    run.commit(&two)?;
    sees(outside, "after both commits", 0..10)
}

fn recovery_commits_several<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 1)?;
    run.write(0, 0..5)?;
    let one = run.prepare(1, false)?;
    run.write(0, 5..10)?;
    run.prepare(2, false)?;
    run.commit(&one)?;
    run.write(0, 10..12)?;
    let three = run.prepare(3, false)?;
    drop(run);
    Run::restored(outside, &three, 1)?.finish(4)?;
    sees(outside, "at the end", 0..12)
}

fn recovery_drops<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 2)?;
    run.write(0, 0..5)?;
    let one = run.prepare(1, false)?;
    run.commit(&one)?;
    run.write(0, 100..105)?;
    run.write(1, 200..205)?;
    run.prepare(2, true)?;
    drop(run);
    let mut run = Run::restored(outside, &one, 2)?;
    sees_at_most(outside, "after recovery", 0..5)?;
    run.write(1, 5..8)?;
    run.finish(2)?;
    sees(outside, "at the end", 0..8)
}

fn recovery_drops_unprepared<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 1)?;
    run.write(0, 0..5)?;
    let one = run.prepare(1, false)?;
    run.commit(&one)?;
    run.write(0, 100..105)?;
    drop(run);
    let mut run = Run::restored(outside, &one, 1)?;
    run.write(0, 5..8)?;
    run.finish(2)?;
    sees(outside, "at the end", 0..8)
}

fn recovery_commits<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 2)?;
    run.write(0, 0..5)?;
    let one = run.prepare(1, false)?;
    run.commit(&one)?;
    run.write(1, 5..10)?;
    let two = run.prepare(2, false)?;
    drop(run);
    let mut run = Run::restored(outside, &two, 2)?;
    run.write(0, 10..12)?;
    run.finish(3)?;
    sees(outside, "at the end", 0..12)
}

fn recovery_commits_last<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 1)?;
    run.write(0, 0..5)?;
    let one = run.prepare(1, true)?;
    drop(run);
    let mut run = Run::restored(outside, &one, 1)?;
    sees(outside, "after recovery", 0..5)?;
    run.commit(&one)?;
    sees(outside, "after another commit", 0..5)
}

fn fewer_writers<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 3)?;
    run.write(0, 0..5)?;
    run.write(1, 5..8)?;
    run.write(2, 8..10)?;
    let one = run.prepare(1, false)?;
    drop(run);
    let mut run = Run::restored(outside, &one, 1)?;
    run.write(0, 10..12)?;
    run.finish(2)?;
    sees(outside, "at the end", 0..12)
}

fn rescaled_again<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 3)?;
    run.write(0, 0..2)?;
    run.write(2, 2..4)?;
    let one = run.prepare(1, false)?;
    run.commit(&one)?;
    drop(run);
    // A start with one writer that dies before its first epoch, then one with three.
    drop(Run::restored(outside, &one, 1)?);
    let mut run = Run::restored(outside, &one, 3)?;
    run.write(2, 4..6)?;
    let two = run.prepare(2, false)?;
    drop(run);
    let mut run = Run::restored(outside, &two, 1)?;
    run.write(0, 6..8)?;
    let three = run.prepare(3, false)?;
    drop(run);
    let mut run = Run::restored(outside, &three, 4)?;
    run.write(2, 8..9)?;
    run.write(3, 9..10)?;
    run.finish(4)?;
    sees(outside, "at the end", 0..10)
}

fn first_start<O: Outside>(outside: &O) -> Result<()> {
    let mut run = Run::first(outside, 2)?;
    run.write(0, 100..105)?;
    run.prepare(1, true)?;
    drop(run);
    let mut run = Run::first(outside, 1)?;
    sees(outside, "what was never committed is no output", 0..0)?;
    run.write(0, 100..105)?;
    run.finish(1)?;
    let refusal = Run::first(outside, 1).map(drop);
    refused(
        "output without a checkpoint is refused",
        ErrorKind::Config,
        refusal,
    )?;
    let mut run = Run::start(outside, &SinkStart::Fresh, 2)?;
    sees(outside, "after a fresh start", 0..0)?;
    run.write(1, 0..5)?;
    run.finish(1)?;
    sees(outside, "at the end", 0..5)
}
