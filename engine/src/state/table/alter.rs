//! Changing or deleting a row with one look-up; looking at rows before they are asked for.

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::table::{SliceId, Table, lost};

/// Slices of fewer rows are in the cache anyhow.
pub(super) const LOOK_AHEAD_FROM: usize = 1 << 14;

/// How many rows it is good to look at together.
pub const LOOK_AHEAD: usize = 64;

/// What becomes of a row that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, changed or not.
    Stays,
    /// It is deleted.
    Goes,
}

impl<K: Key, V: Wire> Table<K, V> {
    /// Looks at rows of a great slice that are about to be asked for, about [`LOOK_AHEAD`] of
    /// them. Memory then answers for several of them at a time; asked for one after the other,
    /// with work in between, each would wait for its own.
    #[inline]
    pub fn look_ahead(&self, slice: SliceId, hashes: impl Iterator<Item = u32>) {
        let slice = self.slices.get(slice.0).and_then(Option::as_ref);
        if let Some(slice) = slice.filter(|slice| slice.len() >= LOOK_AHEAD_FROM) {
            let found = hashes.filter(|&hash| slice.look_at(hash)).count();
            std::hint::black_box(found);
        }
    }

    /// Changes the value of a key, if there is one; `change` says whether it stays, and what is
    /// to be told about it.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub fn alter<R>(
        &mut self,
        slice: SliceId,
        hash: u32,
        key: &K,
        change: impl FnOnce(&mut V) -> (Fate, R),
    ) -> Result<Option<R>> {
        let Some(row) = self.locate(slice, hash, key)? else {
            return Ok(None);
        };
        let epoch = self.epoch;
        let mark = |table: &Self| {
            let slice = table.slices[slice.0].as_ref()?;
            slice.row(row).map(|slot| slot.mark)
        };
        if !mark(self).is_some_and(|mark| mark.is_dirty_in(epoch)) {
            self.touch(slice, row, None::<fn() -> V>)?;
        }
        let s = self.slices[slice.0].as_mut().ok_or_else(lost)?;
        let slot = s.row_mut(row).ok_or_else(lost)?;
        let (fate, told) = change(&mut slot.value);
        if fate == Fate::Goes {
            let mark = slot.mark;
            if mark.is_stored() {
                s.set_mark(row, mark.removed(epoch));
            } else {
                s.take(row);
            }
        }
        Ok(Some(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::table::TableContext;

    #[test]
    fn a_row_is_changed_or_deleted() {
        let mut table: Table<u32, u64> = Table::new(TableContext::in_memory("t"));
        let slice = table.slice(0);
        table.upsert(slice, 7, &1, || 10).unwrap();
        let told = table
            .alter(slice, 7, &1, |v| {
                *v += 1;
                (Fate::Stays, *v)
            })
            .unwrap();
        assert_eq!(told, Some(11));
        assert_eq!(table.get(slice, 7, &1).unwrap(), Some(&11));
        let told = table.alter(slice, 7, &1, |v| (Fate::Goes, *v)).unwrap();
        assert_eq!(told, Some(11));
        assert_eq!(table.get(slice, 7, &1).unwrap(), None);
        let told = table.alter(slice, 7, &1, |v| (Fate::Stays, *v)).unwrap();
        assert_eq!(told, None);
    }
}
