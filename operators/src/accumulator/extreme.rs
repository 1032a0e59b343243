//! The least and the greatest of a value.

use std::cmp::Ordering;
use std::marker::PhantomData;

use millstream_engine::data::Wire;

use super::Accumulator;

/// A value with a total order. Floats follow IEEE 754's: -0.0 before 0.0, NaN at the ends.
pub trait Comparable: Wire {
    /// The order.
    fn compare(&self, other: &Self) -> Ordering;
}

macro_rules! ordered {
    ($($t:ty),*) => {$(
        impl Comparable for $t {
            #[inline]
            fn compare(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        }
    )*};
}

ordered!(
    i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, bool, char, String
);

impl Comparable for f64 {
    #[inline]
    fn compare(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }
}

impl Comparable for f32 {
    #[inline]
    fn compare(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }
}

/// Keeps the value that wins against all others.
#[derive(Clone, Copy, Debug)]
pub struct Extreme<F, W> {
    of: F,
    wins: PhantomData<W>,
}

/// Made by [`min`].
pub type Min<F> = Extreme<F, Least>;
/// Made by [`max`].
pub type Max<F> = Extreme<F, Greatest>;

/// The least wins.
#[derive(Clone, Copy, Debug)]
pub struct Least;
/// The greatest wins.
#[derive(Clone, Copy, Debug)]
pub struct Greatest;

/// Which of two values wins.
pub trait Wins: Send + Sync + 'static {
    /// How a value that wins compares with the other.
    const ORDER: Ordering;
}

impl Wins for Least {
    const ORDER: Ordering = Ordering::Less;
}

impl Wins for Greatest {
    const ORDER: Ordering = Ordering::Greater;
}

/// The least of a value.
pub fn min<T, V: Comparable, F: Fn(&T) -> V>(of: F) -> Min<F> {
    Extreme {
        of,
        wins: PhantomData,
    }
}

/// The greatest of a value.
pub fn max<T, V: Comparable, F: Fn(&T) -> V>(of: F) -> Max<F> {
    Extreme {
        of,
        wins: PhantomData,
    }
}

impl<T, V, F, W> Accumulator<T> for Extreme<F, W>
where
    V: Comparable,
    F: Fn(&T) -> V + Send + Sync + 'static,
    W: Wins,
{
    type Input = V;
    type State = Option<V>;
    type Output = V;

    #[inline]
    fn input(&self, record: &T) -> V {
        (self.of)(record)
    }

    fn init(&self) -> Option<V> {
        None
    }

    #[inline]
    fn add(&self, state: &mut Option<V>, input: V) {
        if state
            .as_ref()
            .is_none_or(|best| input.compare(best) == W::ORDER)
        {
            *state = Some(input);
        }
    }

    fn merge(&self, state: &mut Option<V>, other: &Option<V>) {
        if let Some(other) = other {
            Accumulator::<T>::add(self, state, other.clone());
        }
    }

    const COMBINES: bool = true;

    #[inline]
    fn combine(&self, first: &mut V, second: V) {
        if second.compare(first) == W::ORDER {
            *first = second;
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a window has at least one record, or it is no window"
    )]
    fn finish(&self, state: &Option<V>) -> V {
        state
            .clone()
            .expect("a result over no record was asked for")
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::hold;
    use super::*;

    #[test]
    fn finds_the_least_and_the_greatest() {
        assert_eq!(hold(&min(|x: &i64| *x), &[3, -10, 7]), -10);
        assert_eq!(hold(&max(|x: &i64| *x), &[3, -10, 7]), 7);
        assert_eq!(hold(&max(|x: &f64| *x), &[-0.0, 0.0]), 0.0);
        assert!(hold(&min(|x: &f64| *x), &[0.0, -0.0]).is_sign_negative());
        assert_eq!(hold(&min(|x: &&str| (*x).to_owned()), &["b", "a"]), "a");
    }
}
