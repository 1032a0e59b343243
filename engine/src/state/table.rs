//! Keyed state of an operator: `namespace -> key -> value`, in memory, behind it RocksDB.
//!
//! A namespace is a slice of a window, a bucket of timers, or 0 where there is only one. The
//! table keeps the rules of the checkpoint (see [`crate::checkpoint`]): after
//! [`freeze`](StateTable::freeze) the rows that were dirty are handed over in their value as of
//! the barrier, by [`drain`](StateTable::drain) between batches or when they are touched again;
//! until [`settle`](StateTable::settle) nothing that changed since may reach RocksDB.

mod by_row;
mod evict;
mod look_ahead;
mod prefetch;
mod walk;
mod warm;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::codec;
use crate::state::key_group::group_of;
use crate::state::run::{Run, encode_key, namespace_range};
use crate::state::slice::{INDEX_BYTES_PER_ROW, RowId, Slice, Spare};
use crate::state::slot::{Mark, Slot};
use crate::state::table::evict::Evictable;
use crate::state::table::prefetch::Absent;
use crate::state::table::warm::Warming;

pub use crate::state::contract::{Inventory, StateTable, TableContext};
pub use crate::state::table::by_row::{NO_ROW, RowNumber};
pub use crate::state::table::look_ahead::LOOK_AHEAD;
pub use crate::state::table::walk::Walk;

/// A handle on a namespace of a [`Table`], valid until it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceId(usize);

/// So many runs are worth being taken before the last one.
const FULL_RUNS: usize = 4;

/// A namespace that was deleted with all its rows.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    namespace: i64,
    /// RocksDB has been told.
    told: bool,
}

/// Keyed state: see the [module](self).
pub struct Table<K, V> {
    cx: TableContext,
    slices: Vec<Option<Slice<K, V>>>,
    by_namespace: BTreeMap<i64, SliceId>,
    unused: Vec<SliceId>,
    spare: Spare<K, V>,
    epoch: u32,
    /// Barriers whose checkpoint is not saved yet. While there is one, rows that were changed
    /// since may not be written.
    unsettled: u32,
    /// RocksDB holds every row as of the barrier of this epoch. Younger rows that are part of a
    /// checkpoint may be in its changes only (see [`crate::checkpoint::changes`]).
    written: u32,
    /// Slices with frozen rows.
    freezing: VecDeque<SliceId>,
    /// Rows deleted, to be forgotten once their deletion is settled.
    removed: Vec<(i64, RowId)>,
    handed_over: Vec<Run>,
    /// Rows evicted since the barrier that the next checkpoint's changes must hold as well.
    evicted: Vec<Run>,
    /// Deletions of whole namespaces since the barrier.
    dropped: Vec<Dropped>,
    /// Those before it that are in changes, and not in RocksDB unless it was told of them when
    /// rows were evicted.
    dropped_unwritten: Vec<(u32, Dropped)>,
    inventory: Vec<(i64, u64)>,
    evict_from: i64,
    heap_bytes_per_row: usize,
    /// What is read back between batches, and how far that has come.
    warming: VecDeque<Warming>,
    absent: Absent<K>,
    /// Rows changed for the first time in an epoch, since the last prefetch.
    touches: usize,
}

impl<K: Key, V: Wire> Table<K, V> {
    /// An empty table, or the one that `cx` says the checkpoint holds.
    pub fn new(cx: TableContext) -> Self {
        let mut table = Table {
            slices: Vec::new(),
            by_namespace: BTreeMap::new(),
            unused: Vec::new(),
            spare: Spare::none(),
            epoch: 1,
            unsettled: 0,
            written: 1,
            freezing: VecDeque::new(),
            removed: Vec::new(),
            handed_over: Vec::new(),
            evicted: Vec::new(),
            dropped: Vec::new(),
            dropped_unwritten: Vec::new(),
            inventory: Vec::new(),
            evict_from: i64::MIN,
            heap_bytes_per_row: 0,
            warming: VecDeque::new(),
            absent: Absent::none(),
            touches: 0,
            cx,
        };
        let restored = std::mem::take(&mut table.cx.restored);
        table.plan_warming(&restored);
        for (namespace, rows) in restored {
            table.add(Slice::new(namespace, true, rows));
        }
        // Epoch 1 is what rows read from RocksDB are marked with.
        table.epoch = 2;
        table
    }

