//! What flows through a job: records, keyed records, and the batches they travel in.

use std::fmt::Debug;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Milliseconds since the Unix epoch, UTC.
pub type Timestamp = i64;

/// The smallest event time a record may carry. Within these bounds no sum of a time, a window
/// size and an allowed lateness can overflow, so window arithmetic needs no checks per record.
pub const EVENT_TIME_MIN: Timestamp = -(1 << 60);
/// The greatest event time a record may carry, and the greatest duration in milliseconds.
pub const EVENT_TIME_MAX: Timestamp = 1 << 60;

/// Refuses an event time outside [`EVENT_TIME_MIN`]`..=`[`EVENT_TIME_MAX`] (about 36 million
/// years either way), so that nothing downstream can wrap.
///
/// # Errors
/// [`ErrorKind::Input`](crate::error::ErrorKind::Input) with the time.
#[inline]
pub fn check_event_time(time: Timestamp) -> Result<Timestamp> {
    if (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(&time) {
        Ok(time)
    } else {
        Err(outside(time))
    }
}

#[cold]
fn outside(time: Timestamp) -> Error {
    Error::input(format!(
        "event time {time} ms lies outside the accepted range {EVENT_TIME_MIN}..={EVENT_TIME_MAX}"
    ))
    .remedy("event times are milliseconds since 1970-01-01T00:00:00Z; check the unit")
}

/// Anything that can flow through a job.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot flow through a job",
    note = "records are `Clone + Debug + Send + 'static`: derive `Clone` and `Debug`"
)]
pub trait Data: Clone + Debug + Send + 'static {}
impl<T: Clone + Debug + Send + 'static> Data for T {}

/// Data that can be turned into bytes: keys, state, positions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a checkpoint",
    note = "stored values are `Serialize + Deserialize`: derive both with serde"
)]
pub trait Wire: Data + Serialize + DeserializeOwned {}
impl<T: Data + Serialize + DeserializeOwned> Wire for T {}

/// Data that a stream can be keyed by.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "keys are `Hash + Eq + Clone + Debug + Serialize + Deserialize`: derive them"
)]
pub trait Key: Wire + Hash + Eq {}
impl<T: Wire + Hash + Eq> Key for T {}

/// How far the event time of a channel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No more records with a time at or below this are expected (rule T1).
    Watermark(Timestamp),
    /// Nothing to wait for here: the channel does not hold the watermark back (rule T5).
    Idle,
}

/// Progress at a place in a batch: in force from record `index` on (rule T9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many of the batch's records stand before it.
    pub index: u32,
    /// The progress from there on.
    pub progress: Progress,
}

/// Where the records of a batch were read, so that a failure can name the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source's node in the graph.
    pub source: u32,
    /// The split's number in that source.
    pub split: u32,
    /// The number, in its split, of the record whose `at` is 0.
    pub first: u64,
}

/// A record with its event time.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    /// Event time.
    pub time: Timestamp,
    /// The record's number within its batch's [`Origin`].
    pub at: u32,
    /// The record.
    pub value: T,
}

/// A record on its way to the worker that owns its key.
#[derive(Clone, Debug)]
pub struct Keyed<K, P> {
    /// Event time.
    pub time: Timestamp,
    /// The key's stable hash ([`crate::state::key_group::stable_hash`]).
    pub hash: u32,
    /// The record's number within its batch's [`Origin`].
    pub at: u32,
    /// The key.
    pub key: K,
    /// What the next stateful step needs of the record.
    pub payload: P,
}

/// A record that knows its number within its batch's [`Origin`].
pub trait Located {
    /// The number.
    fn at(&self) -> u32;
}

impl<T> Located for Timed<T> {
    #[inline]
    fn at(&self) -> u32 {
        self.at
    }
}

impl<K, P> Located for Keyed<K, P> {
    #[inline]
    fn at(&self) -> u32 {
        self.at
    }
}

/// Some hundreds to some thousands of records of one origin, with the marks between them.
#[derive(Clone, Debug)]
pub struct Batch<M> {
    /// The records, in the order of their split.
    pub records: Vec<M>,
    /// Progress between them, by ascending index.
    pub marks: Vec<Mark>,
    /// Where they were read; `None` for results of a stateful step.
    pub origin: Option<Origin>,
    /// How many more records went into these: they were combined on the way.
    pub combined: u64,
}

impl<M> Default for Batch<M> {
    fn default() -> Self {
        Batch {
            records: Vec::new(),
            marks: Vec::new(),
            origin: None,
            combined: 0,
        }
    }
}

impl<M> Batch<M> {
    /// Nothing to tell: no record and no mark.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.marks.is_empty()
    }

    /// An empty batch that need not grow to become one like this.
    pub fn with_same_room(&self) -> Self {
        Batch {
            records: Vec::with_capacity(self.records.len()),
            marks: Vec::with_capacity(self.marks.len()),
            origin: None,
            combined: 0,
        }
    }

    /// The memory that the batch takes in a queue, without what its records own on the heap.
    pub fn bytes(&self) -> usize {
        self.records.len() * size_of::<M>() + self.marks.len() * size_of::<Mark>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_times_beyond_the_range_are_refused() {
        for time in [0, -1, EVENT_TIME_MIN, EVENT_TIME_MAX] {
            assert_eq!(check_event_time(time).unwrap(), time);
        }
        for time in [i64::MIN, i64::MAX, EVENT_TIME_MIN - 1, EVENT_TIME_MAX + 1] {
            assert!(check_event_time(time).is_err(), "{time}");
        }
    }
}
