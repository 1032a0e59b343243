//! What is computed over the records of a window or a key.
//!
//! An accumulator takes out of each record what it needs ([`input`](Accumulator::input)): only
//! that travels to the worker that owns the key. Results must not depend on the order in which
//! partial states are merged (rule F7): sums and means of integers are exact, quantiles come from
//! a sketch whose merge only adds counts, ties are broken by the values.
//!
//! Where two inputs can become one ([`combine`](Accumulator::combine)), records of a key are
//! aggregated before they travel.

use millstream_engine::data::{Data, Wire};

mod by;
mod count;
mod custom;
mod distinct;
mod extreme;
mod mean;
mod number;
mod over;
mod quantile;
mod sum;
mod top;
mod tuple;

pub use by::{Best, TiedBest, last_by, max_by, min_by};
pub use count::{Count, CountIf, count, count_if};
pub use custom::{Custom, custom};
pub use distinct::{Distinct, distinct};
pub use extreme::{Comparable, Max, Min, max, min};
pub use mean::{Mean, mean};
pub use number::Number;
pub use over::{Over, over};
pub use quantile::{Quantile, Sketch, quantile};
pub use sum::{Sum, sum};
pub use top::{TopN, top_n};

/// Computes something over records of type `T`.
pub trait Accumulator<T>: Send + Sync + 'static {
    /// What of a record it needs.
    type Input: Data;
    /// What it keeps.
    type State: Wire;
    /// What comes out.
    type Output: Data;

    /// Takes out of a record what it needs.
    fn input(&self, record: &T) -> Self::Input;

    /// As [`input`](Accumulator::input), where the record itself is no longer needed.
    #[inline]
    fn take(&self, record: T) -> Self::Input
    where
        T: Sized,
    {
        self.input(&record)
    }

    /// The state before any record.
    fn init(&self) -> Self::State;

    /// Adds a record.
    fn add(&self, state: &mut Self::State, input: Self::Input);

    /// Adds the records of another state. The order of additions and merges must not matter.
    fn merge(&self, state: &mut Self::State, other: &Self::State);

    /// Whether [`combine`](Accumulator::combine) may be called: whether two records may become one
    /// on their way to the worker that owns their key.
    const COMBINES: bool = false;

    /// Makes the inputs of two records one: adding it comes to the same as adding both.
    fn combine(&self, first: &mut Self::Input, second: Self::Input) {
        let _ = (first, second);
    }

    /// Adds a record to the input of another: comes to the same as
    /// [`combine`](Accumulator::combine) with what [`take`](Accumulator::take) makes of it, which
    /// an accumulator that mostly finds nothing to add need not make.
    #[inline(always)]
    fn fold(&self, first: &mut Self::Input, record: T)
    where
        T: Sized,
    {
        self.combine(first, self.take(record));
    }

    /// The result over at least one record.
    fn finish(&self, state: &Self::State) -> Self::Output;
}

#[cfg(test)]
pub(crate) mod laws {
    //! What every accumulator must keep to.

    use super::Accumulator;
    use std::fmt::Debug;

    /// However records are split up and merged, the result is the same; returns it.
    pub(crate) fn hold<T, A>(accumulator: &A, records: &[T]) -> A::Output
    where
        T: Clone,
        A: Accumulator<T>,
        A::Output: PartialEq + Debug,
    {
        let gather = |part: &[T]| {
            let mut state = accumulator.init();
            for record in part {
                accumulator.add(&mut state, accumulator.input(record));
            }
            state
        };
        let expected = accumulator.finish(&gather(records));
        for cut in 0..=records.len() {
            let (left, right) = records.split_at(cut);
            for (a, b) in [(left, right), (right, left)] {
                let mut state = gather(a);
                accumulator.merge(&mut state, &gather(b));
                assert_eq!(accumulator.finish(&state), expected, "cut at {cut}");
            }
        }
        if A::COMBINES
            && let Some((first, others)) = records.split_first()
        {
            let mut combined = accumulator.input(first);
            let mut folded = combined.clone();
            for record in others {
                accumulator.combine(&mut combined, accumulator.input(record));
                accumulator.fold(&mut folded, record.clone());
            }
            for (input, how) in [(combined, "combined"), (folded, "folded")] {
                let mut state = accumulator.init();
                accumulator.add(&mut state, input);
                assert_eq!(accumulator.finish(&state), expected, "{how}");
            }
        }
        expected
    }
}
