//! One worker: one thread, one loop over the nodes, the latest stage first.
//!
//! A worker never waits in the middle of anything. When no node can do a step it sleeps until
//! its bell rings, or for a tick, so that idle splits and throttles are looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::graph::operator::{Barrier, BarrierKind};
use crate::runtime::build::{NodeBuilder, RunContext};
use crate::runtime::channel::Bell;
use crate::runtime::control::Control;
use crate::runtime::event::{Event, Failure, NodeSnapshot};
use crate::runtime::failure::panic_message;
use crate::runtime::job::BuildNode;
use crate::runtime::node::{Node, Step};
use crate::state::run::Run;

/// How long a worker sleeps at most.
const TICK: Duration = Duration::from_millis(10);
/// How many frozen rows are handed over between two batches.
const DRAIN_ROWS: usize = 512;
/// The same while state takes all of its memory: rows that are not handed over cannot leave.
const DRAIN_ROWS_WHEN_FULL: usize = 8192;
/// How many restored rows are read back between two batches.
const WARM_ROWS: usize = 512;
/// After how many steps a worker looks at the memory that its state takes: it makes room for
/// little at a time.
const MEMORY_CHECK_STEPS: u32 = 32;
const MEMORY_CHECK_STEPS_WHEN_FULL: u32 = 4;
/// State may take so much more than its memory for a while: one part in so many.
const ROOM_SHARE: usize = 16;
/// How much room is made at a time.
const EVICT_BYTES_MAX: usize = 512 << 10;

/// Runs a worker to its end; reports how it went.
pub fn run(cx: &RunContext, index: usize, plan: &[(String, BuildNode)]) {
    let mut worker = None;
    let mut active = 0;
    let done = catch_unwind(AssertUnwindSafe(|| -> Result<()> {
        let worker = worker.insert(Worker::new(cx, index)?);
        for (label, build) in plan {
            let mut builder = NodeBuilder::new(cx, index);
            worker
                .nodes
                .push(build(&mut builder).map_err(|e| e.at(label))?);
        }
        worker.turn(&mut active)
    }));
    let error = match done {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => Some(Error::user(format!(
            "a step panicked: {}",
            panic_message(&*panic)
        ))),
    };
    if let Some(error) = error {
        let label = plan.get(active).map_or("", |(label, _)| label.as_str());
        let node = worker.as_mut().and_then(|w| w.nodes.get_mut(active));
        let record = node.and_then(|node| node.current());
        let failure = Failure {
            error: error.at(format!("`{label}`")),
            record,
        };
        let _ = cx.events.send(Event::Failed(Box::new(failure)));
    }
    let _ = cx.events.send(Event::Ended { worker: index });
}

struct Worker<'a> {
    cx: &'a RunContext,
    control: Arc<Control>,
    index: usize,
    bell: Bell,
    runtime: tokio::runtime::Runtime,
    nodes: Vec<Box<dyn Node>>,
    /// The barrier that some nodes have passed, and what those found.
    passing: Option<(Barrier, Vec<NodeSnapshot>)>,
    /// The barrier that all nodes have passed while frozen rows are still to be handed over.
    draining: Option<Barrier>,
    /// The epoch whose state is handed over but not in a checkpoint yet.
    unsettled: Option<u64>,
    /// What was handed over is not taken fast enough.
    held_back: bool,
    exhausted: bool,
    /// Restored state is still being read back.
    warming: bool,
    steps: u32,
    /// State took all of its memory when it was looked at, and room could be made.
    full: bool,
    /// State took more than its memory when it was looked at, and no room could be made before
    /// the running checkpoint is saved.
    stuck: bool,
}

impl<'a> Worker<'a> {
    fn new(cx: &'a RunContext, index: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|e| Error::io("no runtime for a worker", e))?;
        Ok(Worker {
            cx,
            control: cx.control.clone(),
            index,
            bell: cx.hub.bells[index].clone(),
            runtime,
            nodes: Vec::new(),
            passing: None,
            draining: None,
            unsettled: None,
            held_back: false,
            exhausted: false,
            warming: cx.restored.is_some(),
            steps: 0,
            full: false,
            stuck: false,
        })
    }

    fn turn(&mut self, active: &mut usize) -> Result<()> {
        while !self.control.is_aborted() {
            let worked = !self.waits_for_room() && self.step(active)?;
            self.settle();
            let ended = self.drain(match (self.full || self.stuck, worked) {
                (true, _) => DRAIN_ROWS_WHEN_FULL,
                (false, true) => DRAIN_ROWS,
                (false, false) => DRAIN_ROWS * 16,
            })?;
            if ended {
                return Ok(());
            }
            self.watch_memory()?;
            self.warm()?;
            if !worked && (self.draining.is_none() || self.held_back) {
                self.report_exhaustion();
                if self.warming && !self.held_back {
                    continue;
                }
                let nap = self.flush();
                let bell = &self.bell;
                self.runtime.block_on(async {
                    // A tick that ends without a ring is as good a reason to look again.
                    let _ = tokio::time::timeout(nap, bell.rung()).await;
                });
            }
        }
        Ok(())
    }

    /// Sends on what has waited long enough; how long the worker may sleep now.
    fn flush(&mut self) -> Duration {
        let due = self.nodes.iter_mut().filter_map(|node| node.flush()).min();
        due.map_or(TICK, |us| TICK.min(Duration::from_micros(us)))
    }

