//! A quantile, from a sketch with a bounded relative error.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use super::Accumulator;

/// Made by [`quantile`].
#[derive(Clone, Copy, Debug)]
pub struct Quantile<F> {
    of: F,
    q: f64,
}

/// The `q`-quantile (0 to 1) of a number, within 1 % of the true value. It comes from a DDSketch
/// (Masson, Rim, Lee, VLDB 2019), whose merge adds up bucket counts: the result does not depend
/// on the order of records and merges. `q` outside 0 to 1 is taken as the nearer end. What is not
/// a finite number is left out.
pub fn quantile<T, F: Fn(&T) -> f64>(q: f64, of: F) -> Quantile<F> {
    Quantile {
        of,
        q: q.clamp(0.0, 1.0),
    }
}

/// The state of a [`quantile`].
#[derive(Clone, Serialize, Deserialize)]
pub struct Sketch(DDSketch);

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sketch of {} values", self.0.count())
    }
}

impl<T, F> Accumulator<T> for Quantile<F>
where
    F: Fn(&T) -> f64 + Send + Sync + 'static,
{
    type Input = f64;
    type State = Sketch;
    type Output = f64;

    #[inline]
    fn input(&self, record: &T) -> f64 {
        (self.of)(record)
    }

    fn init(&self) -> Sketch {
        Sketch(DDSketch::new(Config::defaults()))
    }

    fn add(&self, state: &mut Sketch, input: f64) {
        if input.is_finite() {
            state.0.add(input);
        }
    }

    fn merge(&self, state: &mut Sketch, other: &Sketch) {
        // Sketches differ only in their counts here: all are made by `init`.
        let merged = state.0.merge(&other.0);
        debug_assert!(merged.is_ok());
    }

    fn finish(&self, state: &Sketch) -> f64 {
        state.0.quantile(self.q).ok().flatten().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::hold;
    use super::*;

    #[test]
    fn f7_within_one_percent_whatever_the_order_of_merges() {
        let records: Vec<f64> = (0..300)
            .map(|i| f64::from(i * 7919 % 601) - 100.0)
            .collect();
        let mut sorted = records.clone();
        sorted.sort_by(f64::total_cmp);
        for q in [0.0, 0.01, 0.5, 0.9, 0.99, 1.0] {
            let got = hold(&quantile(q, |x: &f64| *x), &records);
            let exact = sorted[(q * 299.0) as usize];
            let near = sorted[((q * 299.0) as usize + 1).min(299)];
            let bounds = exact.min(near) - 0.01 * exact.abs() - 1e-9
                ..=exact.max(near) + 0.01 * near.abs() + 1e-9;
            assert!(bounds.contains(&got), "q {q}: {got} not in {bounds:?}");
        }
    }

    #[test]
    fn a_stored_sketch_reads_back() {
        let quantile = quantile(0.5, |x: &f64| *x);
        let mut state = Accumulator::<f64>::init(&quantile);
        for x in [-3.0, 0.0, 5.0, 5.0] {
            Accumulator::<f64>::add(&quantile, &mut state, x);
        }
        let bytes = millstream_engine::state::codec::encode(&state).unwrap();
        let back: Sketch = millstream_engine::state::codec::decode(&bytes).unwrap();
        let finish = |s: &Sketch| Accumulator::<f64>::finish(&quantile, s);
        assert_eq!(finish(&back), finish(&state));
    }
}
