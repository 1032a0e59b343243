//! The user's own computation, from closures.

use std::marker::PhantomData;

use millstream_engine::data::{Data, Wire};

use super::Accumulator;

/// Made by [`custom`].
pub struct Custom<T, S, A, M> {
    init: S,
    add: A,
    merge: M,
    over: PhantomData<fn(T)>,
}

/// A state that whole records are added to. The result is the state.
///
/// `merge` is needed where windows share slices and where sessions grow together; the order of
/// additions and merges must not matter.
pub fn custom<T, S, A, M>(init: S, add: A, merge: M) -> Custom<T, S, A, M>
where
    A: Fn(&mut S, T),
    M: Fn(&mut S, &S),
{
    Custom {
        init,
        add,
        merge,
        over: PhantomData,
    }
}

impl<T, S, A, M> Accumulator<T> for Custom<T, S, A, M>
where
    T: Data,
    S: Wire + Sync,
    A: Fn(&mut S, T) + Send + Sync + 'static,
    M: Fn(&mut S, &S) + Send + Sync + 'static,
{
    type Input = T;
    type State = S;
    type Output = S;

    fn input(&self, record: &T) -> T {
        record.clone()
    }

    #[inline]
    fn take(&self, record: T) -> T {
        record
    }

    fn init(&self) -> S {
        self.init.clone()
    }

    fn add(&self, state: &mut S, input: T) {
        (self.add)(state, input);
    }

    fn merge(&self, state: &mut S, other: &S) {
        (self.merge)(state, other);
    }

    fn finish(&self, state: &S) -> S {
        state.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_the_user_wants() {
        let or = custom(
            0u64,
            |bits: &mut u64, x: u64| *bits |= x,
            |bits, other| *bits |= other,
        );
        assert_eq!(super::super::laws::hold(&or, &[1, 4, 4, 8]), 13);
    }
}
