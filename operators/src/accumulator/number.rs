//! Numbers that can be summed and averaged.

use millstream_engine::data::{Data, Wire};

/// A number. Integers are summed exactly, in 128 bits; floats up to rounding.
pub trait Number: Data + Copy {
    /// What a sum is kept and given as.
    type Total: Wire + Copy + Default;
    /// What some thousands of numbers are summed up as on their way to their key's worker.
    type Part: Data + Copy;
    /// Whether the order of additions does not matter.
    const IS_EXACT: bool;

    /// A sum of one number.
    fn part(self) -> Self::Part;

    /// Adds two sums.
    fn add_parts(first: &mut Self::Part, second: Self::Part);

    /// Adds a sum to a total.
    fn add_to(part: Self::Part, total: &mut Self::Total);

    /// Adds two totals.
    fn merge(total: &mut Self::Total, other: Self::Total);

    /// A total over a count.
    fn mean(total: Self::Total, count: u64) -> f64;
}

macro_rules! integers {
    ($($t:ty => $part:ty),*) => {$(
        impl Number for $t {
            type Total = i128;
            type Part = $part;
            const IS_EXACT: bool = true;

            #[inline]
            fn part(self) -> $part {
                <$part>::from(self)
            }

            #[inline]
            fn add_parts(first: &mut $part, second: $part) {
                *first += second;
            }

            #[inline]
            fn add_to(part: $part, total: &mut i128) {
                *total += i128::from(part);
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
            type Part = f64;
            const IS_EXACT: bool = false;

            #[inline]
            fn part(self) -> f64 {
                f64::from(self)
            }

            #[inline]
            fn add_parts(first: &mut f64, second: f64) {
                *first += second;
            }

            #[inline]
            fn add_to(part: f64, total: &mut f64) {
                *total += part;
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

// A batch holds fewer than 2^31 records, so 64 bits hold the sum of its 32-bit numbers.
integers!(i8 => i64, i16 => i64, i32 => i64, i64 => i128, u8 => i64, u16 => i64, u32 => i64, u64 => i128);
floats!(f32, f64);