    /// Lets the latest node that can do something do it.
    fn step(&mut self, active: &mut usize) -> Result<bool> {
        for index in (0..self.nodes.len()).rev() {
            *active = index;
            match self.nodes[index].step()? {
                Step::Worked => return Ok(true),
                Step::Idle | Step::Blocked => {}
                Step::Barrier(barrier) => {
                    self.passed(index, barrier)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn passed(&mut self, index: usize, barrier: Barrier) -> Result<()> {
        let snapshot = self.nodes[index].snapshot();
        let (current, nodes) = self.passing.get_or_insert_with(|| (barrier, Vec::new()));
        if *current != barrier {
            return Err(Error::internal(format!(
                "barrier {barrier:?} overtook {current:?}"
            )));
        }
        nodes.push(snapshot);
        if nodes.len() == self.nodes.len()
            && let Some((barrier, nodes)) = self.passing.take()
        {
            self.draining = Some(barrier);
            self.report(Event::Barrier {
                worker: self.index,
                epoch: barrier.epoch,
                nodes,
            });
        }
        Ok(())
    }

    /// Hands over frozen rows; true when the barrier was the last and all is handed over.
    fn drain(&mut self, rows: usize) -> Result<bool> {
        let Some(barrier) = self.draining else {
            self.held_back = false;
            return Ok(false);
        };
        let store = self.cx.store.as_ref();
        self.held_back = store.is_some_and(|store| store.in_flight() > self.cx.state_bytes / 8);
        if self.held_back {
            return Ok(false);
        }
        let mut result = Ok(true);
        let mut full: Vec<Run> = Vec::new();
        for node in &mut self.nodes {
            node.tables(&mut |table| {
                if matches!(result, Ok(true)) {
                    result = table.drain(rows);
                    full.extend(table.take_full_runs());
                }
            });
        }
        if let Some(store) = store.filter(|_| !full.is_empty()) {
            let bytes = full.iter().map(Run::bytes).sum();
            store.set_off(bytes);
            self.report(Event::HandedOver { runs: full, bytes });
        }
        if !result? {
            return Ok(false);
        }
        let mut runs: Vec<Run> = Vec::new();
        for node in &mut self.nodes {
            node.tables(&mut |table| runs.extend(table.take_runs()));
        }
        self.draining = None;
        self.unsettled = Some(barrier.epoch);
        self.report(Event::Flushed {
            worker: self.index,
            epoch: barrier.epoch,
            runs,
        });
        Ok(barrier.kind != BarrierKind::Checkpoint)
    }

    /// Lets the tables forget what they keep for a checkpoint that is saved now.
    fn settle(&mut self) {
        let settled = self.control.settled();
        if let Some(epoch) = self.unsettled.filter(|epoch| settled >= *epoch) {
            let written = self.control.written() >= epoch;
            self.unsettled = None;
            for node in &mut self.nodes {
                node.tables(&mut |table| table.settle(written));
            }
        }
    }

    /// More records would take more memory than there is, and what is in the way goes when the
    /// running checkpoint is saved: all nodes have passed its barrier, so nobody waits for this
    /// worker meanwhile.
    fn waits_for_room(&self) -> bool {
        self.stuck && (self.draining.is_some() || self.unsettled.is_some())
    }

    /// What this worker's state may take, beside what RocksDB needs to find the rest of it.
    fn state_bytes(&self) -> usize {
        let all = self.cx.state_bytes;
        let readers = self.cx.store.as_ref().map_or(0, |s| s.reader_bytes());
        all.saturating_sub(readers / self.cx.workers).max(all / 4)
    }

    /// Evicts state when it takes more memory than this worker's share.
    fn watch_memory(&mut self) -> Result<()> {
        self.steps += 1;
        let due = if self.waits_for_room() {
            1
        } else if self.full {
            MEMORY_CHECK_STEPS_WHEN_FULL
        } else {
            MEMORY_CHECK_STEPS
        };
        if self.cx.store.is_none() || self.steps < due {
            return Ok(());
        }
        self.steps = 0;
        let mut bytes = 0;
        for node in &mut self.nodes {
            node.tables(&mut |table| bytes += table.bytes());
        }
        let budget = self.state_bytes();
        let mut excess = bytes.saturating_sub(budget);
        let beyond = excess;
        excess = excess.min(EVICT_BYTES_MAX);
        let goal = excess;
        let mut result = Ok(());
        for node in &mut self.nodes {
            node.tables(&mut |table| {
                if excess > 0 && result.is_ok() {
                    match table.evict(excess) {
                        Ok(freed) => excess = excess.saturating_sub(freed),
                        Err(e) => result = Err(e),
                    }
                }
            });
        }
        // What cannot go now is not looked for again at once.
        self.full = beyond > 0 && excess < goal / 2;
        let room = budget / ROOM_SHARE;
        self.stuck = beyond > room + goal.saturating_sub(excess);
        result
    }

    /// Reads restored state back, a little at a time.
    fn warm(&mut self) -> Result<()> {
        if !self.warming || self.draining.is_some() {
            return Ok(());
        }
        let mut result = Ok(true);
        for node in &mut self.nodes {
            node.tables(&mut |table| {
                if matches!(result, Ok(true)) {
                    result = table.warm(WARM_ROWS);
                }
            });
        }
        self.warming = !result?;
        Ok(())
    }

    fn report_exhaustion(&mut self) {
        if self.exhausted {
            return;
        }
        let mut ended = true;
        for node in &mut self.nodes {
            ended &= node.exhausted().unwrap_or(true);
        }
        if ended {
            self.exhausted = true;
            self.report(Event::Exhausted { worker: self.index });
        }
    }

    fn report(&self, event: Event) {
        // The supervisor is only gone when the job has ended.
        let _ = self.cx.events.send(event);
    }
}
