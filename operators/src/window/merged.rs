//! States of keys merged over several slices, in the order in which keys were first met.

use hashbrown::HashTable;
use millstream_engine::state::table::Row;

/// Key -> merged state.
pub(crate) struct Merged<K, S> {
    index: HashTable<usize>,
    rows: Vec<(u32, K, S)>,
}

impl<K, S> Default for Merged<K, S> {
    fn default() -> Self {
        Merged {
            index: HashTable::new(),
            rows: Vec::new(),
        }
    }
}

impl<K: Eq + Clone, S: Clone> Merged<K, S> {
    /// Merges a row into that of its key.
    pub(crate) fn add(&mut self, row: &Row<'_, K, S>, merge: impl FnOnce(&mut S, &S)) {
        let Merged { index, rows } = self;
        let spread = |hash: u32| u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let found = index.find(spread(row.hash), |&i| {
            rows.get(i)
                .is_some_and(|(hash, key, _)| *hash == row.hash && key == row.key)
        });
        if let Some((_, _, state)) = found.copied().and_then(|i| rows.get_mut(i)) {
            merge(state, row.value);
            return;
        }
        let next = rows.len();
        rows.push((row.hash, row.key.clone(), row.value.clone()));
        index.insert_unique(spread(row.hash), next, |&i| {
            rows.get(i).map_or(0, |(hash, _, _)| spread(*hash))
        });
    }

    /// The keys with their merged states.
    pub(crate) fn into_iter(self) -> std::vec::IntoIter<(K, S)> {
        let rows: Vec<(K, S)> = self
            .rows
            .into_iter()
            .map(|(_, key, state)| (key, state))
            .collect();
        rows.into_iter()
    }
}
