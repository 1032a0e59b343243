//! Decides when epochs are cut and committed. Pure: signals in, actions out; no IO, no clock.
//!
//! One checkpoint is in flight at a time. Its stages are the steps of the protocol (see
//! [`crate::checkpoint`]): every worker passes the barrier and hands its state over, every writer
//! prepares; the state is saved; the manifest is committed; the writers commit; what is older is
//! removed. Only then does the next one begin.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::graph::operator::{Barrier, BarrierKind};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The job goes on after `last_epoch`.
    Started {
        /// Now.
        now_ms: u64,
        /// The epoch of the checkpoint that it goes on from; 0: none.
        last_epoch: u64,
        /// How many workers there are.
        workers: usize,
        /// How many writers there are over all sinks.
        sink_writers: usize,
    },
    /// Time passes.
    Tick {
        /// Now.
        now_ms: u64,
    },
    /// All nodes of a worker have passed the barrier.
    WorkerBarrier {
        /// The worker.
        worker: usize,
        /// The epoch.
        epoch: u64,
    },
    /// A worker's state as of the barrier has been handed over.
    StateFlushed {
        /// The worker.
        worker: usize,
        /// The epoch.
        epoch: u64,
    },
    /// A writer has made the epoch's output durable.
    SinkPrepared {
        /// The sink.
        sink: usize,
        /// The writer.
        writer: usize,
        /// The epoch.
        epoch: u64,
    },
    /// The state of the epoch is saved.
    StateSealed {
        /// The epoch.
        epoch: u64,
    },
    /// The manifest of the epoch is durable.
    Committed {
        /// The epoch.
        epoch: u64,
    },
    /// A writer has made the epoch's output visible.
    SinkCommitted {
        /// The sink.
        sink: usize,
        /// The writer.
        writer: usize,
        /// The epoch.
        epoch: u64,
    },
    /// What is older than the epoch is removed.
    CollectedGarbage {
        /// The epoch.
        epoch: u64,
    },
    /// The sources of a worker have ended.
    SourcesExhausted {
        /// The worker.
        worker: usize,
    },
    /// The user wants the job to stop.
    StopRequested,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let every source cut an epoch.
    Inject {
        /// The barrier.
        barrier: Barrier,
    },
    /// Write the state that was handed over, and save it.
    WriteState {
        /// The epoch.
        epoch: u64,
        /// The input has ended: nothing follows.
        last: bool,
    },
    /// The commit point.
    CommitManifest {
        /// The epoch.
        epoch: u64,
        /// The input has ended: nothing follows.
        finished: bool,
    },
    /// Let every writer make the epoch visible.
    CommitSinks {
        /// The epoch.
        epoch: u64,
    },
    /// Remove what is older.
    CollectGarbage {
        /// The epoch that stays.
        before: u64,
    },
    /// The job is over.
    Finish {
        /// The input has ended; else the job was stopped.
        completed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Gathering,
    Saving,
    Committing,
    CommittingSinks,
    Collecting,
    Over,
}

/// The state machine: see the [module](self).
#[derive(Debug)]
pub struct Coordinator {
    interval_ms: u64,
    persistent: bool,
    workers: usize,
    sink_writers: usize,
    now_ms: u64,
    began_ms: u64,
    epoch: u64,
    kind: BarrierKind,
    stage: Stage,
    passed: BTreeSet<usize>,
    flushed: BTreeSet<usize>,
    prepared: BTreeSet<(usize, usize)>,
    committed: BTreeSet<(usize, usize)>,
    exhausted: BTreeSet<usize>,
    stop: bool,
    started: bool,
}

impl Coordinator {
    /// Checkpoints every `interval_ms`. Not `persistent`: there is nowhere to keep them, and
    /// only the end of the job cuts an epoch.
    pub fn new(interval_ms: u64, persistent: bool) -> Self {
        Coordinator {
            interval_ms,
            persistent,
            workers: 0,
            sink_writers: 0,
            now_ms: 0,
            began_ms: 0,
            epoch: 0,
            kind: BarrierKind::Checkpoint,
            stage: Stage::Idle,
            passed: BTreeSet::new(),
            flushed: BTreeSet::new(),
            prepared: BTreeSet::new(),
            committed: BTreeSet::new(),
            exhausted: BTreeSet::new(),
            stop: false,
            started: false,
        }
    }

