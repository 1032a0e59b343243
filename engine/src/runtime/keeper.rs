//! The thread that keeps the state: saves checkpoints, commits manifests, removes what is no longer
//! needed. Disk waits happen here, never on a worker.
//!
//! A checkpoint of few rows is a file of changes beside the last whole one; RocksDB hears of them
//! when they have become many, or when workers had to make room.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender};

use crate::checkpoint::directory::CheckpointDir;
use crate::checkpoint::fail_points::reach;
use crate::checkpoint::manifest::{Manifest, StateEntry};
use crate::error::{Error, Result};
use crate::runtime::event::{Event, Failure};
use crate::runtime::failure::panic_message;
use crate::state::merge::merged;
use crate::state::rocks::Store;
use crate::state::run::Run;

/// What the supervisor asks of the keeper.
pub(crate) enum Order {
    /// Take a part of what an epoch has changed, ahead of `Save`.
    Write { runs: Vec<Run>, bytes: usize },
    /// Save the state of the epoch, of which this is what has changed.
    Save { epoch: u64, runs: Vec<Run> },
    /// The commit point of the epoch.
    Commit(Box<Manifest>),
    /// Remove what is older than this epoch.
    CollectGarbage { before: u64 },
}

/// From so many rows on RocksDB is handed files instead of rows.
const INGEST_ROWS_MIN: usize = 50_000;

/// So many files of changes stand beside a whole checkpoint at most.
const CHANGES_MAX: usize = 256;

/// How much the keeper holds in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Changes, before RocksDB is told of them: a restart has to read as much.
    changes_bytes: usize,
    /// Parts of an epoch, before RocksDB is told of them.
    parts_bytes: usize,
}

impl Bounds {
    pub(crate) fn of(memory_bytes: usize) -> Self {
        Bounds {
            changes_bytes: (memory_bytes / 64).clamp(64 << 10, 32 << 20),
            parts_bytes: (memory_bytes / 32).clamp(1 << 20, 256 << 20),
        }
    }
}

/// See the [module](self).
pub(crate) struct Keeper<'a> {
    dir: &'a CheckpointDir,
    store: &'a Store,
    /// The files of the last checkpoint.
    previous: Option<StateEntry>,
    /// `previous` was saved by this process, so changes may be added to it.
    own: bool,
    /// The changes since the last whole checkpoint, the oldest first.
    unwritten: Vec<Run>,
    unwritten_bytes: usize,
    /// What has come of the epoch that is to be saved next, and is not in RocksDB.
    parts: Vec<Run>,
    parts_bytes: usize,
    /// Some of that epoch is in RocksDB.
    whole_due: bool,
    bounds: Bounds,
}

impl<'a> Keeper<'a> {
    /// A keeper that goes on from a checkpoint.
    pub(crate) fn new(
        dir: &'a CheckpointDir,
        store: &'a Store,
        restored: Option<StateEntry>,
        bounds: Bounds,
    ) -> Self {
        Keeper {
            dir,
            store,
            previous: restored,
            own: false,
            unwritten: Vec::new(),
            unwritten_bytes: 0,
            parts: Vec::new(),
            parts_bytes: 0,
            whole_due: false,
            bounds,
        }
    }

    /// Obeys orders until there are no more. `saved` is told of each epoch whose state workers
    /// may forget, and whether RocksDB holds it.
    pub(crate) fn run(
        mut self,
        orders: &Receiver<Order>,
        events: &Sender<Event>,
        saved: impl Fn(u64, bool),
    ) {
        for order in orders {
            let obeying = AssertUnwindSafe(|| self.obey(order, &saved));
            // The supervisor waits for an answer to each order, so a panic must be one.
            let done = catch_unwind(obeying).unwrap_or_else(|panic| {
                let said = panic_message(&*panic);
                Err(Error::internal(format!("the keeper panicked: {said}")))
            });
            let failed = done.is_err();
            let event = done.unwrap_or_else(|error| {
                Some(Event::Failed(Box::new(Failure {
                    error: error.at("checkpoint"),
                    record: None,
                })))
            });
            if let Some(event) = event {
                let _ = events.send(event);
            }
            if failed {
                return;
            }
        }
    }

