//! How keys are dealt out: a stable hash, cut into a fixed number of key groups.
//!
//! Both are part of the checkpoint format: the same key must land in the same group in every
//! process, on every platform, in every version. So the hasher here is unseeded, writes integers
//! in little-endian order, and is pinned by golden vectors in its tests.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many key groups there are: the most workers a job's state can be dealt out to.
pub const KEY_GROUPS: u16 = 128;

const GROUP_BITS: u32 = KEY_GROUPS.trailing_zeros();

/// The stable hash of a key. Its top bits are the key group.
#[inline]
pub fn stable_hash<K: Hash + ?Sized>(key: &K) -> u32 {
    let mut hasher = StableHasher::default();
    key.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

/// The key group of a hash.
#[inline]
pub fn group_of(hash: u32) -> u16 {
    (hash >> (32 - GROUP_BITS)) as u16
}

/// The worker that owns a hash: workers own contiguous, disjoint ranges of groups.
#[inline]
pub fn worker_of(hash: u32, workers: usize) -> usize {
    usize::from(group_of(hash)) * workers / usize::from(KEY_GROUPS)
}

/// The key groups that a worker owns.
pub fn groups_of(worker: usize, workers: usize) -> Range<u16> {
    let first = |w: usize| (w * usize::from(KEY_GROUPS)).div_ceil(workers) as u16;
    first(worker)..first(worker + 1)
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FOLD: u64 = 0xd6e8_feb8_6659_fd93;

/// A multiply-fold hash for integers, XXH3 for byte strings. Unseeded: the same in every process.
#[derive(Clone, Debug)]
pub struct StableHasher(u64);

impl Default for StableHasher {
    fn default() -> Self {
        StableHasher(SEED)
    }
}

impl StableHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(FOLD);
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }
}

impl Hasher for StableHasher {
    #[inline]
    fn finish(&self) -> u64 {
        let wide = u128::from(self.0 ^ SEED) * u128::from(FOLD);
        (wide as u64) ^ ((wide >> 64) as u64)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    #[inline]
    fn write_u8(&mut self, i: u8) {
        self.fold(u64::from(i));
    }

    #[inline]
    fn write_u16(&mut self, i: u16) {
        self.fold(u64::from(i));
    }

    #[inline]
    fn write_u32(&mut self, i: u32) {
        self.fold(u64::from(i));
    }

    #[inline]
    fn write_u64(&mut self, i: u64) {
        self.fold(i);
    }

    #[inline]
    fn write_u128(&mut self, i: u128) {
        self.fold(i as u64);
        self.fold((i >> 64) as u64);
    }

    #[inline]
    fn write_usize(&mut self, i: usize) {
        self.fold(i as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors() {
        let got = [
            stable_hash(&0u64),
            stable_hash(&1u64),
            stable_hash(&u64::MAX),
            stable_hash("N14228"),
            stable_hash(&String::from("N14228")),
            stable_hash(&(7u32, "EWR")),
            stable_hash(&-1i64),
        ];
        assert_eq!(got, GOLDEN);
    }

    const GOLDEN: [u32; 7] = [
        1328716973, 3851284383, 1431057847, 2255473001, 2255473001, 164715181, 1431057847,
    ];

    #[test]
    fn workers_own_disjoint_ranges_that_cover_all_groups() {
        for workers in 1..=usize::from(KEY_GROUPS) {
            let mut next = 0;
            for worker in 0..workers {
                let groups = groups_of(worker, workers);
                assert_eq!(groups.start, next);
                assert!(
                    !groups.is_empty(),
                    "worker {worker} of {workers} owns nothing"
                );
                for group in groups.clone() {
                    let hash = u32::from(group) << (32 - GROUP_BITS);
                    assert_eq!(group_of(hash), group);
                    assert_eq!(worker_of(hash, workers), worker);
                }
                next = groups.end;
            }
            assert_eq!(next, KEY_GROUPS);
        }
    }

    #[test]
    fn consecutive_integers_spread_over_the_groups() {
        let mut counts = [0u32; KEY_GROUPS as usize];
        for key in 0..128_000u64 {
            counts[usize::from(group_of(stable_hash(&key)))] += 1;
        }
        assert!(counts.iter().all(|n| (800..1200).contains(n)), "{counts:?}");
    }
}
