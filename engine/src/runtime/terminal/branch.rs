//! The end of a run of steps at two ports: records that pass a test, and the others.

use std::sync::Arc;

use crate::data::{Data, Origin, Progress};
use crate::error::Result;
use crate::graph::operator::Barrier;
use crate::runtime::chain::At;
use crate::runtime::terminal::Terminal;
use crate::runtime::terminal::port::PortTerminal;

/// Deals records out to two ports.
pub struct BranchTerminal<T, F> {
    /// Decides.
    pub test: Arc<F>,
    /// Those that pass.
    pub yes: PortTerminal<T>,
    /// The others.
    pub no: PortTerminal<T>,
}

impl<T: Data, F: Fn(&T) -> bool + 'static> Terminal<T> for BranchTerminal<T, F> {
    #[inline(always)]
    fn accept(&mut self, item: T, at: At) {
        if (self.test)(&item) {
            self.yes.accept(item, at);
        } else {
            self.no.accept(item, at);
        }
    }

    fn finish(&mut self, origin: Option<Origin>, progress: Progress) -> Result<()> {
        self.yes.finish(origin, progress)?;
        self.no.finish(origin, progress)
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.yes.barrier(barrier)?;
        self.no.barrier(barrier)
    }

    fn has_credit(&self) -> bool {
        self.yes.has_credit() && self.no.has_credit()
    }
}
