//! What an operator is: something with state that takes keyed records and watermarks, and emits.

use std::any::Any;

use crate::data::{Batch, Data, Key, Located, Mark, Progress, Timed, Timestamp, Wire};
use crate::error::{Error, Result};
use crate::state::table::{StateTable, Table, TableContext};

/// A stateful step. It is synchronous: it does no IO, reads no clock and never waits.
///
/// It writes no checkpoint code: its state is in [`Table`]s, which
/// it owns and shows to the runtime through [`tables`](Operator::tables). One instance runs on
/// each worker and owns the keys of that worker's key groups.
pub trait Operator: 'static {
    /// What it takes; for keyed steps [`Keyed`](crate::data::Keyed).
    type In: Data + Located;

    /// Takes records between two watermarks, in the order of their split.
    ///
    /// # Errors
    /// Any error ends the job: nothing of the running epoch becomes visible.
    fn on_records(&mut self, records: Records<'_, Self::In>, cx: &OperatorContext) -> Result<()>;

    /// Event time has come to `cx.watermark`: everything that this makes due is emitted before
    /// the runtime passes the watermark on (rule T4). Called only when the watermark has reached
    /// [`due`](Operator::due), and at the end of the input, when it is `i64::MAX` (rule T8).
    ///
    /// An operator that has emitted a lot ([`Flow::Again`]) is called again, with the same
    /// watermark, once what it has emitted is on its way; it gets no record before it is done.
    ///
    /// # Errors
    /// Any error ends the job.
    fn on_watermark(&mut self, cx: &OperatorContext) -> Result<Flow> {
        let _ = cx;
        Ok(Flow::Done)
    }

    /// The lowest watermark that makes something due.
    fn due(&self) -> Timestamp {
        Timestamp::MAX
    }

    /// Shows every table to `visit`, always in the same order.
    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        let _ = visit;
    }

    /// Shows every output to `visit`, always in the same order.
    fn outputs(&mut self, visit: &mut dyn FnMut(&mut dyn AnyOutput));

    /// What it has counted since the start of the process, by name: `late`, `refused`...
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// The key of a record, for the message when user code panics.
    fn describe(record: &Self::In) -> String {
        format!("{record:?}")
    }
}

/// Whether an operator is done with what the watermark made due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Everything due has been emitted.
    Done,
    /// There is more: call again.
    Again,
}

/// After how many results of one call an operator should return [`Flow::Again`].
pub const EMIT_MAX: usize = 1024;

/// What an operator is told with each call.
#[derive(Clone, Copy, Debug)]
pub struct OperatorContext {
    /// The watermark of this step: the minimum over its inputs. `i64::MIN` before there is any.
    pub watermark: Timestamp,
}

/// Records that an operator is handed, by value, one after the other.
#[derive(Debug)]
pub struct Records<'a, M> {
    records: &'a mut std::vec::IntoIter<M>,
    left: usize,
    current: &'a mut u32,
}

impl<'a, M> Records<'a, M> {
    /// The next `count` records of `batch`. `current` is kept at the number of the one that is
    /// being handled, so that a failure can name it.
    pub fn new(batch: &'a mut std::vec::IntoIter<M>, count: usize, current: &'a mut u32) -> Self {
        Records {
            left: count.min(batch.len()),
            records: batch,
            current,
        }
    }

    /// The next records, at most `count`, as they will be handed out.
    pub fn ahead(&self, count: usize) -> &[M] {
        let records = self.records.as_slice();
        records.get(..count.min(self.left)).unwrap_or(records)
    }

    /// The next record, if it is one that is wanted.
    #[inline]
    pub fn next_if(&mut self, wanted: impl FnOnce(&M) -> bool) -> Option<M>
    where
        M: Located,
    {
        let next = self.peek();
        if next.is_some_and(wanted) {
            self.next()
        } else {
            None
        }
    }

    /// The next record.
    #[inline]
    pub fn peek(&self) -> Option<&M> {
        match self.left {
            0 => None,
            _ => self.records.as_slice().first(),
        }
    }

    /// The records of the batch that are still to come, also those behind the next watermark.
    pub fn rest(&self) -> &[M] {
        self.records.as_slice()
    }
}

