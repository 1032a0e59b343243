//! What is read: how many events, how they are made, and how they arrive.

use millstream::{Error, Result};
use serde::{Deserialize, Serialize};

/// How many events there may be: far more than anyone waits for, and few enough that no
/// arithmetic on event numbers and times can overflow.
pub(crate) const EVENTS_MAX: u64 = 1 << 50;
/// The most events a second of event time.
pub(crate) const RATE_MAX: u64 = 1_000_000_000;
/// The most splits.
pub(crate) const SPLITS_MAX: u64 = 1 << 16;
/// How many events one block of a shuffled arrival may hold: a split keeps one in memory.
const BLOCK_EVENTS_MAX: u128 = 1 << 26;

/// What is read. It is stored with every position: a position means something only in the same
/// input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// How many events.
    pub(crate) events: u64,
    /// Events per second of event time.
    pub(crate) rate: u64,
    /// Whether events carry their long strings.
    pub(crate) wide: bool,
    /// How many splits the events are dealt out to.
    pub(crate) splits: u64,
    /// How far behind the highest time of its split an event may come, in milliseconds.
    pub(crate) shuffle_ms: u64,
}

impl Input {
    /// Refuses what cannot be read.
    ///
    /// # Errors
    /// [`millstream::ErrorKind::Config`] with the flag to change.
    pub(crate) fn check(&self) -> Result<()> {
        let bounds = [
            ("--events", self.events, 0, EVENTS_MAX),
            ("--rate", self.rate, 1, RATE_MAX),
            ("--splits", self.splits, 1, SPLITS_MAX),
        ];
        for (flag, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(Error::config(format!(
                    "`{flag} {value}` lies outside {min} to {max}"
                )));
            }
        }
        let block = u128::from(self.shuffle_ms) * u128::from(self.rate) / 1000;
        if block > BLOCK_EVENTS_MAX {
            return Err(Error::config(format!(
                "`--shuffle-ms {}` at `--rate {}` shuffles {block} events at a time, more than {BLOCK_EVENTS_MAX}",
                self.shuffle_ms, self.rate
            ))
            .remedy("shuffle over a shorter time or lower the rate"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream::ErrorKind;

    use super::*;

    pub(crate) const PLAIN: Input = Input {
        events: 1000,
        rate: 100_000,
        wide: false,
        splits: 1,
        shuffle_ms: 0,
    };

    #[test]
    fn what_cannot_be_read_is_refused_with_the_flag() {
        #[rustfmt::skip]
        let cases = [
            (Input { rate: 0, ..PLAIN }, "--rate 0"),
            (Input { splits: 0, ..PLAIN }, "--splits 0"),
            (Input { events: u64::MAX, ..PLAIN }, "--events 18446744073709551615"),
            (Input { shuffle_ms: u64::MAX, ..PLAIN }, "--shuffle-ms 18446744073709551615"),
            (Input { shuffle_ms: 1000, rate: 100_000_000, ..PLAIN }, "--shuffle-ms 1000"),
        ];
        for (input, expect) in cases {
            let error = input.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(expect), "{error}");
        }
        assert!(PLAIN.check().is_ok());
        assert!(Input { events: 0, ..PLAIN }.check().is_ok());
    }
}
