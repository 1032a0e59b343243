//! An accumulator over a part of each record.

use std::marker::PhantomData;

use super::Accumulator;

/// Made by [`over`].
pub struct Over<F, U, A> {
    take: F,
    accumulator: A,
    part: PhantomData<fn() -> U>,
}

/// Computes something over a part of each record: only that part travels and is kept, where the
/// accumulator keeps records.
///
/// ```
/// use millstream_operators::accumulator::{Accumulator, last_by, over};
///
/// struct Reading { sensor: String, at_ms: i64, celsius: i32 }
///
/// let latest = over(|r: &Reading| (r.at_ms, r.celsius), last_by(|(at_ms, _): &(i64, i32)| *at_ms));
/// let reading = Reading { sensor: "attic".into(), at_ms: 5, celsius: 21 };
/// assert_eq!(latest.input(&reading), (5, 21));
/// # let _ = reading.sensor;
/// ```
pub fn over<T, U, F, A>(take: F, accumulator: A) -> Over<F, U, A>
where
    F: Fn(&T) -> U,
    A: Accumulator<U>,
{
    Over {
        take,
        accumulator,
        part: PhantomData,
    }
}

impl<T, U, F, A> Accumulator<T> for Over<F, U, A>
where
    U: 'static,
    F: Fn(&T) -> U + Send + Sync + 'static,
    A: Accumulator<U>,
{
    type Input = A::Input;
    type State = A::State;
    type Output = A::Output;

    #[inline]
    fn input(&self, record: &T) -> A::Input {
        self.accumulator.take((self.take)(record))
    }

    fn init(&self) -> A::State {
        self.accumulator.init()
    }

    #[inline]
    fn add(&self, state: &mut A::State, input: A::Input) {
        self.accumulator.add(state, input);
    }

    fn merge(&self, state: &mut A::State, other: &A::State) {
        self.accumulator.merge(state, other);
    }

    const COMBINES: bool = A::COMBINES;

    #[inline]
    fn combine(&self, first: &mut A::Input, second: A::Input) {
        self.accumulator.combine(first, second);
    }

    #[inline(always)]
    fn fold(&self, first: &mut A::Input, record: T) {
        self.accumulator.fold(first, (self.take)(&record));
    }

    fn finish(&self, state: &A::State) -> A::Output {
        self.accumulator.finish(state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{laws::hold, max_by};
    use super::*;

    #[test]
    fn keeps_the_part_alone() {
        let longest = over(|word: &&str| word.len(), max_by(|len: &usize| *len));
        assert_eq!(hold(&longest, &["a", "bcd", "ef"]), 3);
    }
}
