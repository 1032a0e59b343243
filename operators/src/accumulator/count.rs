//! How many records there are.

use super::Accumulator;

/// Made by [`count_if`].
#[derive(Clone, Copy, Debug)]
pub struct CountIf<F>(F);

/// How many records pass a test.
pub fn count_if<T, F: Fn(&T) -> bool>(test: F) -> CountIf<F> {
    CountIf(test)
}

/// Made by [`count`].
#[derive(Clone, Copy, Debug)]
pub struct Count;

/// How many records there are.
pub fn count() -> Count {
    Count
}

impl<T> Accumulator<T> for Count {
    type Input = u32;
    type State = u64;
    type Output = u64;

    #[inline]
    fn input(&self, _record: &T) -> u32 {
        1
    }

    fn init(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, state: &mut u64, input: u32) {
        *state += u64::from(input);
    }

    fn merge(&self, state: &mut u64, other: &u64) {
        *state += other;
    }

    const COMBINES: bool = true;

    #[inline]
    fn combine(&self, first: &mut u32, second: u32) {
        *first += second;
    }

    fn finish(&self, state: &u64) -> u64 {
        *state
    }
}

impl<T, F> Accumulator<T> for CountIf<F>
where
    F: Fn(&T) -> bool + Send + Sync + 'static,
{
    type Input = u32;
    type State = u64;
    type Output = u64;

    #[inline]
    fn input(&self, record: &T) -> u32 {
        u32::from((self.0)(record))
    }

    fn init(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, state: &mut u64, input: u32) {
        *state += u64::from(input);
    }

    fn merge(&self, state: &mut u64, other: &u64) {
        *state += other;
    }

    const COMBINES: bool = true;

    #[inline]
    fn combine(&self, first: &mut u32, second: u32) {
        *first += second;
    }

    fn finish(&self, state: &u64) -> u64 {
        *state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(super::super::laws::hold(&count(), &["a", "b", "c"]), 3);
        let even = count_if(|x: &u32| x.is_multiple_of(2));
        assert_eq!(super::super::laws::hold(&even, &[1, 2, 4]), 2);
    }
}
