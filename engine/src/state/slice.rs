//! The rows of one namespace in memory: a slab of rows behind a hash index.
//!
//! Rows stand in chunks that never move, so that growing copies nothing, walking is a linear
//! scan, and a dirty list can name rows by number.

use hashbrown::HashTable;

use crate::state::slot::{Mark, Slot};

const CHUNK_ROWS: usize = 1024;

/// A row number and a tag in the index, at its usual load.
pub(crate) const INDEX_BYTES_PER_ROW: usize = 8;

/// A row's number in its slice.
pub(crate) type RowId = u32;

#[derive(Debug)]
pub(crate) struct Slice<K, V> {
    pub(crate) namespace: i64,
    index: HashTable<RowId>,
    chunks: Vec<Vec<Option<Slot<K, V>>>>,
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

impl<K: Eq, V> Slice<K, V> {
    pub(crate) fn new(namespace: i64, stored: bool, rows_stored: u64) -> Self {
        Slice {
            namespace,
            index: HashTable::new(),
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
            dirty: Vec::new(),
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
        self.index
            .find(spread(hash), |&row| {
                self.row(row)
                    .is_some_and(|slot| slot.hash == hash && slot.key == *key)
            })
            .copied()
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

    /// Adds a row whose key is not there yet.
    pub(crate) fn insert(&mut self, slot: Slot<K, V>) -> RowId {
        let hash = slot.hash;
        let row = match self.free.pop() {
            Some(row) => {
                if let Some(place) = self.place(row) {
                    *place = Some(slot);
                }
                row
            }
            None => self.push(slot),
        };
        let chunks = &self.chunks;
        self.index.insert_unique(spread(hash), row, |&row| {
            let row = row as usize;
            let slot = chunks
                .get(row / CHUNK_ROWS)
                .and_then(|c| c.get(row % CHUNK_ROWS));
            slot.and_then(Option::as_ref)
                .map_or(0, |slot| spread(slot.hash))
        });
        self.len += 1;
        row
    }

    fn place(&mut self, row: RowId) -> Option<&mut Option<Slot<K, V>>> {
        let row = row as usize;
        self.chunks
            .get_mut(row / CHUNK_ROWS)?
            .get_mut(row % CHUNK_ROWS)
    }

    fn push(&mut self, slot: Slot<K, V>) -> RowId {
        if self
            .chunks
            .last()
            .is_none_or(|last| last.len() == CHUNK_ROWS)
        {
            // A slice of a few rows must stay small; a second chunk means that there are many.
            let room = if self.chunks.is_empty() {
                4
            } else {
                CHUNK_ROWS
            };
            self.chunks.push(Vec::with_capacity(room));
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
