//! The sum of a number.

use super::{Accumulator, Number};

/// Made by [`sum`].
#[derive(Clone, Copy, Debug)]
pub struct Sum<F>(F);

/// The sum of a number: of integers exact, as `i128`; of floats as `f64`, up to rounding.
pub fn sum<T, N: Number, F: Fn(&T) -> N>(of: F) -> Sum<F> {
    Sum(of)
}

impl<T, N: Number, F> Accumulator<T> for Sum<F>
where
    F: Fn(&T) -> N + Send + Sync + 'static,
{
    type Input = N::Part;
    type State = N::Total;
    type Output = N::Total;

    #[inline]
    fn input(&self, record: &T) -> N::Part {
        (self.0)(record).part()
    }

    fn init(&self) -> N::Total {
        N::Total::default()
    }

    #[inline]
    fn add(&self, state: &mut N::Total, input: N::Part) {
        N::add_to(input, state);
    }

    fn merge(&self, state: &mut N::Total, other: &N::Total) {
        N::merge(state, *other);
    }

    // Sums of floats would depend on where batches end.
    const COMBINES: bool = N::IS_EXACT;

    #[inline]
    fn combine(&self, first: &mut N::Part, second: N::Part) {
        N::add_parts(first, second);
    }

    fn finish(&self, state: &N::Total) -> N::Total {
        *state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f7_sums_of_integers_are_exact_beyond_64_bits() {
        let records = [i64::MAX, i64::MAX, -1, i64::MIN];
        let expected = records.iter().map(|&x| i128::from(x)).sum::<i128>();
        assert_eq!(
            super::super::laws::hold(&sum(|x: &i64| *x), &records),
            expected
        );
    }
}
