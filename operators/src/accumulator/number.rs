//! Numbers that can be summed and averaged.

use millstream_engine::data::{Data, Wire};

/// A number. Integers are summed exactly, in 128 bits; floats up to rounding.
pub trait Number: Data + Copy {
    /// What a sum is kept and given as.
    type Total: Wire + Copy + Default;

    /// Adds a number to a total.
    fn add_to(self, total: &mut Self::Total);

    /// Adds two totals.
    fn merge(total: &mut Self::Total, other: Self::Total);

    /// A total over a count.
    fn mean(total: Self::Total, count: u64) -> f64;
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Number for $t {
            type Total = i128;

            #[inline]
            fn add_to(self, total: &mut i128) {
                *total += i128::from(self);
            }

            fn merge(total: &mut i128, other: i128) {
                *total += other;
            }

            fn mean(total: i128, count: u64) -> f64 {
                total as f64 / count as f64
            }
        }
    )*};
}

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl Number for $t {
            type Total = f64;

            #[inline]
            fn add_to(self, total: &mut f64) {
                *total += f64::from(self);
            }

            fn merge(total: &mut f64, other: f64) {
                *total += other;
            }

            fn mean(total: f64, count: u64) -> f64 {
                total / count as f64
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);
floats!(f32, f64);
