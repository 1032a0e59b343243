//! Several accumulators at once.

use super::Accumulator;

macro_rules! tuples {
    ($(($($a:ident $i:tt),+))*) => {$(
        impl<T, $($a: Accumulator<T>),+> Accumulator<T> for ($($a,)+) {
            type Input = ($($a::Input,)+);
            type State = ($($a::State,)+);
            type Output = ($($a::Output,)+);

            #[inline]
            fn input(&self, record: &T) -> Self::Input {
                ($(self.$i.input(record),)+)
            }

            fn init(&self) -> Self::State {
                ($(self.$i.init(),)+)
            }

            #[inline]
            fn add(&self, state: &mut Self::State, input: Self::Input) {
                $(self.$i.add(&mut state.$i, input.$i);)+
            }

            fn merge(&self, state: &mut Self::State, other: &Self::State) {
                $(self.$i.merge(&mut state.$i, &other.$i);)+
            }

            const COMBINES: bool = $($a::COMBINES)&&+;

            #[inline]
            fn combine(&self, first: &mut Self::Input, second: Self::Input) {
                $(self.$i.combine(&mut first.$i, second.$i);)+
            }

            fn finish(&self, state: &Self::State) -> Self::Output {
                ($(self.$i.finish(&state.$i),)+)
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

#[cfg(test)]
mod tests {
    use super::super::{count, laws, max, mean};

    #[test]
    fn each_sees_every_record() {
        let all = (count(), mean(|x: &i64| *x), max(|x: &i64| *x));
        assert_eq!(laws::hold(&all, &[1, 2, 6]), (3, 3.0, 6));
    }
}
