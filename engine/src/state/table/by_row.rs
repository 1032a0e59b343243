//! Rows by their number, for who has asked for their key before: no look-up in the index.
//!
//! A row keeps its number as long as it is in memory; then the number may become another key's.
//! So a number is a guess: either the key is compared, or whoever remembers numbers forgets them
//! before rows are evicted, and can tell from the value whether it is still meant.

use std::hint::black_box;

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::table::look_ahead::LOOK_AHEAD_FROM;
use crate::state::table::{Row, SliceId, Table, lost};

/// A row's number in its slice.
pub type RowNumber = u32;

/// The number of no row.
pub const NO_ROW: RowNumber = RowNumber::MAX;

impl<K: Key, V: Wire> Table<K, V> {
    /// Whether a slice is too large for a processor's own caches, so that looking ahead pays.
    #[inline]
    pub fn is_large(&self, slice: SliceId) -> bool {
        let slice = self.slices.get(slice.0).and_then(Option::as_ref);
        slice.is_some_and(|slice| slice.len() >= LOOK_AHEAD_FROM)
    }

    /// As [`look_ahead`](Table::look_ahead), and remembers which rows were found: guesses for
    /// [`upsert_row`](Table::upsert_row). `look` reads of a value what will be asked for.
    #[inline]
    pub fn guess_rows(
        &self,
        slice: SliceId,
        hashes: impl Iterator<Item = u32>,
        guesses: &mut [RowNumber],
        look: impl Fn(&V) -> u32,
    ) {
        if let Some(Some(slice)) = self.slices.get(slice.0) {
            for (hash, guess) in hashes.zip(guesses.iter_mut()) {
                *guess = slice.row_of_hash(hash).unwrap_or(NO_ROW);
            }
        }
        self.look_at_rows(slice, guesses, look);
    }

    /// Brings rows that are about to be asked for into the processor's caches. `look` reads of a
    /// value what will be.
    #[inline]
    pub fn look_at_rows(&self, slice: SliceId, rows: &[RowNumber], look: impl Fn(&V) -> u32) {
        if let Some(Some(slice)) = self.slices.get(slice.0) {
            let known = rows.iter().filter_map(|&row| slice.row(row));
            let read = known.map(|slot| look(&slot.value));
            black_box(read.fold(0, u32::wrapping_add));
        }
    }

    /// Brings rows that are about to be removed into the processor's caches, with their places in
    /// the index.
    pub fn look_ahead_rows(&self, slice: SliceId, rows: impl Iterator<Item = RowNumber>) {
        if let Some(Some(slice)) = self.slices.get(slice.0) {
            let known = rows.filter(|&row| slice.is_indexed(row));
            black_box(known.count());
        }
    }

    /// As [`upsert`](Table::upsert), where the key's row is likely to be `guess`; the number of
    /// the row as well.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub fn upsert_row(
        &mut self,
        id: SliceId,
        guess: RowNumber,
        hash: u32,
        key: &K,
        init: impl FnOnce() -> V,
    ) -> Result<(RowNumber, &mut V)> {
        let slice = self.slices[id.0].as_ref().ok_or_else(lost)?;
        let guessed = slice.row(guess);
        let guessed = guessed.filter(|slot| slot.hash == hash && slot.key == *key);
        let found = match guessed {
            Some(slot) => Some((guess, slot.mark)),
            None => slice.find_marked(hash, key),
        };
        self.row_to_change(id, found, hash, key, init)
    }

    /// The row of a key, from memory or RocksDB, if there is one.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn row_of(&mut self, slice: SliceId, hash: u32, key: &K) -> Result<Option<RowNumber>> {
        self.locate(slice, hash, key)
    }

    /// The living row of this number, if there is one in memory.
    #[inline]
    pub fn row(&self, slice: SliceId, row: RowNumber) -> Option<Row<'_, K, V>> {
        let slot = self.slices.get(slice.0)?.as_ref()?.row(row)?;
        (!slot.mark.is_removed()).then(|| Row::of(slot))
    }

    /// The value of a living row, to note in it what no checkpoint has to know.
    #[inline]
    pub fn note(&mut self, slice: SliceId, row: RowNumber) -> Option<&mut V> {
        let slot = self.slices.get_mut(slice.0)?.as_mut()?.row_mut(row)?;
        (!slot.mark.is_removed()).then_some(&mut slot.value)
    }

    /// The value of a living row, to be changed.
    ///
    /// # Errors
    /// When its old value cannot be serialised.
    pub fn change_row(&mut self, slice: SliceId, row: RowNumber) -> Result<Option<&mut V>> {
        if self.row(slice, row).is_none() {
            return Ok(None);
        }
        self.touch(slice, row, None::<fn() -> V>)?;
        self.value_mut(slice, row).map(Some)
    }

    /// Deletes a living row.
    ///
    /// # Errors
    /// When its old value cannot be serialised.
    #[inline]
    pub fn remove_row(&mut self, id: SliceId, row: RowNumber) -> Result<()> {
        let epoch = self.epoch;
        let mark = |table: &Self| {
            let slice = table.slices.get(id.0)?.as_ref()?;
            slice.row(row).map(|slot| slot.mark)
        };
        if !mark(self).is_some_and(|mark| mark.is_dirty_in(epoch)) {
            self.touch(id, row, None::<fn() -> V>)?;
        }
        let slice = self.slices[id.0].as_mut().ok_or_else(lost)?;
        match slice.row(row).map(|slot| slot.mark) {
            Some(mark) if mark.is_stored() => slice.set_mark(row, mark.removed(epoch)),
            Some(_) => drop(slice.take(row)),
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::table::TableContext;

    #[test]
    fn a_guess_is_taken_only_for_its_key() {
        let mut table: Table<u32, u64> = Table::new(TableContext::in_memory("t"));
        let slice = table.slice(0);
        let (one, _) = table.upsert_row(slice, NO_ROW, 7, &1, || 10).unwrap();
        let (two, _) = table.upsert_row(slice, one, 7, &2, || 20).unwrap();
        assert_ne!(one, two, "another key of the same hash");
        for guess in [one, two, NO_ROW] {
            let (row, value) = table.upsert_row(slice, guess, 7, &1, || 0).unwrap();
            assert_eq!((row, *value), (one, 10));
        }
        let mut guesses = [NO_ROW; 3];
        table.guess_rows(slice, [7, 8].into_iter(), &mut guesses, |&value| {
            value as u32
        });
        table.look_at_rows(slice, &guesses, |&value| value as u32);
        assert!([one, two].contains(&guesses[0]));
        assert_eq!(guesses[1..], [NO_ROW; 2]);
    }

    #[test]
    fn a_row_is_changed_and_deleted_by_its_number() {
        let mut table: Table<u32, u64> = Table::new(TableContext::in_memory("t"));
        let slice = table.slice(0);
        let (row, _) = table.upsert_row(slice, NO_ROW, 7, &1, || 10).unwrap();
        assert_eq!(table.row_of(slice, 7, &1).unwrap(), Some(row));
        *table.change_row(slice, row).unwrap().unwrap() += 1;
        *table.note(slice, row).unwrap() += 1;
        assert_eq!(table.row(slice, row).map(|row| *row.value), Some(12));
        table.remove_row(slice, row).unwrap();
        assert_eq!(table.get(slice, 7, &1).unwrap(), None);
        assert!(table.row(slice, row).is_none() && table.note(slice, row).is_none());
        assert_eq!(table.change_row(slice, row).unwrap(), None);
        table.remove_row(slice, row).unwrap();
    }
}
