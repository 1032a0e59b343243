//! Looking at rows before they are asked for.

use crate::data::{Key, Wire};
use crate::state::table::{SliceId, Table};

/// Slices of fewer rows are in the cache anyhow.
pub(super) const LOOK_AHEAD_FROM: usize = 1 << 14;

/// How many rows it is good to look at together.
pub const LOOK_AHEAD: usize = 64;

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
}
