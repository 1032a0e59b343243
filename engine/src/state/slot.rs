//! One row of a table in memory, and what its life with the checkpoints looks like.

use std::num::NonZeroU32;

/// A row: key, value, and its [`Mark`].
#[derive(Debug)]
pub(crate) struct Slot<K, V> {
    pub(crate) hash: u32,
    pub(crate) mark: Mark,
    pub(crate) key: K,
    pub(crate) value: V,
}

/// When a row was last changed, and what RocksDB knows of it. Fits a `u32`: the epoch (counted
/// from 1 since the start of the process) and three flags.
///
/// A row is *dirty* in the epoch it was changed in; at the barrier it is *frozen*; it is
/// *serialised* when its bytes have been handed over; it is *clean* once that epoch is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(NonZeroU32);

const STORED: u32 = 1 << 31;
const SERIALISED: u32 = 1 << 30;
const REMOVED: u32 = 1 << 29;
const EPOCH: u32 = REMOVED - 1;

impl Mark {
    /// A row changed in `epoch` that RocksDB has never seen.
    pub(crate) fn changed_in(epoch: u32) -> Self {
        Mark(NonZeroU32::new(epoch & EPOCH).unwrap_or(NonZeroU32::MIN))
    }

    /// A row as it was read from RocksDB.
    pub(crate) fn loaded() -> Self {
        Mark(NonZeroU32::MIN | STORED | SERIALISED)
    }

    /// The one comparison that a hot row pays: alive, changed in `epoch` already.
    #[inline]
    pub(crate) fn is_dirty_in(self, epoch: u32) -> bool {
        self.0.get() & !STORED == epoch
    }

    pub(crate) fn epoch(self) -> u32 {
        self.0.get() & EPOCH
    }

    /// RocksDB may hold a row under this key.
    pub(crate) fn is_stored(self) -> bool {
        self.0.get() & STORED != 0
    }

    /// The row's bytes, as of its epoch's barrier, have been handed over.
    pub(crate) fn is_serialised(self) -> bool {
        self.0.get() & SERIALISED != 0
    }

    /// The row was deleted; it stays until RocksDB has been told.
    pub(crate) fn is_removed(self) -> bool {
        self.0.get() & REMOVED != 0
    }

    /// Changed anew in `epoch`.
    pub(crate) fn touched(self, epoch: u32) -> Self {
        Mark::changed_in(epoch).with(self.0.get() & STORED)
    }

    /// Deleted in `epoch`.
    pub(crate) fn removed(self, epoch: u32) -> Self {
        self.touched(epoch).with(REMOVED)
    }

    /// Its bytes were handed over.
    pub(crate) fn serialised(self) -> Self {
        self.with(SERIALISED | STORED)
    }

    fn with(self, flags: u32) -> Self {
        Mark(self.0 | flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_small_enough_to_leave_room_for_a_niche() {
        assert_eq!(size_of::<Option<Slot<u64, u64>>>(), 24);
    }

    #[test]
    fn the_life_of_a_row() {
        let new = Mark::changed_in(1);
        assert!(new.is_dirty_in(1) && !new.is_dirty_in(2) && !new.is_stored());
        let handed_over = new.serialised();
        assert!(handed_over.is_serialised() && handed_over.is_stored());
        assert!(
            !handed_over.is_dirty_in(1),
            "touching it must take the slow path"
        );
        let again = handed_over.touched(2);
        assert!(again.is_dirty_in(2) && again.is_stored() && !again.is_serialised());
        let gone = again.removed(2);
        assert!(gone.is_removed() && !gone.is_dirty_in(2) && gone.is_stored());
        assert_eq!(gone.epoch(), 2);
    }
}
