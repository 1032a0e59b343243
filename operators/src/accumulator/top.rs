//! The greatest records in an order that the user states.

use std::cmp::Ordering;

use millstream_engine::data::Wire;

use super::Accumulator;

/// Made by [`top_n`].
pub struct TopN<F> {
    n: usize,
    order: F,
}

/// The `n` records with the greatest order, the greatest first. The order should tell records
/// apart: among records that share one, which of them are kept at the end of the list may depend
/// on how the input was split up.
///
/// ```
/// use millstream_operators::accumulator::{Accumulator, top_n};
///
/// let two = top_n(2, |x: &u64| *x);
/// let mut state = two.init();
/// for x in [5, 9, 7] {
///     two.add(&mut state, x);
/// }
/// assert_eq!(two.finish(&state), [9, 7]);
/// ```
pub fn top_n<T, O: Ord, F: Fn(&T) -> O>(n: usize, order: F) -> TopN<impl Fn(&T, &T) -> Ordering> {
    TopN {
        n,
        order: move |a: &T, b: &T| order(b).cmp(&order(a)),
    }
}

impl<T, F> Accumulator<T> for TopN<F>
where
    T: Wire,
    F: Fn(&T, &T) -> Ordering + Send + Sync + 'static,
{
    type Input = T;
    type State = Vec<T>;
    type Output = Vec<T>;

    #[inline]
    fn input(&self, record: &T) -> T {
        record.clone()
    }

    #[inline]
    fn take(&self, record: T) -> T {
        record
    }

    fn init(&self) -> Vec<T> {
        Vec::new()
    }

    #[inline]
    fn add(&self, state: &mut Vec<T>, input: T) {
        let is_full = state.len() >= self.n;
        match state.last() {
            Some(last) if is_full && (self.order)(&input, last) != Ordering::Less => {}
            None if self.n == 0 => {}
            _ => {
                let place =
                    state.partition_point(|best| (self.order)(best, &input) != Ordering::Greater);
                if is_full {
                    state.pop();
                }
                state.insert(place, input);
            }
        }
    }

    fn merge(&self, state: &mut Vec<T>, other: &Vec<T>) {
        for record in other {
            self.add(state, record.clone());
        }
    }

    fn finish(&self, state: &Vec<T>) -> Vec<T> {
        state.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::super::laws::hold;
    use super::*;

    #[test]
    fn the_greatest_first() {
        let bids = [(5, 1), (9, 2), (9, 1), (7, 3)];
        let top = |n| hold(&top_n(n, |bid: &(u32, u32)| (bid.0, Reverse(bid.1))), &bids);
        assert_eq!(top(3), [(9, 1), (9, 2), (7, 3)]);
        assert_eq!(top(9), [(9, 1), (9, 2), (7, 3), (5, 1)]);
        assert_eq!(top(0), []);
    }

    proptest! {
        #[test]
        fn is_what_sorting_all_gives(records in prop::collection::vec(0u32..50, 1..40), n in 1usize..12) {
            let mut sorted = records.clone();
            sorted.sort_by_key(|x| Reverse(*x));
            sorted.truncate(n);
            prop_assert_eq!(hold(&top_n(n, |x: &u32| *x), &records), sorted);
        }
    }
}
