//! The thread that keeps the state: saves checkpoints, commits manifests, removes what is no longer
//! needed. Disk waits happen here, never on a worker.
//!
//! A checkpoint is a file of changes beside the last whole one; RocksDB hears of them when they
//! have become many, or when workers had to make room.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender};

use crate::checkpoint::changes::{self, ChangesFile};
use crate::checkpoint::directory::CheckpointDir;
use crate::checkpoint::fail_points::reach;
use crate::checkpoint::manifest::{Manifest, StateEntry};
use crate::error::{Error, Result};
use crate::runtime::event::{Event, Failure};
use crate::runtime::failure::panic_message;
use crate::state::key_group::KEY_GROUPS;
use crate::state::merge::merged;
use crate::state::rocks::Store;
use crate::state::run::Run;

/// What the supervisor asks of the keeper.
pub(crate) enum Order {
    /// Tell RocksDB of the changes that the start has read.
    Uncover,
    /// Take a part of what an epoch has changed, ahead of `Save`.
    Write { runs: Vec<Run>, bytes: usize },
    /// Save the state of the epoch, of which this is what has changed.
    Save {
        epoch: u64,
        runs: Vec<Run>,
        /// About how many rows the state has.
        of_rows: u64,
        /// Nothing follows.
        last: bool,
    },
    /// The commit point of the epoch.
    Commit(Box<Manifest>),
    /// Remove what is older than this epoch.
    CollectGarbage { before: u64 },
}

/// From so many rows on RocksDB is handed files instead of rows.
const INGEST_ROWS_MIN: usize = 50_000;

/// So many files of changes stand beside a whole checkpoint at most.
const CHANGES_MAX: usize = 256;

/// How much stands in changes, and how much the keeper holds in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Changes, whatever the state: a restart has to read as much.
    changes_small: u64,
    /// Changes, where the state is not much smaller than they are.
    changes_bytes: u64,
    /// What is in memory on its way to RocksDB.
    piece_bytes: u64,
}

/// Changes hold so many times the rows of the state at most, unless they are small.
const CHANGES_PER_STATE: u64 = 2;

impl Bounds {
    pub(crate) fn of(memory_bytes: usize) -> Self {
        let memory = memory_bytes as u64;
        Bounds {
            changes_small: (memory / 64).clamp(1 << 10, 32 << 20),
            changes_bytes: (memory / 16).clamp(1 << 10, 256 << 20),
            piece_bytes: (memory / 16).clamp(1 << 20, 384 << 20),
        }
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    rows: u64,
    bytes: u64,
}

impl Amount {
    fn of(runs: &[Run]) -> Self {
        Amount {
            rows: runs.iter().map(|run| run.len() as u64).sum(),
            bytes: runs.iter().map(|run| run.bytes() as u64).sum(),
        }
    }

