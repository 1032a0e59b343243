//! The record that is greatest, least or last in an order that the user states.

use std::cmp::{Ordering, Reverse};
use std::marker::PhantomData;

use millstream_engine::data::Wire;
use millstream_engine::state::codec;
use smallvec::SmallVec;

use super::Accumulator;

/// Made by [`max_by`], [`min_by`] and [`last_by`].
pub struct Best<F, O> {
    order: F,
    key: PhantomData<fn() -> O>,
}

/// Made by [`Best::with_ties`].
pub struct TiedBest<F, O>(Best<F, O>);

/// The record with the greatest order. Where records differ and their orders do not, the one
/// whose stored bytes are greater wins, so that the result never depends on who came first; an
/// order that tells records apart is faster and easier to explain.
///
/// ```
/// use millstream_operators::accumulator::{Accumulator, max_by};
///
/// let dearest = max_by(|&(price, _bidder): &(u64, u64)| price);
/// let mut state = dearest.init();
/// for bid in [(7, 1), (9, 2), (8, 3)] {
///     let input = dearest.input(&bid);
///     dearest.add(&mut state, input);
/// }
/// assert_eq!(dearest.finish(&state), (9, 2));
/// ```
pub fn max_by<T, O, F>(order: F) -> Best<F, O>
where
    O: Ord + 'static,
    F: Fn(&T) -> O,
{
    Best {
        order,
        key: PhantomData,
    }
}

/// The record with the least order. Ties are as in [`max_by`].
pub fn min_by<T, O, F>(order: F) -> Best<impl Fn(&T) -> Reverse<O>, Reverse<O>>
where
    O: Ord + 'static,
    F: Fn(&T) -> O,
{
    max_by(move |record: &T| Reverse(order(record)))
}

/// The last record, by an order that begins with its time: [`max_by`] under the name that says
/// what it is for.
pub fn last_by<T, O, F>(order: F) -> Best<F, O>
where
    O: Ord + 'static,
    F: Fn(&T) -> O,
{
    max_by(order)
}

impl<F, O> Best<F, O> {
    /// All records that share the best order, in the order of their stored bytes.
    pub fn with_ties(self) -> TiedBest<F, O> {
        TiedBest(self)
    }

    #[inline]
    fn compare<T: Wire>(&self, a: &T, b: &T) -> Ordering
    where
        O: Ord,
        F: Fn(&T) -> O,
    {
        let order = (self.order)(a).cmp(&(self.order)(b));
        order.then_with(|| bytes(a).cmp(&bytes(b)))
    }
}

/// A value that cannot be stored fails the job at the checkpoint, with its key.
fn bytes<T: Wire>(value: &T) -> Vec<u8> {
    codec::encode(value).unwrap_or_default()
}

impl<T, O, F> Accumulator<T> for Best<F, O>
where
    T: Wire,
    O: Ord + 'static,
    F: Fn(&T) -> O + Send + Sync + 'static,
{
    type Input = T;
    type State = Option<T>;
    type Output = T;

    #[inline]
    fn input(&self, record: &T) -> T {
        record.clone()
    }

    #[inline]
    fn take(&self, record: T) -> T {
        record
    }

    fn init(&self) -> Option<T> {
        None
    }

    #[inline]
    fn add(&self, state: &mut Option<T>, input: T) {
        match state {
            Some(best) => self.combine(best, input),
            None => *state = Some(input),
        }
    }

    fn merge(&self, state: &mut Option<T>, other: &Option<T>) {
        if let Some(other) = other {
            self.add(state, other.clone());
        }
    }

    const COMBINES: bool = true;

    #[inline]
    fn combine(&self, first: &mut T, second: T) {
        if self.compare(&second, first) == Ordering::Greater {
            *first = second;
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a window has at least one record, or it is no window"
    )]
    fn finish(&self, state: &Option<T>) -> T {
        state
            .clone()
            .expect("a result over no record was asked for")
    }
}

