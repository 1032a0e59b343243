//! Pre-aggregation: records of one key become one on their way to the operator.
//!
//! The sender remembers, for some hundreds of keys, where in the batch that it gathers the key's
//! last record stands. When the next one of that key comes and both lie in one stretch of time
//! that the operator does not tell apart (a slice of its windows), they go into one. A source
//! whose keys repeat within a batch sends a fraction of its records, and the operator looks each
//! of them up once.

use std::ops::Range;

use crate::data::{Data, Key, Keyed, Timestamp};

/// Tells which records of a key may become one in front of an operator, and makes them one: records
/// of type `T`, of which `M` travels.
pub trait Combine<T, M>: Send + Sync + 'static {
    /// Whether any ever do.
    const COMBINES: bool;

    /// The stretch of time around `time` within which the operator takes two records of a key
    /// for the same as one that both have gone into.
    fn stretch(&self, time: Timestamp) -> Range<Timestamp>;

    /// Adds a record that came later to one that came before; both with their times. `take` makes
    /// of a record what would travel of it by itself.
    fn combine(
        &self,
        first: (&mut Timestamp, &mut M),
        second: (Timestamp, T),
        take: impl FnOnce(T) -> M,
    );
}

/// Every record travels by itself.
#[derive(Clone, Copy, Debug)]
pub struct Apart;

impl<T, M> Combine<T, M> for Apart {
    const COMBINES: bool = false;

    fn stretch(&self, time: Timestamp) -> Range<Timestamp> {
        time..time
    }

    fn combine(
        &self,
        _first: (&mut Timestamp, &mut M),
        _second: (Timestamp, T),
        _take: impl FnOnce(T) -> M,
    ) {
    }
}

/// How many keys are remembered; a power of two. What they point at stays in the near caches.
const PLACES: usize = 1024;
/// Of so many records at least one in [`WORTHWHILE`] has to combine.
const TRIAL: u64 = 256;
const WORTHWHILE: u64 = 8;
/// For so many batches nothing is tried when it was not worthwhile.
const REST: u32 = 32;

/// Where the last record of some keys stands in a batch. What it says of an earlier batch does
/// no harm, as a record is only taken for the key's when it is.
#[derive(Debug)]
pub(super) struct Places {
    places: Box<[Place; PLACES]>,
    /// In this batch.
    combined: u64,
    /// Records and those combined into others, since it was last asked whether it is worthwhile.
    trial: (u64, u64),
    resting: u32,
}

/// A key's hash, and where its record stands. The hash is here as well as in the record: whether
/// records combine is a branch that is often foreseen wrongly, and must not wait for both.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    at: u32,
}

impl Places {
    pub(super) fn new() -> Self {
        let nowhere = Place {
            hash: 0,
            at: u32::MAX,
        };
        Places {
            places: Box::new([nowhere; PLACES]),
            combined: 0,
            trial: (0, 0),
            resting: 0,
        }
    }

    /// Whether combining is tried in this batch.
    #[inline]
    pub(super) fn are_open(&self) -> bool {
        self.resting == 0
    }

    /// The record of `key` that one of the same stretch is to be added to; if there is none, the
    /// next record to be pushed is remembered as the key's.
    #[inline]
    pub(super) fn find<'r, K: Key, P: Data>(
        &mut self,
        records: &'r mut [Keyed<K, P>],
        hash: u32,
        key: &K,
        stretch: &Range<Timestamp>,
    ) -> Option<&'r mut Keyed<K, P>> {
        let next = records.len() as u32;
        // The top bits are the key group, which one worker's records have in common.
        let place = &mut self.places[hash as usize % PLACES];
        if place.hash == hash
            && let Some(first) = records.get_mut(place.at as usize)
            && first.key == *key
            && stretch.contains(&first.time)
        {
            self.combined += 1;
            return Some(first);
        }
        *place = Place { hash, at: next };
        None
    }

    /// A batch of `records` is sent: is it worthwhile to go on? Returns how many more records it
    /// was combined from.
    pub(super) fn turn(&mut self, records: usize) -> u64 {
        let combined = std::mem::take(&mut self.combined);
        if self.resting > 0 {
            self.resting -= 1;
            return combined;
        }
        self.trial.0 += records as u64 + combined;
        self.trial.1 += combined;
        if self.trial.0 >= TRIAL {
            if self.trial.1 * WORTHWHILE < self.trial.0 {
                self.resting = REST;
            }
            self.trial = (0, 0);
        }
        combined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u64, time: Timestamp) -> Keyed<u64, u64> {
        Keyed {
            time,
            hash: key as u32,
            at: 0,
            key,
            payload: 1,
        }
    }

    /// Pushes or combines (key, time) pairs within stretches of ten; what came of them.
    fn gather(places: &mut Places, input: &[(u64, Timestamp)]) -> Vec<(u64, Timestamp, u64)> {
        let mut records = Vec::new();
        for &(key, time) in input {
            let start = time / 10 * 10;
            match places.find(&mut records, key as u32, &key, &(start..start + 10)) {
                Some(first) => first.payload += 1,
                None => records.push(record(key, time)),
            }
        }
        places.turn(records.len());
        let rows = records.into_iter();
        rows.map(|r| (r.key, r.time, r.payload)).collect()
    }

    #[test]
    fn records_of_a_key_within_a_stretch_become_one() {
        let places = &mut Places::new();
        let input = [(1, 0), (2, 3), (1, 9), (1, 10), (2, 4), (1, 5)];
        let expected = [(1, 0, 2), (2, 3, 2), (1, 10, 1), (1, 5, 1)];
        assert_eq!(gather(places, &input), expected);
        assert_eq!(
            gather(places, &input),
            expected,
            "places of the batch before"
        );
    }

    #[test]
    fn keys_that_share_a_place_stay_apart() {
        let input = [(1, 0), (1025, 0), (1, 0)];
        let expected = [(1, 0, 1), (1025, 0, 1), (1, 0, 1)];
        assert_eq!(gather(&mut Places::new(), &input), expected);
    }

    #[test]
    fn it_rests_where_keys_do_not_repeat_and_tries_again() {
        let places = &mut Places::new();
        let distinct: Vec<(u64, Timestamp)> = (0..1000).map(|key| (key, 0)).collect();
        gather(places, &distinct);
        let mut rested = 0;
        while !places.are_open() {
            rested += 1;
            places.turn(1000);
        }
        assert_eq!(rested, REST);
        gather(places, &vec![(7, 0); 1000]);
        assert!(places.are_open());
    }
}
