//! How many different values there are, exactly.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use millstream_engine::data::Key;
use millstream_engine::state::key_group::StableHasher;

use super::Accumulator;

/// Made by [`distinct`].
#[derive(Clone, Copy, Debug)]
pub struct Distinct<F>(F);

/// How many different values there are: exact, so the set of them is kept, and stored with each
/// checkpoint that it has changed for. Made for sets of some thousands. For more, key by the
/// value first and count its keys: `benches/nexmark/queries/q15.rs` shows how, and the set is
/// then spread over workers and stored piece by piece.
pub fn distinct<T, V: Key, F: Fn(&T) -> V>(of: F) -> Distinct<F> {
    Distinct(of)
}

/// A set that hashes fast; its values are the user's own.
type Set<V> = HashSet<V, BuildHasherDefault<StableHasher>>;

impl<T, V, F> Accumulator<T> for Distinct<F>
where
    V: Key,
    F: Fn(&T) -> V + Send + Sync + 'static,
{
    type Input = V;
    type State = Set<V>;
    type Output = u64;

    #[inline]
    fn input(&self, record: &T) -> V {
        (self.0)(record)
    }

    fn init(&self) -> Set<V> {
        Set::default()
    }

    #[inline]
    fn add(&self, state: &mut Set<V>, input: V) {
        state.insert(input);
    }

    fn merge(&self, state: &mut Set<V>, other: &Set<V>) {
        state.extend(other.iter().cloned());
    }

    fn finish(&self, state: &Set<V>) -> u64 {
        state.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::hold;
    use super::*;

    #[test]
    fn counts_each_value_once() {
        assert_eq!(
            hold(&distinct(|x: &u32| *x % 10), &[1, 11, 2, 21, 32, 2]),
            2
        );
        assert_eq!(
            hold(&distinct(|x: &&str| (*x).to_owned()), &["a", "b", "a"]),
            2
        );
    }
}