impl<T, O, F> Accumulator<T> for TiedBest<F, O>
where
    T: Wire,
    O: Ord + 'static,
    F: Fn(&T) -> O + Send + Sync + 'static,
{
    type Input = SmallVec<[T; 1]>;
    type State = Vec<T>;
    type Output = Vec<T>;

    #[inline]
    fn input(&self, record: &T) -> Self::Input {
        SmallVec::from_buf([record.clone()])
    }

    #[inline]
    fn take(&self, record: T) -> Self::Input {
        SmallVec::from_buf([record])
    }

    fn init(&self) -> Vec<T> {
        Vec::new()
    }

    #[inline]
    fn add(&self, state: &mut Vec<T>, input: Self::Input) {
        match self.against(state, &input) {
            Ordering::Less => {}
            Ordering::Equal => state.extend(input),
            Ordering::Greater => {
                state.clear();
                state.extend(input);
            }
        }
    }

    fn merge(&self, state: &mut Vec<T>, other: &Vec<T>) {
        self.add(state, SmallVec::from(other.as_slice()));
    }

    const COMBINES: bool = true;

    #[inline]
    fn combine(&self, first: &mut Self::Input, second: Self::Input) {
        match self.against(first, &second) {
            Ordering::Less => {}
            Ordering::Equal => first.extend(second),
            Ordering::Greater => *first = second,
        }
    }

    #[inline(always)]
    fn fold(&self, first: &mut Self::Input, record: T) {
        let order = self.against(first, std::slice::from_ref(&record));
        if order != Ordering::Less {
            add_best(first, record, order);
        }
    }

    fn finish(&self, state: &Vec<T>) -> Vec<T> {
        let mut tied = state.clone();
        if tied.len() > 1 {
            tied.sort_by_cached_key(bytes);
        }
        tied
    }
}

/// Few records are as good as the best one so far.
#[cold]
fn add_best<T>(best: &mut SmallVec<[T; 1]>, record: T, order: Ordering) {
    if order == Ordering::Greater {
        best.clear();
    }
    best.push(record);
}

impl<F, O: Ord> TiedBest<F, O> {
    /// How new ones compare with those that were best so far.
    #[inline]
    fn against<T>(&self, best: &[T], new: &[T]) -> Ordering
    where
        F: Fn(&T) -> O,
    {
        let order = &self.0.order;
        match (best.first(), new.first()) {
            (Some(best), Some(new)) => order(new).cmp(&order(best)),
            (None, Some(_)) => Ordering::Greater,
            (_, None) => Ordering::Less,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::hold;
    use super::*;

    const BIDS: [(u64, u64); 5] = [(7, 1), (9, 5), (8, 3), (9, 2), (7, 0)];

    #[test]
    fn the_greatest_the_least_and_the_last() {
        let by_price_then_bidder = |bid: &(u64, u64)| (bid.0, Reverse(bid.1));
        assert_eq!(hold(&max_by(by_price_then_bidder), &BIDS), (9, 2));
        assert_eq!(hold(&min_by(by_price_then_bidder), &BIDS), (7, 1));
        assert_eq!(hold(&last_by(|bid: &(u64, u64)| bid.1), &BIDS), (9, 5));
    }

    #[test]
    fn f7_an_order_that_does_not_tell_records_apart_still_gives_one_result() {
        assert_eq!(hold(&max_by(|bid: &(u64, u64)| bid.0), &BIDS), (9, 5));
    }

    #[test]
    fn all_that_share_the_best_order() {
        let dearest = max_by(|bid: &(u64, u64)| bid.0).with_ties();
        assert_eq!(hold(&dearest, &BIDS), [(9, 2), (9, 5)]);
        let same = [(9, 2), (9, 2)];
        assert_eq!(hold(&dearest, &same), same, "the same record twice is two");
        assert_eq!(hold(&dearest, &BIDS[..1]), [(7, 1)]);
    }
}