impl<M: Located> Iterator for Records<'_, M> {
    type Item = M;

    #[inline]
    fn next(&mut self) -> Option<M> {
        self.left = self.left.checked_sub(1)?;
        let record = self.records.next()?;
        *self.current = record.at();
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Where an operator emits records of one type. What nobody reads is counted and dropped.
pub struct Output<T> {
    batch: Batch<Timed<T>>,
    /// Progress that is not yet written behind the records it stands behind.
    progress: Option<Progress>,
    told: Progress,
    to: Option<Box<dyn Outlet<T>>>,
    emitted: u64,
}

/// Takes what an [`Output`] has gathered; the runtime's end of it.
pub trait Outlet<T> {
    /// Takes a batch.
    fn send(&mut self, batch: Batch<Timed<T>>);

    /// Passes a barrier on.
    fn barrier(&mut self, barrier: Barrier);

    /// Whether there is room for more.
    fn has_credit(&self) -> bool;
}

impl<T: Data> Output<T> {
    /// An output into `to`; `None`: nobody reads it.
    pub fn new(to: Option<Box<dyn Outlet<T>>>) -> Self {
        Output {
            batch: Batch::default(),
            progress: None,
            told: Progress::Watermark(Timestamp::MIN),
            to,
            emitted: 0,
        }
    }

    /// Whether anybody reads what is emitted here.
    pub fn is_used(&self) -> bool {
        self.to.is_some()
    }

    /// Emits a record.
    #[inline]
    pub fn emit(&mut self, time: Timestamp, value: T) {
        self.emitted += 1;
        if self.to.is_some() {
            self.write_progress();
            self.batch.records.push(Timed { time, at: 0, value });
        }
    }

    /// Writes a mark exactly where the progress changed (rule T9).
    #[inline]
    fn write_progress(&mut self) {
        if let Some(progress) = self.progress.take() {
            self.told = progress;
            self.batch.marks.push(Mark {
                index: self.batch.records.len() as u32,
                progress,
            });
        }
    }
}

/// An [`Output`], whatever it carries.
pub trait AnyOutput {
    /// Event time has come this far, behind what was emitted until now.
    fn progress(&mut self, progress: Progress);

    /// Sends on what was emitted.
    fn flush(&mut self);

    /// Passes a barrier on, behind what was emitted.
    fn barrier(&mut self, barrier: Barrier);

    /// Whether there is room for more.
    fn has_credit(&self) -> bool;

    /// How many records were emitted since the start of the process.
    fn emitted(&self) -> u64;
}

impl<T: Data> AnyOutput for Output<T> {
    fn progress(&mut self, progress: Progress) {
        if self.to.is_some() && progress != Progress::Watermark(Timestamp::MIN) {
            self.progress = (progress != self.told).then_some(progress);
        }
    }

    fn flush(&mut self) {
        self.write_progress();
        if let Some(to) = &mut self.to
            && !self.batch.is_empty()
        {
            let next = self.batch.with_same_room();
            to.send(std::mem::replace(&mut self.batch, next));
        }
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.flush();
        if let Some(to) = &mut self.to {
            to.barrier(barrier);
        }
    }

    fn has_credit(&self) -> bool {
        self.to.as_ref().is_none_or(|to| to.has_credit())
    }

    fn emitted(&self) -> u64 {
        self.emitted
    }
}

/// The marker that cuts the stream into epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The epoch that ends here.
    pub epoch: u64,
    /// What follows.
    pub kind: BarrierKind,
}

/// What follows a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    /// The next epoch.
    Checkpoint,
    /// Nothing, for now: the job was asked to stop, and can go on from here.
    Stop,
    /// Nothing ever: the input has ended.
    Last,
}

/// What an operator is built from on each worker: its tables as the checkpoint left them, its
/// outputs, the watermark it had reached.
pub struct OperatorSetup<'a> {
    /// Makes the context of the table of this name, with values of this version.
    pub tables: &'a mut dyn FnMut(&str, u8) -> TableContext,
    /// Gives the `Box<dyn Outlet<T>>` of an output port; `None`: nobody reads it.
    pub outlets: &'a mut dyn FnMut(usize) -> Option<Box<dyn Any>>,
    /// The watermark of this step in the checkpoint; `i64::MIN` at a first start.
    pub watermark: Timestamp,
}

impl OperatorSetup<'_> {
    /// The operator's table of this name, whose values are stored with `version`.
    pub fn table<K: Key, V: Wire>(&mut self, name: &str, version: u8) -> Table<K, V> {
        Table::new((self.tables)(name, version))
    }

    /// The operator's output at `port`.
    ///
    /// # Errors
    /// When the port carries another type than `T`.
    pub fn output<T: Data>(&mut self, port: usize) -> Result<Output<T>> {
        match (self.outlets)(port).map(|outlet| outlet.downcast::<Box<dyn Outlet<T>>>()) {
            None => Ok(Output::new(None)),
            Some(Ok(outlet)) => Ok(Output::new(Some(*outlet))),
            Some(Err(_)) => Err(Error::internal(format!(
                "output {port} does not carry `{}`",
                std::any::type_name::<T>()
            ))),
        }
    }
}