    fn add(&mut self, slice: Slice<K, V>) -> SliceId {
        let namespace = slice.namespace;
        let id = match self.unused.pop() {
            Some(id) => {
                self.slices[id.0] = Some(slice);
                id
            }
            None => {
                self.slices.push(Some(slice));
                SliceId(self.slices.len() - 1)
            }
        };
        self.by_namespace.insert(namespace, id);
        id
    }

    /// The slice of a namespace, made if there is none.
    pub fn slice(&mut self, namespace: i64) -> SliceId {
        match self.by_namespace.get(&namespace) {
            Some(&id) => id,
            None => {
                // What was dropped earlier in this epoch may still stand in RocksDB.
                let earlier = self.dropped_unwritten.iter().map(|(_, dropped)| dropped);
                let stored = earlier
                    .chain(&self.dropped)
                    .any(|dropped| dropped.namespace == namespace);
                let mut slice = Slice::in_memory_of(&mut self.spare, namespace, stored, 0);
                slice.complete = true;
                self.add(slice)
            }
        }
    }

    /// The slice of a namespace, if there is one.
    pub fn find_slice(&self, namespace: i64) -> Option<SliceId> {
        self.by_namespace.get(&namespace).copied()
    }

    /// The namespaces that have a slice, ascending.
    pub fn namespaces(&self) -> impl DoubleEndedIterator<Item = (i64, SliceId)> + '_ {
        self.by_namespace
            .iter()
            .map(|(&namespace, &id)| (namespace, id))
    }

    /// The lowest namespace that has a slice.
    pub fn first_namespace(&self) -> Option<i64> {
        self.by_namespace.keys().next().copied()
    }

    /// The namespaces within a range that have a slice, ascending.
    pub fn namespaces_in(
        &self,
        range: Range<i64>,
    ) -> impl DoubleEndedIterator<Item = (i64, SliceId)> + '_ {
        self.by_namespace
            .range(range)
            .map(|(&namespace, &id)| (namespace, id))
    }

    /// The value of a key, to be changed: made by `init` if there is none.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub fn upsert(
        &mut self,
        slice: SliceId,
        hash: u32,
        key: &K,
        init: impl FnOnce() -> V,
    ) -> Result<&mut V> {
        let found = self.slices[slice.0]
            .as_ref()
            .and_then(|s| s.find_marked(hash, key));
        let (_, value) = self.row_to_change(slice, found, hash, key, init)?;
        Ok(value)
    }

    /// The row of a key, which was looked for in memory, for a change.
    #[inline(always)]
    fn row_to_change(
        &mut self,
        slice: SliceId,
        found: Option<(RowId, Mark)>,
        hash: u32,
        key: &K,
        init: impl FnOnce() -> V,
    ) -> Result<(RowId, &mut V)> {
        let row = match found {
            Some((row, mark)) => {
                if !mark.is_dirty_in(self.epoch) {
                    self.touch(slice, row, Some(init))?;
                }
                row
            }
            None => self.admit(slice, hash, key, init)?,
        };
        Ok((row, self.value_mut(slice, row)?))
    }

    #[inline]
    fn value_mut(&mut self, slice: SliceId, row: RowId) -> Result<&mut V> {
        match self.slices[slice.0].as_mut().and_then(|s| s.row_mut(row)) {
            Some(slot) => Ok(&mut slot.value),
            None => Err(lost()),
        }
    }

    /// The value of a key, to be changed, if there is one.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn get_mut(&mut self, slice: SliceId, hash: u32, key: &K) -> Result<Option<&mut V>> {
        let Some(row) = self.locate(slice, hash, key)? else {
            return Ok(None);
        };
        self.touch(slice, row, None::<fn() -> V>)?;
        self.value_mut(slice, row).map(Some)
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn get(&mut self, slice: SliceId, hash: u32, key: &K) -> Result<Option<&V>> {
        let Some(row) = self.locate(slice, hash, key)? else {
            return Ok(None);
        };
        Ok(self.slices[slice.0]
            .as_ref()
            .and_then(|s| s.row(row))
            .map(|slot| &slot.value))
    }

    /// A living row, from memory or RocksDB.
    fn locate(&mut self, slice: SliceId, hash: u32, key: &K) -> Result<Option<RowId>> {
        let Some(s) = self.slices[slice.0].as_mut() else {
            return Ok(None);
        };
        let mut found = s.find_marked(hash, key);
        if found.is_none() && s.reopen() {
            found = s.find_marked(hash, key);
        }
        match found {
            Some((row, mark)) => Ok((!mark.is_removed()).then_some(row)),
            None if s.complete => Ok(None),
            None => self.fetch(slice, hash, key),
        }
    }

    /// Deletes a key. True if it was there.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn remove(&mut self, slice: SliceId, hash: u32, key: &K) -> Result<bool> {
        let Some(row) = self.locate(slice, hash, key)? else {
            return Ok(false);
        };
        self.touch(slice, row, None::<fn() -> V>)?;
        let epoch = self.epoch;
        let Some(s) = self.slices[slice.0].as_mut() else {
            return Ok(false);
        };
        let Some(mark) = s.row(row).map(|slot| slot.mark) else {
            return Ok(false);
        };
        if mark.is_stored() {
            s.set_mark(row, mark.removed(epoch));
        } else {
            s.take(row);
        }
        Ok(true)
    }

    /// Deletes a namespace with all that is in it.
    ///
    /// # Errors
    /// When a value that the running checkpoint needs cannot be serialised.
    pub fn drop_slice(&mut self, namespace: i64) -> Result<()> {
        let Some(id) = self.by_namespace.remove(&namespace) else {
            return Ok(());
        };
        if let Some(mut slice) = self.slices[id.0].take() {
            while let Some(row) = slice.frozen.pop() {
                self.hand_over(&mut slice, row)?;
            }
            if slice.stored {
                self.dropped.push(Dropped {
                    namespace,
                    told: false,
                });
                // What was evicted before the drop must not come to stand behind it.
                if !self.evicted.is_empty() {
                    let mut run = Run::new(&self.cx.column_family);
                    run.delete_range(namespace_range(namespace, &self.cx.groups));
                    self.evicted.push(run);
                }
            }
            self.spare.keep(slice);
        }
        self.absent.clear();
        self.unused.push(id);
        Ok(())
    }

    /// No key of this slice is expected to be asked for any more, though it may be: its index is
    /// given to the next slice, and made anew if somebody asks.
    pub fn close(&mut self, id: SliceId) {
        if let Some(slice) = self.slices[id.0].as_mut() {
            slice.close(&mut self.spare);
        }
    }

    /// Brings every row of a slice into memory, so that [`rows`](Table::rows) sees them all.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn load(&mut self, id: SliceId) -> Result<()> {
        let Some(mut slice) = self.slices[id.0].take() else {
            return Ok(());
        };
        slice.reopen();
        let loaded = self.load_into(&mut slice);
        self.slices[id.0] = Some(slice);
        loaded
    }

    fn load_into(&self, slice: &mut Slice<K, V>) -> Result<()> {
        let mut rows = Vec::new();
        self.scan_cold(slice, None, usize::MAX, |slot| rows.push(slot))?;
        for slot in rows {
            slice.insert(slot);
        }
        slice.complete = true;
        Ok(())
    }

    fn stored_slot(&self, hash: u32, key: K, value: &[u8]) -> Result<Slot<K, V>> {
        let value = codec::decode_versioned(self.cx.version, value)
            .map_err(|e| e.at(format!("state of `{}`, key {key:?}", self.cx.column_family)))?;
        Ok(Slot {
            hash,
            mark: Mark::loaded(),
            key,
            value,
        })
    }

    /// The living rows of a slice that are in memory, from row number `from` on: all of them
    /// after [`load`](Table::load). Row numbers stay valid while nothing is inserted.
    pub fn rows(&self, id: SliceId, from: u32) -> impl Iterator<Item = (u32, Row<'_, K, V>)> {
        let slice = self.slices[id.0].as_ref();
        let end = slice.map_or(0, Slice::end);
        (from..end).filter_map(move |number| {
            let slot = slice?.row(number)?;
            (!slot.mark.is_removed()).then_some((number, Row::of(slot)))
        })
    }

    /// How many rows of a slice are in memory.
    pub fn len(&self, id: SliceId) -> usize {
        self.slices[id.0].as_ref().map_or(0, Slice::len)
    }

    /// A row that is not in memory: from RocksDB if it may be there, else new.
    #[cold]
    fn admit(
        &mut self,
        slice: SliceId,
        hash: u32,
        key: &K,
        init: impl FnOnce() -> V,
    ) -> Result<RowId> {
        let s = self.slices[slice.0].as_mut().ok_or_else(lost)?;
        if s.reopen()
            && let Some(row) = s.find(hash, key)
        {
            self.touch(slice, row, Some(init))?;
            return Ok(row);
        }
        if !s.complete
            && let Some(row) = self.fetch(slice, hash, key)?
        {
            self.touch(slice, row, None::<fn() -> V>)?;
            return Ok(row);
        }
        let slot = Slot {
            hash,
            mark: Mark::changed_in(self.epoch),
            key: key.clone(),
            value: init(),
        };
        let persistent = self.cx.store.is_some();
        let s = self.slices[slice.0].as_mut().ok_or_else(lost)?;
        let row = s.insert_with(slot, &mut self.spare);
        if persistent {
            s.dirty.push(row);
        }
        Ok(row)
    }

    /// Reads a row back from RocksDB; small namespaces come back whole.
    #[cold]
    fn fetch(&mut self, id: SliceId, hash: u32, key: &K) -> Result<Option<RowId>> {
        let Some(store) = self.cx.store.clone() else {
            return Ok(None);
        };
        if self.absent.contains(id, hash, key) {
            return Ok(None);
        }
        let row_bytes = self.row_bytes();
        let s = self.slices[id.0].as_ref().ok_or_else(lost)?;
        if s.len() == 0
            && (s.rows_stored as usize).saturating_mul(row_bytes) <= self.cx.load_whole_bytes
        {
            self.load(id)?;
            return Ok(self.slices[id.0].as_ref().and_then(|s| s.find(hash, key)));
        }
        let mut bytes = Vec::with_capacity(64);
        encode_key(s.namespace, group_of(hash), key, &mut bytes)?;
        let Some(value) = store.get(&self.cx.column_family, &bytes)? else {
            return Ok(None);
        };
        let slot = self.stored_slot(hash, key.clone(), &value)?;
        Ok(self.slices[id.0].as_mut().map(|s| s.insert(slot)))
    }

    /// The first change of a row in this epoch: its old value is handed over if the running
    /// checkpoint needs it. A row that was deleted comes back with `revive`.
    #[cold]
    fn touch(&mut self, id: SliceId, row: RowId, revive: Option<impl FnOnce() -> V>) -> Result<()> {
        self.touches += 1;
        if self.unsettled > 0 {
            let mut slice = self.slices[id.0].take().ok_or_else(lost)?;
            let handed_over = self.hand_over(&mut slice, row);
            self.slices[id.0] = Some(slice);
            handed_over?;
        }
        let slice = self.slices[id.0].as_mut().ok_or_else(lost)?;
        if let Some(slot) = slice.row_mut(row) {
            let dirty = slot.mark.epoch() == self.epoch;
            if slot.mark.is_removed()
                && let Some(revive) = revive
            {
                slot.value = revive();
            }
            slot.mark = slot.mark.touched(self.epoch);
            if !dirty && self.cx.store.is_some() {
                slice.dirty.push(row);
            }
        }
        Ok(())
    }

    /// Hands over a frozen row, unless that was done.
    fn hand_over(&mut self, slice: &mut Slice<K, V>, row: RowId) -> Result<()> {
        let frozen_epoch = self.epoch - 1;
        let namespace = slice.namespace;
        let Some(slot) = slice.row_mut(row) else {
            return Ok(());
        };
        if self.unsettled == 0 || slot.mark.epoch() != frozen_epoch || slot.mark.is_serialised() {
            return Ok(());
        }
        let run = open_run(&mut self.handed_over, &self.cx);
        let place = (namespace, group_of(slot.hash), &slot.key);
        if slot.mark.is_removed() {
            run.delete(place)?;
            self.removed.push((namespace, row));
        } else {
            let bytes = run.put(place, self.cx.version, &slot.value)?;
            if std::mem::needs_drop::<K>() || std::mem::needs_drop::<V>() {
                self.heap_bytes_per_row = (self.heap_bytes_per_row * 15 + bytes) / 16;
            }
        }
        slot.mark = slot.mark.serialised();
        slice.stored = true;
        Ok(())
    }

    /// About the memory of one row.
    fn row_bytes(&self) -> usize {
        size_of::<Option<Slot<K, V>>>() + INDEX_BYTES_PER_ROW + self.heap_bytes_per_row
    }
}

