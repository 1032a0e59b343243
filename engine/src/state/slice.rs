//! The rows of one namespace in memory: a slab of rows behind a hash index.
//!
//! Rows stand in chunks that never move, so that growing copies nothing, walking is a linear
//! scan, and a dirty list can name rows by number.

use hashbrown::HashTable;

use crate::state::slot::{Mark, Slot};

pub(crate) const CHUNK_ROWS: usize = 1024;

/// A row number and a tag in the index, at its usual load.
pub(crate) const INDEX_BYTES_PER_ROW: usize = 8;

/// A row's number in its slice.
pub(crate) type RowId = u32;

/// Places for rows.
pub(crate) type Chunk<K, V> = Vec<Option<Slot<K, V>>>;

#[derive(Debug)]
pub(crate) struct Slice<K, V> {
    pub(crate) namespace: i64,
    index: HashTable<RowId>,
    /// It has no index for now: nobody is expected to ask for a key.
    closed: bool,
    chunks: Vec<Chunk<K, V>>,
    free: Vec<RowId>,
    len: usize,
    /// Rows changed since the last barrier, in the order of their first change.
    pub(crate) dirty: Vec<RowId>,
    /// Rows that the last barrier found dirty, as far as they are not looked at yet.
    pub(crate) frozen: Vec<RowId>,
    /// Every row of this namespace that exists is in memory: a miss means that there is none.
    pub(crate) complete: bool,
    /// RocksDB may hold rows of this namespace.
    pub(crate) stored: bool,
    /// About how many rows of it RocksDB holds.
    pub(crate) rows_stored: u64,
    /// It is being walked: its rows must stay where they are.
    pub(crate) pinned: bool,
    /// Where eviction goes on.
    pub(crate) hand: RowId,
}

/// Spreads a 32-bit hash over the 64 bits that the index takes its bucket and its tag from.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What a row's place in the index is found by.
fn hash_at<K, V>(chunks: &[Chunk<K, V>], row: RowId) -> u64 {
    let row = row as usize;
    let chunk = chunks.get(row / CHUNK_ROWS);
    let slot = chunk.and_then(|chunk| chunk.get(row % CHUNK_ROWS)?.as_ref());
    slot.map_or(0, |slot| spread(slot.hash))
}

impl<K: Eq, V> Slice<K, V> {
    pub(crate) fn new(namespace: i64, stored: bool, rows_stored: u64) -> Self {
        Slice::in_memory_of(&mut Spare::none(), namespace, stored, rows_stored)
    }

    /// An empty slice that has the index of an earlier one, if there is one to spare.
    pub(crate) fn in_memory_of(
        spare: &mut Spare<K, V>,
        namespace: i64,
        stored: bool,
        rows_stored: u64,
    ) -> Self {
        let Lists { index, dirty } = spare.lists.pop().unwrap_or_default();
        Slice {
            namespace,
            index,
            closed: false,
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
            dirty,
            frozen: Vec::new(),
            complete: !stored,
            stored,
            rows_stored,
            pinned: false,
            hand: 0,
        }
    }

    /// How many rows are in memory, those marked as removed included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One past the highest row number.
    pub(crate) fn end(&self) -> RowId {
        match self.chunks.split_last() {
            Some((last, full)) => (full.len() * CHUNK_ROWS + last.len()) as RowId,
            None => 0,
        }
    }

    #[inline]
    pub(crate) fn find(&self, hash: u32, key: &K) -> Option<RowId> {
        self.find_marked(hash, key).map(|(row, _)| row)
    }

    /// Gives the index to `spare`, until somebody asks for a key again.
    pub(crate) fn close(&mut self, spare: &mut Spare<K, V>) {
        if !std::mem::replace(&mut self.closed, true) {
            let index = std::mem::take(&mut self.index);
            spare.keep_lists(index, Vec::new());
        }
    }

    /// Makes the index if there is none, as no row is found without; whether it had to.
    #[inline]
    pub(crate) fn reopen(&mut self) -> bool {
        if self.closed {
            self.make_index();
            return true;
        }
        false
    }

