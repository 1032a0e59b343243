//! What takes the records at the end of a fused run of steps.

use crate::data::{Origin, Progress};
use crate::error::Result;
use crate::graph::operator::Barrier;
use crate::graph::plan::EdgeId;
use crate::runtime::chain::At;

pub mod branch;
pub mod combine;
pub mod exchange;
pub mod port;
pub mod sink;

/// The end of a fused run of steps, on one worker.
pub trait Terminal<T>: 'static {
    /// Takes a record. Failures wait for [`finish`](Terminal::finish): this is the hot path.
    fn accept(&mut self, item: T, at: At);

    /// The end of a batch that was read at `origin`, and the progress behind it.
    ///
    /// # Errors
    /// When a record could not be taken.
    fn finish(&mut self, origin: Option<Origin>, progress: Progress) -> Result<()>;

    /// The end of an epoch.
    ///
    /// # Errors
    /// When what was taken cannot be handed on.
    fn barrier(&mut self, barrier: Barrier) -> Result<()>;

    /// Whether there is room for more.
    fn has_credit(&self) -> bool;

    /// How many records went into which exchange.
    fn sent(&self) -> Option<(EdgeId, u64)> {
        None
    }

    /// How many records went to which sink.
    fn written(&self) -> Option<(usize, u64)> {
        None
    }
}
