//! Making room: rows leave memory, those that RocksDB does not know yet through it.

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::key_group::group_of;
use crate::state::run::{Run, namespace_range};
use crate::state::slice::{RowId, Slice};
use crate::state::table::{SliceId, Table};

/// Which rows a round over the table evicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evictable {
    /// In RocksDB, and not changed in this epoch or the last one: not hot.
    Cold,
    /// In RocksDB.
    Written,
    /// Any: those that RocksDB does not hold are written first.
    Any,
}

/// A round looks at so many times the rows that it is to evict, and at some more: it must not
/// keep its worker for long when there are none to be found.
const LOOKS_PER_ROW: usize = 2;
const LOOKS_MIN: usize = 1024;

impl<K: Key, V: Wire> Table<K, V> {
    /// Evicts one row if the rules allow it; those that must be written go into `run`.
    fn evict_row(
        &mut self,
        slice: &mut Slice<K, V>,
        row: RowId,
        run: &mut Run,
        which: Evictable,
    ) -> Result<bool> {
        let namespace = slice.namespace;
        let Some(slot) = slice.row_mut(row) else {
            return Ok(false);
        };
        let mark = slot.mark;
        if mark.is_removed() {
            return Ok(false);
        }
        if mark.is_serialised() && mark.epoch() <= self.written {
            if which == Evictable::Cold && mark.epoch() + 1 >= self.epoch {
                return Ok(false);
            }
            slice.take(row);
            slice.complete = false;
            return Ok(true);
        }
        let settled = mark.is_serialised() || mark.is_dirty_in(self.epoch);
        if which != Evictable::Any || self.unsettled > 0 || !settled {
            return Ok(false);
        }
        run.put(
            (namespace, group_of(slot.hash), &slot.key),
            self.cx.version,
            &slot.value,
        )?;
        slice.stored = true;
        slice.complete = false;
        slice.rows_stored += 1;
        slice.take(row);
        Ok(true)
    }

    /// One round over the table, from where the last one ended. Returns the bytes freed.
    pub(super) fn evict_round(&mut self, goal: usize, which: Evictable) -> Result<usize> {
        let row_bytes = self.row_bytes();
        let order: Vec<SliceId> = self
            .by_namespace
            .range(self.evict_from..)
            .chain(self.by_namespace.range(..self.evict_from))
            .map(|(_, &id)| id)
            .collect();
        let mut run = Run::new(&self.cx.column_family);
        if which == Evictable::Any {
            self.write_dropped(&mut run);
        }
        let mut freed = 0;
        let rows = goal / row_bytes.max(1) + 1;
        let mut looks = rows.saturating_mul(LOOKS_PER_ROW).saturating_add(LOOKS_MIN);
        for id in order {
            if freed >= goal || looks == 0 {
                break;
            }
            let Some(mut slice) = self.slices[id.0].take() else {
                continue;
            };
            self.evict_from = slice.namespace;
            let end = if slice.pinned { 0 } else { slice.end() };
            let mut looked_at = 0;
            while looked_at < end && looks > 0 && freed < goal && !run.is_full() {
                let row = slice.hand;
                slice.hand = (row + 1) % end;
                looked_at += 1;
                looks -= 1;
                match self.evict_row(&mut slice, row, &mut run, which) {
                    Ok(true) => freed += row_bytes,
                    Ok(false) => {}
                    Err(e) => {
                        self.slices[id.0] = Some(slice);
                        return Err(e);
                    }
                }
            }
            self.slices[id.0] = Some(slice);
        }
        self.write_evicted(run)?;
        Ok(freed)
    }

    /// A namespace that was dropped and came back must not lose its new rows when RocksDB is told
    /// of the drop.
    fn write_dropped(&mut self, run: &mut Run) {
        let earlier = self
            .dropped_unwritten
            .iter_mut()
            .map(|(_, dropped)| dropped);
        for dropped in earlier.chain(&mut self.dropped) {
            // Told twice, it would delete what was evicted in between.
            if !std::mem::replace(&mut dropped.told, true) {
                run.delete_range(namespace_range(dropped.namespace, &self.cx.groups));
            }
        }
    }

    /// Writes what is evicted. While changes wait to be written to RocksDB, they must be told of
    /// it, else older values in them would come to stand over it.
    fn write_evicted(&mut self, mut run: Run) -> Result<()> {
        let Some(store) = self.cx.store.as_ref().filter(|_| !run.is_empty()) else {
            return Ok(());
        };
        store.write(std::slice::from_ref(&run))?;
        store.note_spill();
        if store.has_unwritten() {
            run.take_ranges();
            self.evicted.push(run);
        } else {
            self.dropped.clear();
        }
        Ok(())
    }
}