    #[cold]
    fn make_index(&mut self) {
        self.closed = false;
        let chunks = &self.chunks;
        let rows = chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let slots = (number * CHUNK_ROWS..).zip(chunk);
            slots.filter_map(|(row, slot)| Some((row as RowId, slot.as_ref()?.hash)))
        });
        self.index.reserve(self.len, |_| 0);
        for (row, hash) in rows {
            self.index
                .insert_unique(spread(hash), row, |&row| hash_at(chunks, row));
        }
    }

    /// The row of a key, and its mark.
    #[inline]
    pub(crate) fn find_marked(&self, hash: u32, key: &K) -> Option<(RowId, Mark)> {
        let mut mark = None;
        let row = self.index.find(spread(hash), |&row| match self.row(row) {
            Some(slot) if slot.hash == hash && slot.key == *key => {
                mark = Some(slot.mark);
                true
            }
            _ => false,
        });
        row.copied().zip(mark)
    }

    /// Whether a row of this hash is there: brings what [`find`](Slice::find) reads into the cache.
    #[inline]
    pub(crate) fn look_at(&self, hash: u32) -> bool {
        self.row_of_hash(hash).is_some()
    }

    /// A row of this hash.
    #[inline]
    pub(crate) fn row_of_hash(&self, hash: u32) -> Option<RowId> {
        let found = self.index.find(spread(hash), |&row| {
            self.row(row).is_some_and(|slot| slot.hash == hash)
        });
        found.copied()
    }

    /// Whether a row is there and the index knows it: reads what [`take`](Slice::take) does.
    #[inline]
    pub(crate) fn is_indexed(&self, row: RowId) -> bool {
        let hash = self.row(row).map(|slot| slot.hash);
        hash.is_some_and(|hash| {
            let found = self.index.find(spread(hash), |&other| other == row);
            found.is_some()
        })
    }

    #[inline]
    pub(crate) fn row(&self, row: RowId) -> Option<&Slot<K, V>> {
        let row = row as usize;
        self.chunks
            .get(row / CHUNK_ROWS)?
            .get(row % CHUNK_ROWS)?
            .as_ref()
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, row: RowId) -> Option<&mut Slot<K, V>> {
        let row = row as usize;
        self.chunks
            .get_mut(row / CHUNK_ROWS)?
            .get_mut(row % CHUNK_ROWS)?
            .as_mut()
    }

    /// The living rows that are in memory.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Slot<K, V>> {
        let slots = self.chunks.iter().flatten().flatten();
        slots.filter(|slot| !slot.mark.is_removed())
    }

    /// Adds a row whose key is not there yet.
    pub(crate) fn insert(&mut self, slot: Slot<K, V>) -> RowId {
        self.insert_with(slot, &mut Spare::none())
    }

    /// Adds a row whose key is not there yet; takes what memory it needs from `spare`, if any is
    /// left there.
    pub(crate) fn insert_with(&mut self, slot: Slot<K, V>, spare: &mut Spare<K, V>) -> RowId {
        self.reopen();
        let hash = slot.hash;
        let row = match self.free.pop() {
            Some(row) => {
                if let Some(place) = self.place(row) {
                    *place = Some(slot);
                }
                row
            }
            None => self.push(slot, spare),
        };
        let chunks = &self.chunks;
        self.index
            .insert_unique(spread(hash), row, |&row| hash_at(chunks, row));
        self.len += 1;
        row
    }

    fn place(&mut self, row: RowId) -> Option<&mut Option<Slot<K, V>>> {
        let row = row as usize;
        self.chunks
            .get_mut(row / CHUNK_ROWS)?
            .get_mut(row % CHUNK_ROWS)
    }

    fn push(&mut self, slot: Slot<K, V>, spare: &mut Spare<K, V>) -> RowId {
        if self
            .chunks
            .last()
            .is_none_or(|last| last.len() == CHUNK_ROWS)
        {
            // A slice of a few rows must stay small; a second chunk means that there are many.
            let chunk = if self.chunks.is_empty() {
                Vec::with_capacity(4)
            } else {
                let spare = spare.chunks.pop();
                spare.unwrap_or_else(|| Vec::with_capacity(CHUNK_ROWS))
            };
            self.chunks.push(chunk);
        }
        let full = (self.chunks.len() - 1) * CHUNK_ROWS;
        match self.chunks.last_mut() {
            Some(last) => {
                last.push(Some(slot));
                (full + last.len() - 1) as RowId
            }
            None => 0,
        }
    }

    /// Brings the frozen rows that come next into the processor's caches, all at once instead of
    /// one after the other.
    pub(crate) fn fetch_ahead(&self, rows: usize) {
        let next = self.frozen.iter().rev().take(rows);
        let serialised =
            next.filter(|&&row| self.row(row).is_some_and(|slot| slot.mark.is_serialised()));
        std::hint::black_box(serialised.count());
    }

    /// Takes a row out of memory.
    pub(crate) fn take(&mut self, row: RowId) -> Option<Slot<K, V>> {
        let slot = self.place(row)?.take()?;
        if let Ok(entry) = self
            .index
            .find_entry(spread(slot.hash), |&other| other == row)
        {
            entry.remove();
        }
        self.free.push(row);
        self.len -= 1;
        Some(slot)
    }

    /// The memory that this slice's rows take, without what keys and values own on the heap.
    /// Places that eviction has freed are used again before new ones are made, so they do not
    /// count: else eviction would never see that it has done enough.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.dirty.len() + self.frozen.len();
        self.len * (size_of::<Option<Slot<K, V>>>() + INDEX_BYTES_PER_ROW)
            + lists * size_of::<RowId>()
    }

    /// Marks a row.
    pub(crate) fn set_mark(&mut self, row: RowId, mark: Mark) {
        if let Some(slot) = self.row_mut(row) {
            slot.mark = mark;
        }
    }
}

