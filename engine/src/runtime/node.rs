//! What runs as one on a worker, one message at a time.

use crate::data::Origin;
use crate::error::Result;
use crate::graph::operator::Barrier;
use crate::graph::plan::NodeId;
use crate::runtime::chain::{At, Ran, Runner, Take};
use crate::runtime::event::NodeSnapshot;
use crate::runtime::terminal::Terminal;
use crate::state::table::StateTable;

/// A node on a worker.
pub trait Node {
    /// Handles one message, if there is one and room for what comes of it. Never waits.
    ///
    /// # Errors
    /// Any error ends the job.
    fn step(&mut self) -> Result<Step>;

    /// Sends on what has waited for others long enough; in how many microseconds there is more
    /// to send, if there is. Called when the worker has nothing else to do.
    fn flush(&mut self) -> Option<u64> {
        None
    }

    /// What it found at the barrier that it has just passed.
    fn snapshot(&mut self) -> NodeSnapshot;

    /// Shows every table to `visit`.
    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        let _ = visit;
    }

    /// The record that is being handled.
    fn current(&mut self) -> Option<(Origin, u32)> {
        None
    }

    /// Whether it reads a source, and that has ended.
    fn exhausted(&mut self) -> Option<bool> {
        None
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done; there may be more.
    Worked,
    /// There was nothing to do.
    Idle,
    /// There was no room for what would come of it.
    Blocked,
    /// A barrier was passed on.
    Barrier(Barrier),
}

/// A fused run of steps with its end: a source or a port, stateless steps, a terminal.
pub struct Stage<R, T> {
    node: NodeId,
    is_source: bool,
    runner: R,
    terminal: T,
}

impl<R, T> Stage<R, T> {
    /// A stage; `is_source`: it begins at a source.
    pub fn new(node: NodeId, is_source: bool, runner: R, terminal: T) -> Self {
        Stage {
            node,
            is_source,
            runner,
            terminal,
        }
    }
}

/// Hands records to the end of a run.
struct Accept<'a, T>(&'a mut T);

impl<I, T: Terminal<I>> Take<I> for Accept<'_, T> {
    #[inline(always)]
    fn take(&mut self, item: I, at: At) {
        self.0.accept(item, at);
    }
}

impl<R, T> Node for Stage<R, T>
where
    R: Runner,
    T: Terminal<R::Item>,
{
    fn step(&mut self) -> Result<Step> {
        if !self.terminal.has_credit() {
            self.runner.root().paused();
            return Ok(Step::Blocked);
        }
        match self.runner.run(&mut Accept(&mut self.terminal))? {
            Ran::Nothing => Ok(Step::Idle),
            Ran::Batch { origin, progress } => {
                self.terminal.finish(origin, progress)?;
                Ok(Step::Worked)
            }
            Ran::Barrier(barrier) => {
                self.terminal.barrier(barrier)?;
                Ok(Step::Barrier(barrier))
            }
        }
    }

    fn flush(&mut self) -> Option<u64> {
        self.terminal.flush()
    }

    fn snapshot(&mut self) -> NodeSnapshot {
        NodeSnapshot {
            node: self.node,
            source: self.runner.root().snapshot(),
            sent: self.terminal.sent(),
            written: self.terminal.written(),
            ..NodeSnapshot::default()
        }
    }

    fn current(&mut self) -> Option<(Origin, u32)> {
        self.runner.root().current()
    }

    fn exhausted(&mut self) -> Option<bool> {
        self.is_source.then(|| self.runner.root().is_exhausted())
    }
}
