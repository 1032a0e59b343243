//! Many keys at once: what a batch will ask for is brought into memory, or into the processor's
//! caches, together. One after the other each would be waited for.

use std::hint::black_box;

use hashbrown::HashTable;

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::key_group::group_of;
use crate::state::run::encode_key;
use crate::state::table::{SliceId, Table};

/// From so many rows on a slice is larger than a processor's own caches.
const LARGE_ROWS: usize = 1 << 17;

/// Where one of so many records changed a row for the first time in its epoch, rows are cold.
const COLD_SHARE: usize = 8;

/// Keys that RocksDB was asked for and does not hold. Eviction makes it forget them.
#[derive(Debug)]
pub(super) struct Absent<K>(HashTable<(SliceId, u32, K)>);

impl<K: Key> Absent<K> {
    pub(super) fn none() -> Self {
        Absent(HashTable::new())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn contains(&self, id: SliceId, hash: u32, key: &K) -> bool {
        let same = |entry: &(SliceId, u32, K)| entry.0 == id && entry.1 == hash && entry.2 == *key;
        !self.0.is_empty() && self.0.find(place(hash), same).is_some()
    }

    fn insert(&mut self, id: SliceId, hash: u32, key: K) {
        self.0
            .insert_unique(place(hash), (id, hash, key), |entry| place(entry.1));
    }
}

fn place(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<K: Key, V: Wire> Table<K, V> {
    /// Prepares for these keys to be asked for soon. It changes nothing but the time that takes.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub fn prefetch<'k>(
        &mut self,
        id: SliceId,
        keys: impl ExactSizeIterator<Item = (u32, &'k K)>,
    ) -> Result<()>
    where
        K: 'k,
    {
        let Some(slice) = self.slices[id.0].as_mut() else {
            return Ok(());
        };
        slice.reopen();
        if slice.complete {
            // Hot rows of a large slice are in the caches anyway.
            let cold = std::mem::take(&mut self.touches) >= keys.len() / COLD_SHARE;
            if cold && slice.len() >= LARGE_ROWS {
                // The look-ups do not depend on each other, so the processor overlaps them.
                black_box(keys.filter_map(|(hash, key)| slice.find(hash, key)).count());
            }
            return Ok(());
        }
        let missing = keys.filter(|(hash, key)| slice.find(*hash, key).is_none());
        let missing: Vec<(u32, &K)> = missing.collect();
        self.read_back(id, &missing)
    }

    #[cold]
    fn read_back(&mut self, id: SliceId, missing: &[(u32, &K)]) -> Result<()> {
        self.absent.clear();
        let (Some(store), Some(slice)) = (self.cx.store.clone(), self.slices[id.0].as_ref()) else {
            return Ok(());
        };
        let mut places: Vec<(Vec<u8>, usize)> = Vec::with_capacity(missing.len());
        for (number, (hash, key)) in missing.iter().enumerate() {
            let mut bytes = Vec::with_capacity(32);
            encode_key(slice.namespace, group_of(*hash), *key, &mut bytes)?;
            places.push((bytes, number));
        }
        places.sort_unstable();
        places.dedup_by(|a, b| a.0 == b.0);
        let values = store.get_sorted(
            &self.cx.column_family,
            places.iter().map(|(bytes, _)| bytes),
        )?;
        for ((_, number), value) in places.iter().zip(values) {
            let Some((hash, key)) = missing.get(*number) else {
                continue;
            };
            match value {
                Some(value) => {
                    let slot = self.stored_slot(*hash, (*key).clone(), &value)?;
                    if let Some(slice) = self.slices[id.0].as_mut() {
                        slice.insert(slot);
                    }
                }
                None => self.absent.insert(id, *hash, (*key).clone()),
            }
        }
        Ok(())
    }
}