    /// Takes a signal; returns what is to be done about it, in this order.
    ///
    /// # Errors
    /// When the signal cannot be at this point: a bug of the engine's.
    pub fn on(&mut self, signal: Signal) -> Result<Vec<Action>> {
        match signal {
            Signal::Started {
                now_ms,
                last_epoch,
                workers,
                sink_writers,
            } => {
                (self.now_ms, self.began_ms) = (now_ms, now_ms);
                (self.epoch, self.workers, self.sink_writers) = (last_epoch, workers, sink_writers);
                self.started = true;
            }
            Signal::Tick { now_ms } => self.now_ms = now_ms,
            Signal::StopRequested => self.stop = true,
            Signal::SourcesExhausted { worker } => {
                self.exhausted.insert(worker);
            }
            Signal::WorkerBarrier { worker, epoch } => {
                self.demand(signal, epoch, Stage::Gathering)?;
                self.once(signal, |c| c.passed.insert(worker))?;
            }
            Signal::StateFlushed { worker, epoch } => {
                self.demand(signal, epoch, Stage::Gathering)?;
                self.once(signal, |c| c.flushed.insert(worker))?;
            }
            Signal::SinkPrepared {
                sink,
                writer,
                epoch,
            } => {
                self.demand(signal, epoch, Stage::Gathering)?;
                self.once(signal, |c| c.prepared.insert((sink, writer)))?;
            }
            Signal::StateSealed { epoch } => {
                self.demand(signal, epoch, Stage::Saving)?;
                self.stage = Stage::Committing;
                return Ok(vec![Action::CommitManifest {
                    epoch,
                    finished: self.kind == BarrierKind::Last,
                }]);
            }
            Signal::Committed { epoch } => {
                self.demand(signal, epoch, Stage::Committing)?;
                self.stage = Stage::CommittingSinks;
                return Ok([vec![Action::CommitSinks { epoch }], self.sinks_done()].concat());
            }
            Signal::SinkCommitted {
                sink,
                writer,
                epoch,
            } => {
                self.demand(signal, epoch, Stage::CommittingSinks)?;
                self.once(signal, |c| c.committed.insert((sink, writer)))?;
                return Ok(self.sinks_done());
            }
            Signal::CollectedGarbage { epoch } => {
                self.demand(signal, epoch, Stage::Collecting)?;
                return Ok(self.done());
            }
        }
        if self.stage == Stage::Gathering {
            return Ok(self.gathered());
        }
        Ok(self.begin())
    }

    /// Begins a checkpoint if one is due.
    fn begin(&mut self) -> Vec<Action> {
        if !self.started || self.stage != Stage::Idle {
            return Vec::new();
        }
        let overdue = self.now_ms.saturating_sub(self.began_ms) >= self.interval_ms;
        self.kind = if self.exhausted.len() == self.workers {
            BarrierKind::Last
        } else if self.stop {
            BarrierKind::Stop
        } else if self.persistent && overdue {
            BarrierKind::Checkpoint
        } else {
            return Vec::new();
        };
        self.began_ms = self.now_ms;
        self.epoch += 1;
        self.stage = Stage::Gathering;
        self.passed.clear();
        self.flushed.clear();
        self.prepared.clear();
        self.committed.clear();
        let barrier = Barrier {
            epoch: self.epoch,
            kind: self.kind,
        };
        vec![Action::Inject { barrier }]
    }

    fn gathered(&mut self) -> Vec<Action> {
        let all = self.passed.len() == self.workers
            && self.flushed.len() == self.workers
            && self.prepared.len() == self.sink_writers;
        if !all {
            return Vec::new();
        }
        let epoch = self.epoch;
        if self.persistent {
            self.stage = Stage::Saving;
            return vec![Action::WriteState {
                epoch,
                last: self.kind == BarrierKind::Last,
            }];
        }
        self.stage = Stage::CommittingSinks;
        [vec![Action::CommitSinks { epoch }], self.sinks_done()].concat()
    }

    fn sinks_done(&mut self) -> Vec<Action> {
        if self.committed.len() < self.sink_writers {
            return Vec::new();
        }
        if !self.persistent {
            return self.done();
        }
        self.stage = Stage::Collecting;
        vec![Action::CollectGarbage { before: self.epoch }]
    }

    fn done(&mut self) -> Vec<Action> {
        if self.kind == BarrierKind::Checkpoint {
            self.stage = Stage::Idle;
            return self.begin();
        }
        self.stage = Stage::Over;
        vec![Action::Finish {
            completed: self.kind == BarrierKind::Last,
        }]
    }

    fn demand(&self, signal: Signal, epoch: u64, stage: Stage) -> Result<()> {
        if self.stage == stage && self.epoch == epoch {
            return Ok(());
        }
        Err(Error::internal(format!(
            "{signal:?} in epoch {} at {:?}",
            self.epoch, self.stage
        )))
    }

    fn once(&mut self, signal: Signal, note: impl FnOnce(&mut Self) -> bool) -> Result<()> {
        if note(self) {
            return Ok(());
        }
        Err(Error::internal(format!("{signal:?} came twice")))
    }
}