    fn and(self, other: Amount) -> Self {
        Amount {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
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
    /// What has changed since the last whole checkpoint, and is in files beside it.
    changes: Amount,
    /// About how many rows the state had when it was saved last.
    state_rows: u64,
    /// What has come of the epoch that is to be saved next: in a file, unless it is too much.
    open: Option<ChangesFile<File>>,
    opened: Amount,
    /// The same, when it goes to RocksDB at once.
    parts: Vec<Run>,
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
            changes: Amount::default(),
            state_rows: 0,
            open: None,
            opened: Amount::default(),
            parts: Vec::new(),
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
        for order in std::iter::once(Order::Uncover).chain(orders) {
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
            Order::Uncover => {
                if self.store.is_covered() {
                    reach("rocks.write")?;
                    self.store.tell_overlay()?;
                }
                return Ok(None);
            }
            Order::Write { runs, bytes } => {
                let taken = self.take_parts(runs);
                self.store.arrived(bytes);
                taken?;
                return Ok(None);
            }
            Order::Save {
                epoch,
                runs,
                of_rows,
                last,
            } => {
                let spilled = self.store.take_spill();
                // Windows that have closed since leave much that is superseded: not at once.
                let of_rows = of_rows.max(std::mem::replace(&mut self.state_rows, of_rows));
                let all = self.changes.and(self.opened).and(Amount::of(&runs));
                let fits = last
                    || all.bytes <= self.bounds.changes_small
                    || (all.bytes <= self.bounds.changes_bytes
                        && all.rows <= of_rows.saturating_mul(CHANGES_PER_STATE));
                let files = self.previous.as_ref().map_or(0, |p| p.changes.len());
                let as_changes =
                    fits && !spilled && !self.whole_due && (!self.own || files < CHANGES_MAX);
                let state = match as_changes {
                    true => self.save_changes(epoch, runs, &saved)?,
                    false => self.save_whole(epoch, runs, &saved)?,
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

    /// Takes a part of an epoch: to its file, or to RocksDB if there is too much for files. While
    /// earlier changes wait, they would have to go there first, and with them older values of rows
    /// that workers before the barrier have evicted.
    fn take_parts(&mut self, runs: Vec<Run>) -> Result<()> {
        if self.whole_due {
            self.parts.extend(runs);
            return match Amount::of(&self.parts).bytes > self.bounds.piece_bytes / 2 {
                true => self.write_parts(),
                false => Ok(()),
            };
        }
        self.open(runs)?;
        if self.changes.rows == 0 && self.opened.bytes > self.bounds.changes_bytes {
            self.whole_due = true;
            return self.write_changes(Vec::new(), Vec::new());
        }
        Ok(())
    }

    /// Adds runs to the epoch's file.
    fn open(&mut self, runs: Vec<Run>) -> Result<()> {
        let added = Amount::of(&runs);
        if added.rows == 0 {
            return Ok(());
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => self.open.insert(self.dir.begin_changes()?),
        };
        self.dir.add_changes(file, &runs)?;
        self.opened = self.opened.and(added);
        self.store.reuse(runs);
        Ok(())
    }

    fn write_parts(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        self.write(parts)
    }

    fn write(&self, runs: Vec<Run>) -> Result<()> {
        let many = runs.iter().map(Run::len).sum::<usize>() >= INGEST_ROWS_MIN;
        reach("rocks.write")?;
        match many {
            true => self.store.ingest(&runs)?,
            false => self.store.write(&merged(&runs))?,
        }
        self.store.reuse(runs);
        Ok(())
    }

    /// Tells RocksDB what is in files of changes, the epoch's own behind them, and in memory:
    /// the youngest of each row only, or a worker would read an older one meanwhile. What does not
    /// fit into memory is read several times, some of the key groups each time.
    fn write_changes(&mut self, files: Vec<PathBuf>, runs: Vec<Run>) -> Result<()> {
        let opened = std::mem::take(&mut self.opened);
        let all = self.changes.and(opened).and(Amount::of(&runs));
        let pieces = all.bytes.div_ceil(self.bounds.piece_bytes).max(1);
        let pieces = pieces.min(KEY_GROUPS.into()) as u16;
        match self.open.take() {
            None => self.write_pieces(pieces, &files, runs),
            Some(file) => self.dir.take_back_changes(file, |last| {
                let files = [files, vec![last.to_owned()]].concat();
                self.write_pieces(pieces, &files, runs)
            }),
        }
    }

    fn write_pieces(&self, pieces: u16, files: &[PathBuf], runs: Vec<Run>) -> Result<()> {
        if pieces == 1 {
            let mut all = self.read(files, |run| run)?;
            all.extend(runs);
            return self.write(all);
        }
        for piece in 0..pieces {
            let bound = |piece: u16| KEY_GROUPS * piece / pieces;
            let groups = bound(piece)..bound(piece + 1);
            let mut some = self.read(files, |run| {
                let of_groups = run.of_groups(&groups);
                self.store.reuse(vec![run]);
                of_groups
            })?;
            some.extend(runs.iter().map(|run| run.of_groups(&groups)));
            self.write(some)?;
        }
        self.store.reuse(runs);
        Ok(())
    }

    fn read(&self, files: &[PathBuf], part: impl Fn(Run) -> Run) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for file in files {
            let new_run = |family: &str| self.store.new_run(family);
            changes::read(file, new_run, |run| {
                runs.push(part(run));
                Ok(())
            })?;
        }
        Ok(runs)
    }

    /// Beside the last whole checkpoint; RocksDB is told later.
    fn save_changes(
        &mut self,
        epoch: u64,
        runs: Vec<Run>,
        saved: impl Fn(u64, bool),
    ) -> Result<StateEntry> {
        self.open(runs)?;
        let mut base = match self.previous.take_if(|_| self.own) {
            Some(base) => base,
            None => self.save_store(epoch)?,
        };
        if let Some(file) = self.open.take() {
            base.changes
                .push(self.dir.keep_changes(file, &base, epoch)?);
            self.changes = self.changes.and(std::mem::take(&mut self.opened));
            self.store.set_unwritten(true);
        }
        saved(epoch, !self.store.has_unwritten());
        Ok(base)
    }

    /// All of RocksDB.
    fn save_whole(
        &mut self,
        epoch: u64,
        runs: Vec<Run>,
        saved: impl Fn(u64, bool),
    ) -> Result<StateEntry> {
        if self.whole_due {
            self.parts.extend(runs);
            self.write_parts()?;
        } else {
            let base = self.previous.as_ref().filter(|_| self.own);
            let files = base.map_or_else(Vec::new, |base| self.dir.changes_of(base));
            self.write_changes(files, runs)?;
        }
        let target = self.save_files(epoch)?;
        self.changes = Amount::default();
        self.whole_due = false;
        self.store.set_unwritten(false);
        saved(epoch, true);
        self.seal(&target)
    }

    /// RocksDB as it is.
    fn save_store(&mut self, epoch: u64) -> Result<StateEntry> {
        let target = self.save_files(epoch)?;
        self.seal(&target)
    }

    fn save_files(&self, epoch: u64) -> Result<PathBuf> {
        let target = self.dir.new_epoch_dir(epoch)?;
        reach("rocks.flush")?;
        self.store.checkpoint(&target)?;
        Ok(target)
    }

    fn seal(&mut self, target: &Path) -> Result<StateEntry> {
        let state = self.dir.seal(target, self.previous.as_ref())?;
        self.own = true;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::ops::ControlFlow;

    use super::*;
    use crate::state::run::namespace_range;

    const FAMILY: &str = "op/table";
    const KEYS: u64 = 300;

    type Rows = BTreeMap<(i64, u64), u64>;

    fn group(key: u64) -> u16 {
        (key * 31 % u64::from(KEY_GROUPS)) as u16
    }

    /// Changes some rows, as a worker hands them over.
    fn change(model: &mut Rows, seed: u64) -> Run {
        let mut run = Run::new(FAMILY);
        if seed.is_multiple_of(3) {
            run.delete_range(namespace_range(1, &(0..KEY_GROUPS)));
            model.retain(|&(namespace, _), _| namespace != 1);
        }
        for n in 0..KEYS {
            let noise = (n + seed * 1009).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let place = ((noise % 2) as i64, n);
            let at = (place.0, group(n), &place.1);
            match noise >> 1 & 3 {
                0 => {
                    run.delete(at).unwrap();
                    model.remove(&place);
                }
                1 => {
                    run.put(at, 1, &seed).unwrap();
                    model.insert(place, seed);
                }
                _ => {}
            }
        }
        run
    }

    /// What a restart finds.
    fn restored(dir: &CheckpointDir, path: &Path, state: &StateEntry) -> Rows {
        let copy = path.join("copy");
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).unwrap();
        for file in &state.files {
            let from = path.join(&state.directory).join(&file.name);
            fs::copy(from, copy.join(&file.name)).unwrap();
        }
        let store = Store::open(&copy, &[FAMILY.to_owned()], 8 << 20).unwrap();
        store.lay_over(dir.read_changes(state).unwrap()).unwrap();
        let covered = rows(&store);
        store.tell_overlay().unwrap();
        assert_eq!(
            rows(&store),
            covered,
            "the same before and after RocksDB was told"
        );
        covered
    }

    fn rows(store: &Store) -> Rows {
        let mut rows = Rows::new();
        for namespace in 0..2 {
            let row = |key: &[u8], value: &[u8]| {
                let key = crate::state::codec::decode(&key[10..])?;
                let value = crate::state::codec::decode_versioned(1, value)?;
                rows.insert((namespace, key), value);
                Ok(ControlFlow::Continue(()))
            };
            let groups = 0..KEY_GROUPS;
            store.scan(FAMILY, namespace, &groups, None, row).unwrap();
        }
        rows
    }

    /// Twelve epochs, each in some parts. Returns how many of them were saved whole.
    fn check(changes_bytes: u64, piece_bytes: u64, parts: u64) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let (dir, _) = CheckpointDir::open(folder.path(), "job", false).unwrap();
        fs::create_dir(dir.live_dir()).unwrap();
        let store = Store::open(&dir.live_dir(), &[FAMILY.to_owned()], 8 << 20).unwrap();
        let bounds = Bounds {
            changes_small: 0,
            changes_bytes,
            piece_bytes,
        };
        let mut keeper = Keeper::new(&dir, &store, None, bounds);
        let (mut model, mut whole) = (Rows::new(), 0);
        for epoch in 1..=12 {
            for part in 1..parts {
                let runs = vec![change(&mut model, epoch * parts + part)];
                let bytes = runs.iter().map(Run::bytes).sum();
                store.set_off(bytes);
                let order = Order::Write { runs, bytes };
                assert!(keeper.obey(order, |_, _| {}).unwrap().is_none());
            }
            let order = Order::Save {
                epoch,
                runs: vec![change(&mut model, epoch * parts)],
                of_rows: 1 << 20,
                last: false,
            };
            let Some(Event::StateSealed { state, .. }) = keeper.obey(order, |_, _| {}).unwrap()
            else {
                panic!("the state of epoch {epoch} is not saved");
            };
            whole += usize::from(state.changes.is_empty());
            assert_eq!(
                restored(&dir, folder.path(), &state),
                model,
                "epoch {epoch}"
            );
        }
        assert_eq!(store.in_flight(), 0);
        whole
    }

    #[test]
    fn a_checkpoint_is_the_state_whatever_stands_where() {
        // All in files of changes.
        assert_eq!(check(1 << 20, 1 << 20, 1), 0);
        // RocksDB is told every few epochs, at once or in pieces.
        let some = 1..12;
        assert!(some.contains(&check(12 << 10, 1 << 20, 1)));
        assert!(some.contains(&check(12 << 10, 1 << 10, 1)));
        assert!(some.contains(&check(12 << 10, 1 << 10, 4)));
        // Always, and before an epoch is there as a whole.
        assert_eq!(check(0, 1 << 10, 1), 12);
        assert_eq!(check(0, 1 << 10, 4), 12);
    }
}