/// Memory of slices that are no more, for those to come: what is freed and taken anew would have to
/// be cleared, and an index that grows again hashes all of its rows several times. Of one great
/// slice no more is kept than [`SPARE_BYTES`].
#[derive(Debug)]
pub(crate) struct Spare<K, V> {
    chunks: Vec<Chunk<K, V>>,
    lists: Vec<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    index: HashTable<RowId>,
    dirty: Vec<RowId>,
}

/// So much is kept of chunks, and so much of indices.
const SPARE_BYTES: usize = 4 << 20;
/// How many slices begin, at most, before one ends whose memory they could take.
const SPARE_LISTS: usize = 4;

impl Lists {
    fn bytes(&self) -> usize {
        self.index.allocation_size() + self.dirty.capacity() * size_of::<RowId>()
    }
}

impl<K, V> Spare<K, V> {
    pub(crate) fn none() -> Self {
        Spare {
            chunks: Vec::new(),
            lists: Vec::new(),
        }
    }

    /// Keeps what is worth it of a slice whose rows nobody wants any more.
    pub(crate) fn keep(&mut self, slice: Slice<K, V>) {
        let chunk_bytes = CHUNK_ROWS * size_of::<Option<Slot<K, V>>>();
        for mut chunk in slice.chunks {
            let has_room = (self.chunks.len() + 1) * chunk_bytes <= SPARE_BYTES;
            if has_room && chunk.capacity() == CHUNK_ROWS {
                chunk.clear();
                self.chunks.push(chunk);
            }
        }
        self.keep_lists(slice.index, slice.dirty);
    }

    fn keep_lists(&mut self, mut index: HashTable<RowId>, mut dirty: Vec<RowId>) {
        index.clear();
        dirty.clear();
        let lists = Lists { index, dirty };
        if lists.bytes() == 0 {
            return;
        }
        let kept = self.lists.iter().map(Lists::bytes).sum::<usize>();
        if self.lists.len() < SPARE_LISTS && kept + lists.bytes() <= SPARE_BYTES {
            self.lists.push(lists);
        }
    }

    /// The memory that is kept.
    pub(crate) fn bytes(&self) -> usize {
        let chunk_bytes = CHUNK_ROWS * size_of::<Option<Slot<K, V>>>();
        self.chunks.len() * chunk_bytes + self.lists.iter().map(Lists::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(key: u32) -> Slot<u32, u64> {
        Slot {
            hash: key % 7,
            mark: Mark::changed_in(1),
            key,
            value: u64::from(key),
        }
    }

    #[test]
    fn a_slice_in_the_memory_of_another_is_empty() {
        let mut spare = Spare::none();
        let mut slice = Slice::new(1, false, 0);
        for key in 0..5000 {
            let row = slice.insert_with(slot(key), &mut spare);
            slice.dirty.push(row);
        }
        spare.keep(slice);
        let kept = spare.bytes();
        assert!(kept > 3 * CHUNK_ROWS * size_of::<Option<Slot<u32, u64>>>());
        let mut next: Slice<u32, u64> = Slice::in_memory_of(&mut spare, 2, false, 0);
        assert_eq!((next.len(), next.end(), next.dirty.len()), (0, 0, 0));
        for key in (0..5000).rev() {
            assert_eq!(next.find(key % 7, &key), None);
            next.insert_with(slot(key), &mut spare);
        }
        let row = next.find(3, &3).and_then(|row| next.row(row));
        assert_eq!(row.map(|slot| slot.value), Some(3));
        // The first chunk of a slice begins small, so that one of five is left.
        let chunk = CHUNK_ROWS * size_of::<Option<Slot<u32, u64>>>();
        assert_eq!((next.len(), spare.bytes()), (5000, chunk));
    }

    #[test]
    fn a_slice_without_index_gets_one_when_it_is_asked() {
        let (mut spare, mut slice) = (Spare::none(), Slice::new(1, false, 0));
        for key in 0..3000 {
            slice.insert(slot(key));
        }
        slice.take(77);
        slice.close(&mut spare);
        assert!(spare.bytes() > 3000 * size_of::<RowId>());
        assert_eq!(slice.find(5, &5), None);
        assert!(slice.reopen() && !slice.reopen());
        let found = (0..3000).filter(|key| slice.find(key % 7, key).is_some());
        assert_eq!(found.count(), 2999);
        slice.close(&mut spare);
        slice.insert(slot(77));
        assert!(slice.find(0, &77).is_some() && slice.find(1, &78).is_some());
    }

    #[test]
    fn what_is_kept_of_a_great_slice_is_bounded() {
        let (mut spare, mut slice) = (Spare::none(), Slice::new(1, false, 0));
        for key in 0..600_000 {
            let mut slot = slot(key);
            slot.hash = key;
            slice.insert(slot);
        }
        spare.keep(slice);
        assert!(spare.bytes() <= 2 * SPARE_BYTES, "{}", spare.bytes());
    }
}