    fn obey(&mut self, order: Order, saved: impl Fn(u64, bool)) -> Result<Option<Event>> {
        let event = match order {
            Order::Write { runs, bytes } => {
                let taken = self.take_parts(runs, bytes);
                self.store.arrived(bytes);
                taken?;
                return Ok(None);
            }
            Order::Save { epoch, runs } => {
                self.take_runs(runs);
                let runs = std::mem::take(&mut self.parts);
                self.parts_bytes = 0;
                let spilled = self.store.take_spill();
                let bytes: usize = runs.iter().map(Run::bytes).sum();
                let base = self.previous.take_if(|previous| {
                    self.own
                        && !spilled
                        && !self.whole_due
                        && self.unwritten_bytes + bytes <= self.bounds.changes_bytes
                        && previous.changes.len() < CHANGES_MAX
                });
                let state = match base {
                    Some(base) => self.save_changes(base, epoch, runs, bytes, &saved)?,
                    None => self.save_whole(epoch, runs, &saved)?,
                };
                self.previous = Some(state.clone());
                Event::StateSealed { epoch, state }
            }
            Order::Commit(manifest) => {
                self.dir.commit(&manifest)?;
                Event::Committed {
                    epoch: manifest.epoch,
                }
            }
            Order::CollectGarbage { before } => {
                self.dir.collect_garbage(before)?;
                Event::CollectedGarbage { epoch: before }
            }
        };
        Ok(Some(event))
    }

    fn take_runs(&mut self, mut runs: Vec<Run>) {
        runs.retain(|run| !run.is_empty());
        runs.iter_mut().for_each(Run::sort);
        self.parts.append(&mut runs);
    }

    /// Keeps a part, or writes all of them. While changes wait, they would have to go first, and
    /// with them older values of rows that workers before the barrier have evicted.
    fn take_parts(&mut self, runs: Vec<Run>, bytes: usize) -> Result<()> {
        self.take_runs(runs);
        self.parts_bytes += bytes;
        if self.parts_bytes > self.bounds.parts_bytes && self.unwritten.is_empty() {
            let parts = std::mem::take(&mut self.parts);
            self.parts_bytes = 0;
            self.whole_due = true;
            self.write(parts)?;
        }
        Ok(())
    }

    fn write(&self, runs: Vec<Run>) -> Result<()> {
        let many = runs.iter().map(Run::len).sum::<usize>() >= INGEST_ROWS_MIN;
        reach("rocks.write")?;
        match many {
            true => self.store.ingest(&runs)?,
            false => self.store.write(&runs)?,
        }
        self.store.reuse(runs);
        Ok(())
    }

    /// Beside the last whole checkpoint; RocksDB is told later.
    fn save_changes(
        &mut self,
        mut base: StateEntry,
        epoch: u64,
        runs: Vec<Run>,
        bytes: usize,
        saved: impl Fn(u64, bool),
    ) -> Result<StateEntry> {
        if !runs.is_empty() {
            let file = self.dir.add_changes(&base, epoch, &runs)?;
            base.changes.push(file);
            self.store.set_unwritten(true);
            self.unwritten.extend(runs);
            self.unwritten_bytes += bytes;
        }
        saved(epoch, !self.store.has_unwritten());
        Ok(base)
    }

    /// All of RocksDB.
    fn save_whole(
        &mut self,
        epoch: u64,
        mut runs: Vec<Run>,
        saved: impl Fn(u64, bool),
    ) -> Result<StateEntry> {
        if !self.unwritten.is_empty() {
            let mut all = std::mem::take(&mut self.unwritten);
            all.append(&mut runs);
            runs = merged(&all);
            self.store.reuse(all);
        }
        self.write(runs)?;
        let target = self.dir.new_epoch_dir(epoch)?;
        reach("rocks.flush")?;
        self.store.checkpoint(&target)?;
        self.unwritten_bytes = 0;
        self.whole_due = false;
        self.store.set_unwritten(false);
        saved(epoch, true);
        let state = self.dir.seal(&target, self.previous.as_ref())?;
        self.own = true;
        Ok(state)
    }
}
