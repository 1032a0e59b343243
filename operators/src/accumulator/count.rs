//! How many records there are.

use super::Accumulator;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(super::super::laws::hold(&count(), &["a", "b", "c"]), 3);
    }
}
