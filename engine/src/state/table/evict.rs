//! Making room: rows leave memory, those that RocksDB does not know yet through it.

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::key_group::group_of;
use crate::state::run::{Run, namespace_range};
use crate::state::slice::{RowId, Slice};
use crate::state::table::{SliceId, Table};

impl<K: Key, V: Wire> Table<K, V> {
    /// Evicts one row if the rules allow it; dirty ones go into `run`.
    fn evict_row(
        &mut self,
        slice: &mut Slice<K, V>,
        row: RowId,
        run: &mut Run,
        dirty: bool,
    ) -> Result<bool> {
        let namespace = slice.namespace;
        let Some(slot) = slice.row_mut(row) else {
            return Ok(false);
        };
        let settled = slot.mark.epoch()
            < if self.cutting {
                self.epoch - 1
            } else {
                self.epoch
            };
        if settled && slot.mark.is_serialised() && !slot.mark.is_removed() {
            slice.take(row);
            slice.complete = false;
            return Ok(true);
        }
        if !dirty || self.cutting || slot.mark.is_removed() || !slot.mark.is_dirty_in(self.epoch) {
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
    pub(super) fn evict_round(&mut self, goal: usize, dirty: bool) -> Result<usize> {
        let row_bytes = self.row_bytes();
        let order: Vec<SliceId> = self
            .by_namespace
            .range(self.evict_from..)
            .chain(self.by_namespace.range(..self.evict_from))
            .map(|(_, &id)| id)
            .collect();
        let mut run = Run::new(&self.cx.column_family);
        if dirty {
            // A namespace that was dropped and came back must not lose its new rows at the barrier.
            for namespace in std::mem::take(&mut self.dropped) {
                run.delete_range(namespace_range(namespace, &self.cx.groups));
            }
        }
        let mut freed = 0;
        for id in order {
            if freed >= goal {
                break;
            }
            let Some(mut slice) = self.slices[id.0].take() else {
                continue;
            };
            self.evict_from = slice.namespace;
            let end = if slice.pinned { 0 } else { slice.end() };
            let mut looked_at = 0;
            while looked_at < end && freed < goal && !run.is_full() {
                let row = slice.hand;
                slice.hand = (row + 1) % end;
                looked_at += 1;
                match self.evict_row(&mut slice, row, &mut run, dirty) {
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
        if !run.is_empty()
            && let Some(store) = &self.cx.store
        {
            run.sort();
            store.write(&[run])?;
        }
        Ok(freed)
    }
}
