//! The mean of a number.

use super::{Accumulator, Number};

/// Made by [`mean`].
#[derive(Clone, Copy, Debug)]
pub struct Mean<F>(F);

/// The mean of a number. The sum of integers is exact; it is divided once, at the end.
pub fn mean<T, N: Number, F: Fn(&T) -> N>(of: F) -> Mean<F> {
    Mean(of)
}

impl<T, N: Number, F> Accumulator<T> for Mean<F>
where
    F: Fn(&T) -> N + Send + Sync + 'static,
{
    type Input = (N::Part, u32);
    type State = (N::Total, u64);
    type Output = f64;

    #[inline]
    fn input(&self, record: &T) -> Self::Input {
        ((self.0)(record).part(), 1)
    }

    fn init(&self) -> Self::State {
        (N::Total::default(), 0)
    }

    #[inline]
    fn add(&self, state: &mut Self::State, (part, count): Self::Input) {
        N::add_to(part, &mut state.0);
        state.1 += u64::from(count);
    }

    fn merge(&self, state: &mut Self::State, other: &Self::State) {
        N::merge(&mut state.0, other.0);
        state.1 += other.1;
    }

    // Sums of floats would depend on where batches end.
    const COMBINES: bool = N::IS_EXACT;

    #[inline]
    fn combine(&self, first: &mut Self::Input, second: Self::Input) {
        N::add_parts(&mut first.0, second.0);
        first.1 += second.1;
    }

    fn finish(&self, state: &Self::State) -> f64 {
        N::mean(state.0, state.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f7_the_mean_of_integers_does_not_depend_on_the_order() {
        let mean = super::super::laws::hold(&mean(|x: &i64| *x), &[3, -10, i64::MAX, 7, i64::MIN]);
        assert_eq!(mean, -0.2);
    }
}