impl<K: Key, V: Wire> StateTable for Table<K, V> {
    fn freeze(&mut self) {
        self.inventory = self
            .by_namespace
            .iter()
            .filter_map(|(&namespace, &id)| {
                let slice = self.slices[id.0].as_ref()?;
                let rows = if slice.complete {
                    slice.len() as u64
                } else {
                    slice.rows_stored.max(slice.len() as u64)
                };
                (rows > 0 || slice.stored).then_some((namespace, rows))
            })
            .collect();
        if self.cx.store.is_none() {
            return;
        }
        for dropped in std::mem::take(&mut self.dropped) {
            let range = namespace_range(dropped.namespace, &self.cx.groups);
            open_run(&mut self.handed_over, &self.cx).delete_range(range);
            self.dropped_unwritten.push((self.epoch, dropped));
        }
        if !self.evicted.is_empty() {
            self.handed_over.append(&mut self.evicted);
            // What is handed over from now on is younger than what was evicted.
            self.handed_over.push(Run::new(&self.cx.column_family));
        }
        self.epoch += 1;
        self.unsettled += 1;
        for &id in self.by_namespace.values() {
            if let Some(slice) = self.slices[id.0].as_mut()
                && !slice.dirty.is_empty()
            {
                // The lists change places: the memory of one is used again for the other.
                slice.frozen.clear();
                std::mem::swap(&mut slice.frozen, &mut slice.dirty);
                self.freezing.push_back(id);
            }
        }
    }

