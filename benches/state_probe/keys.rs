//! Which key a record has: every key once, in turn, then as the distribution says.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How often which key comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Distribution {
    /// All keys alike
    Uniform,
    /// The key of rank k as often as 1 / k
    Zipf,
}

/// The keys of a load: `all` of them once, then draws from the first `drawn`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) all: u64,
    pub(crate) drawn: u64,
    pub(crate) distribution: Distribution,
}

impl Keys {
    /// The key of record `n`.
    #[inline]
    pub(crate) fn key(&self, n: u64) -> u64 {
        mixed(if n < self.all { n } else { self.rank(n) })
    }

    #[inline]
    fn rank(&self, n: u64) -> u64 {
        let drawn = self.drawn.max(1);
        let random = mixed(n ^ 0x5851_f42d_4c95_7f2d);
        match self.distribution {
            Distribution::Uniform => {
                let wide = u128::from(random) * u128::from(drawn);
                (wide >> 64) as u64
            }
            // The inverse of the integral of 1 / x: rank k comes with the weight ln(1 + 1 / k).
            Distribution::Zipf => {
                let unit = (random >> 11) as f64 / (1u64 << 53) as f64;
                let rank = (unit * ((drawn + 1) as f64).ln()).exp() as u64;
                rank.clamp(1, drawn) - 1
            }
        }
    }
}

/// A bijection of the 64-bit numbers: keys that stand side by side nowhere.
#[inline]
pub(crate) fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
