//! Which events a split delivers, and in which order.
//!
//! Of `S` splits, split `s` delivers the epochs `c` with `c % S == s`: the splits keep step and
//! hold the same mix. In order, its events come by their numbers. Shuffled by `M` milliseconds,
//! the events whose times lie in the same `M` milliseconds come in a random order of their own,
//! which only depends on the split and the block, so that reading can begin anywhere; none is `M`
//! or more behind the highest time seen.

use crate::generator::{EPOCH, shuffle};
use crate::input::Input;

/// Goes through the numbers of a split's events in the order in which they arrive.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    input: Input,
    split: u64,
    /// How many events the split has.
    len: u64,
    /// The run of events at hand: of event numbers, or shuffled, of places in `order`.
    next: u64,
    end: u64,
    /// What has to be added to `next` for the position (it may wrap).
    base: u64,
    /// Shuffled: the numbers of a block's events, from `first` on, in their new order.
    order: Vec<u32>,
    first: u64,
}

impl Cursor {
    /// At the beginning of `split` of `input`, which has been checked.
    pub(crate) fn new(input: Input, split: u64) -> Self {
        let mut cursor = Cursor {
            input,
            split,
            len: 0,
            next: 0,
            end: 0,
            base: 0,
            order: Vec::new(),
            first: 0,
        };
        cursor.len = cursor.rank(input.events);
        cursor.seek(0);
        cursor
    }

    /// How many events the split has.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many events of the split stand before the next one.
    pub(crate) fn at(&self) -> u64 {
        self.base.wrapping_add(self.next)
    }

    /// Goes to a position; beyond the end it is the end.
    pub(crate) fn seek(&mut self, position: u64) {
        let position = position.min(self.len);
        if position == self.len {
            (self.next, self.end, self.base) = (0, 0, position);
        } else if self.input.shuffle_ms == 0 {
            let number = self.number(position);
            self.next = number;
            self.end = match self.input.splits {
                1 => self.input.events,
                _ => self.input.events.min(number - number % EPOCH + EPOCH),
            };
            self.base = position.wrapping_sub(number);
        } else {
            let start = self.shuffle_block_of(position);
            (self.next, self.end) = (position - start, self.order.len() as u64);
            self.base = start;
        }
    }

    /// Makes the order of the block that holds `position`; returns the position of its first.
    fn shuffle_block_of(&mut self, position: u64) -> u64 {
        let block = self.block_of(self.number(position));
        let start = self.rank(self.first_of(block));
        let end = self.rank(self.first_of(block + 1).min(self.input.events));
        self.first = self.number(start);
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        // A block spans fewer numbers than an `u32` can tell apart: `Input::check`.
        order.extend((start..end).map(|at| (self.number(at) - self.first) as u32));
        shuffle(block ^ (self.split << 48), &mut order);
        self.order = order;
        start
    }

    fn block_of(&self, number: u64) -> u64 {
        let time_ms = u128::from(number) * 1000 / u128::from(self.input.rate);
        (time_ms / u128::from(self.input.shuffle_ms)) as u64
    }

    /// The number of the first event of a block.
    fn first_of(&self, block: u64) -> u64 {
        let start_ms = u128::from(block) * u128::from(self.input.shuffle_ms);
        let number = (start_ms * u128::from(self.input.rate)).div_ceil(1000);
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    /// The number of the split's event at `position`, in order.
    fn number(&self, position: u64) -> u64 {
        (position / EPOCH * self.input.splits + self.split) * EPOCH + position % EPOCH
    }

    /// How many events of the split have a number below `number`.
    fn rank(&self, number: u64) -> u64 {
        let (epoch, offset) = (number / EPOCH, number % EPOCH);
        let splits = self.input.splits;
        let whole = epoch / splits + u64::from(epoch % splits > self.split);
        let part = if epoch % splits == self.split {
            offset
        } else {
            0
        };
        whole * EPOCH + part
    }

    #[cold]
    fn next_run(&mut self) -> bool {
        self.seek(self.at());
        self.next < self.end
    }
}

impl Iterator for Cursor {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        if self.next == self.end && !self.next_run() {
            return None;
        }
        let at = self.next;
        self.next = at.wrapping_add(1);
        if self.input.shuffle_ms == 0 {
            Some(at)
        } else {
            let ahead = self.order.get(at as usize)?;
            Some(self.first + u64::from(*ahead))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inputs() -> impl Strategy<Value = Input> {
        let rates = prop_oneof![Just(1), Just(7), Just(1000), Just(100_000), 1..200_000u64];
        let shuffles = prop_oneof![Just(0), Just(1), Just(2000), 1..10_000u64];
        (0..3000u64, rates, 1..6u64, shuffles).prop_map(|(events, rate, splits, shuffle_ms)| {
            Input {
                events,
                rate,
                wide: false,
                splits,
                shuffle_ms,
            }
        })
    }

    fn cursors(input: Input) -> impl Iterator<Item = Cursor> {
        (0..input.splits).map(move |split| Cursor::new(input, split))
    }

    proptest! {
        #[test]
        fn every_event_arrives_once(input in inputs()) {
            let mut numbers = Vec::new();
            for cursor in cursors(input) {
                let len = cursor.len();
                let of_split: Vec<u64> = cursor.collect();
                prop_assert_eq!(of_split.len() as u64, len);
                numbers.extend(of_split);
            }
            numbers.sort_unstable();
            prop_assert!(numbers.into_iter().eq(0..input.events));
        }

        #[test]
        fn reading_can_begin_anywhere(input in inputs(), at in 0..3000u64) {
            for whole in cursors(input) {
                let mut sought = whole.clone();
                sought.seek(at);
                let at = at.min(whole.len());
                prop_assert_eq!(sought.at(), at);
                let mut stepped = whole.clone();
                prop_assert_eq!(stepped.by_ref().take(at as usize).count() as u64, at);
                prop_assert_eq!(stepped.at(), at);
                let rest: Vec<u64> = whole.skip(at as usize).collect();
                prop_assert!(sought.by_ref().eq(rest));
                prop_assert_eq!(sought.at(), sought.len());
                prop_assert_eq!(sought.next(), None);
            }
        }

        #[test]
        fn nothing_is_later_than_said(input in inputs()) {
            for cursor in cursors(input) {
                let mut highest = 0;
                for number in cursor {
                    let time = number * 1000 / input.rate;
                    prop_assert!(time + input.shuffle_ms >= highest);
                    highest = highest.max(time);
                }
            }
        }
    }

    #[test]
    fn shuffled_events_come_out_of_order_and_far() {
        let input = Input {
            events: 1_000_000,
            rate: 100_000,
            wide: false,
            splits: 2,
            shuffle_ms: 2000,
        };
        for cursor in cursors(input) {
            let (mut highest, mut latest) = (0, 0);
            for number in cursor {
                highest = highest.max(number);
                latest = latest.max(highest - number);
            }
            assert!((180_000..200_000).contains(&latest), "{latest}");
        }
    }
}
