//! How results go out: a [`Sink`] encodes on the workers and opens a [`Writer`] for each of
//! them, which waits on a thread of its own.
//!
//! Exactly once rests on three calls (see [`crate::checkpoint`]): [`Writer::prepare`] makes an
//! epoch's output durable but not visible and describes it; the description goes into the
//! checkpoint; [`Writer::commit`] makes it visible once the checkpoint is complete. After a
//! crash, [`Sink::recover`] repeats the commits that the last checkpoint promised and removes
//! whatever came after it.

use std::path::PathBuf;

use crate::data::{Timestamp, Wire};
use crate::error::Result;

/// Where records of type `T` go. A value that describes; it opens nothing by itself.
pub trait Sink<T>: Send + Sync + 'static {
    /// What travels from a worker to its writer: encoded bytes, rows.
    type Chunk: Default + Send + 'static;
    /// Waits for the outside.
    type Writer: Writer<Chunk = Self::Chunk>;

    /// Appends a record to a chunk. Runs on a worker and must not block.
    ///
    /// # Errors
    /// When the record cannot be expressed in the sink's format.
    fn encode(&self, record: T, time: Timestamp, chunk: &mut Self::Chunk) -> Result<()>;

    /// The size of a chunk, by which queues are bounded and chunks are cut.
    fn chunk_bytes(&self, chunk: &Self::Chunk) -> usize;

    /// Brings the outside to what the last checkpoint says, before any writer is opened. It may
    /// be called again after a crash in the middle of it.
    ///
    /// # Errors
    /// When output that the checkpoint promises is neither committed nor there to commit, or
    /// when there is output although there is no checkpoint.
    fn recover(&self, start: &SinkStart<'_, PendingOf<T, Self>>) -> Result<()>;

    /// Opens writer `slot.index`. `restored` is what the writer of that index had prepared last.
    ///
    /// # Errors
    /// When the outside cannot be opened.
    fn open(&self, slot: WriterSlot, restored: Option<PendingOf<T, Self>>) -> Result<Self::Writer>;

    /// The directory this sink owns, if it owns one: two sinks of a job must not share it.
    fn directory(&self) -> Option<PathBuf> {
        None
    }
}

/// What a sink's writers prepare.
pub type PendingOf<T, S> = <<S as Sink<T>>::Writer as Writer>::Pending;

/// What a sink finds at the start of a job.
#[derive(Debug)]
pub enum SinkStart<'a, P> {
    /// The user asked for a fresh start: output of earlier runs is to be removed.
    Fresh,
    /// There is no checkpoint. Output that is there already belongs to nobody: refuse it.
    First,
    /// What every writer had prepared at the checkpoint that the job goes on from, by its index.
    /// Those from `writers` on have no successor: what they left in progress is to be finished.
    Restored {
        /// By writer index.
        pending: &'a [P],
        /// How many writers there are now.
        writers: usize,
    },
}

/// Which of a sink's writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterSlot {
    /// From 0.
    pub index: usize,
    /// How many there are: one for each worker.
    pub of: usize,
}

/// Writes what one worker sends, on a thread of its own: it may block. All calls come from that
/// thread, in the order of the stream.
pub trait Writer: Send + 'static {
    /// What is written.
    type Chunk: Send + 'static;
    /// What [`commit`](Writer::commit) needs, and what a restart needs to go on.
    type Pending: Wire;

    /// Takes a chunk. What is written must not be visible to readers yet.
    ///
    /// # Errors
    /// Any error ends the epoch: nothing of it becomes visible.
    fn write(&mut self, chunk: Self::Chunk) -> Result<()>;

    /// Makes everything written so far durable. `last`: nothing follows, the input has ended.
    ///
    /// # Errors
    /// Any error ends the epoch: nothing of it becomes visible.
    fn prepare(&mut self, epoch: u64, last: bool) -> Result<Self::Pending>;

    /// Makes visible what was prepared. Called when the checkpoint that holds `pending` is
    /// complete, and again after a crash (through [`Sink::recover`]): it must be idempotent.
    ///
    /// # Errors
    /// The job stops; the commit is repeated at the next start.
    fn commit(&mut self, pending: &Self::Pending) -> Result<()>;
}