    fn drain(&mut self, rows: usize) -> Result<bool> {
        let mut left = rows;
        while let Some(&id) = self.freezing.front() {
            let Some(mut slice) = self.slices[id.0].take() else {
                self.freezing.pop_front();
                continue;
            };
            let mut result = Ok(());
            slice.fetch_ahead(left);
            while left > 0 && result.is_ok() {
                let Some(row) = slice.frozen.pop() else {
                    break;
                };
                left -= 1;
                result = self.hand_over(&mut slice, row);
            }
            let done = slice.frozen.is_empty();
            if done {
                slice.rows_stored = slice.rows_stored.max(slice.len() as u64);
                self.freezing.pop_front();
            }
            self.slices[id.0] = Some(slice);
            result?;
            if !done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_runs(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.handed_over)
    }

    fn take_full_runs(&mut self) -> Vec<Run> {
        match self.handed_over.len() {
            0..FULL_RUNS => Vec::new(),
            runs => self.handed_over.drain(..runs - 1).collect(),
        }
    }

    fn settle(&mut self, written: bool) {
        self.unsettled = self.unsettled.saturating_sub(1);
        if !written {
            return;
        }
        self.written = self.epoch - 1 - self.unsettled;
        let upto = self.written;
        self.dropped_unwritten.retain(|&(epoch, _)| epoch > upto);
        for (namespace, row) in std::mem::take(&mut self.removed) {
            let Some(slice) = self
                .find_slice(namespace)
                .and_then(|id| self.slices[id.0].as_mut())
            else {
                continue;
            };
            // It may have come back since, or its place may have been given away.
            let mark = slice.row(row).map(|slot| slot.mark);
            let gone = mark.filter(|mark| mark.is_removed() && mark.is_serialised());
            match gone {
                Some(mark) if mark.epoch() <= upto => drop(slice.take(row)),
                Some(_) => self.removed.push((namespace, row)),
                None => {}
            }
        }
    }

    fn warm(&mut self, rows: usize) -> Result<bool> {
        self.warm_on(rows)
    }

    fn evict(&mut self, bytes: usize) -> Result<usize> {
        // What does not fit is not worth reading.
        self.warming.clear();
        self.absent.clear();
        let spare = std::mem::replace(&mut self.spare, Spare::none()).bytes();
        if spare >= bytes {
            return Ok(spare);
        }
        let cold = spare + self.evict_round(bytes - spare, Evictable::Cold)?;
        if cold >= bytes {
            return Ok(cold);
        }
        // What is written now would be hidden by what stands over RocksDB.
        let covered = self.cx.store.as_ref().is_some_and(|s| s.is_covered());
        let rest = match self.unsettled {
            0 if !covered => Evictable::Any,
            _ => Evictable::Written,
        };
        Ok(cold + self.evict_round(bytes - cold, rest)?)
    }

    fn bytes(&self) -> usize {
        let slices = self.slices.iter().flatten();
        slices
            .map(|s| s.bytes() + s.len() * self.heap_bytes_per_row)
            .sum::<usize>()
            + self.evicted.iter().map(Run::bytes).sum::<usize>()
            + self.spare.bytes()
    }

    fn inventory(&self) -> Inventory {
        Inventory {
            column_family: self.cx.column_family.clone(),
            version: self.cx.version,
            namespaces: self.inventory.clone(),
        }
    }
}

/// A living row of a [`Table`].
#[derive(Debug)]
pub struct Row<'a, K, V> {
    /// The key's stable hash.
    pub hash: u32,
    /// The key.
    pub key: &'a K,
    /// The value.
    pub value: &'a V,
}

impl<'a, K, V> Row<'a, K, V> {
    fn of(slot: &'a Slot<K, V>) -> Self {
        Row {
            hash: slot.hash,
            key: &slot.key,
            value: &slot.value,
        }
    }
}

fn open_run<'a>(runs: &'a mut Vec<Run>, cx: &TableContext) -> &'a mut Run {
    if runs.last().is_none_or(Run::is_full) {
        // The first run of a barrier is mostly the last one, and small.
        let store = cx.store.as_ref().filter(|_| !runs.is_empty());
        runs.push(match store {
            Some(store) => store.new_run(&cx.column_family),
            None => Run::new(&cx.column_family),
        });
    }
    let last = runs.len() - 1;
    &mut runs[last]
}

#[cold]
fn lost() -> crate::error::Error {
    crate::error::Error::internal("a state row was used after its namespace was dropped")
}
