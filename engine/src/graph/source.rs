//! How records come in: a [`Source`] has splits, a [`Reader`] reads one of them from a position.

use std::sync::Arc;
use std::time::Duration;

use crate::data::{Data, Timestamp, Wire};
use crate::error::Result;

/// Where records come from. The engine lists its splits once at the start, deals them out to
/// the workers, and opens a [`Reader`] for each, at its beginning or at the position that the
/// checkpoint holds.
///
/// A source is a value that describes; it opens nothing by itself. It must be able to read a
/// split again from any position that a reader has reported, and deliver the same records:
/// that is what exactly-once rests on.
pub trait Source: Send + Sync + 'static {
    /// What is read.
    type Record: Data;
    /// Reads one split.
    type Reader: Reader<Record = Self::Record>;

    /// The names of the splits there are now. Called once, beside the workers: it may block.
    /// Names are stable: they tie a split to its position in the checkpoint.
    ///
    /// # Errors
    /// When the input cannot be found or listed.
    fn splits(&self) -> Result<Vec<String>>;

    /// Opens a split at `position`, or at its beginning.
    ///
    /// # Errors
    /// When the split cannot be opened, or is not the one that the position was taken in
    /// (a file that shrank or was replaced).
    fn open(
        &self,
        split: &str,
        position: Option<<Self::Reader as Reader>::Position>,
        waker: Waker,
    ) -> Result<Self::Reader>;

    /// Whether the input ends. An unbounded source guards against times far in the future
    /// (rule T7) unless told otherwise.
    fn is_bounded(&self) -> bool {
        true
    }

    /// What the records' event time is, and how far out of order they may come.
    ///
    /// `time` may return a [`Timestamp`], or an `Option` of one: a record without a time is
    /// skipped and counted.
    fn event_time<F, R>(
        self,
        time: F,
        lag: Lag,
    ) -> Timed<Self, impl Fn(&Self::Record) -> EventTime + Send + Sync + 'static>
    where
        Self: Sized,
        F: Fn(&Self::Record) -> R + Send + Sync + 'static,
        R: Into<EventTime>,
    {
        let max_future_skew = (!self.is_bounded()).then_some(DEFAULT_FUTURE_SKEW);
        Timed {
            source: self,
            time: move |record: &Self::Record| time(record).into(),
            watermarks: Watermarks {
                lag,
                max_future_skew,
                ..Watermarks::default()
            },
        }
    }
}

const DEFAULT_FUTURE_SKEW: Duration = Duration::from_secs(3600);

/// Reads one split. It lives on a worker and must not block there: what waits (files, sockets)
/// waits on a thread of the reader's own and wakes the worker through its [`Waker`].
pub trait Reader: 'static {
    /// What is read.
    type Record: Data;
    /// Where to go on: stored in the checkpoint, so it carries what proves that the split is
    /// still the same one.
    type Position: Wire;

    /// Hands records to `emit` until it has enough, the split ends, or nothing more is at hand.
    ///
    /// `emit` is always inlined: the steps behind the source become part of the loop in here. If
    /// making a record takes but some nanoseconds, mark this method `#[inline]` and keep in local
    /// variables what changes with each record: what the engine counts then lies beside them.
    ///
    /// # Errors
    /// When the split cannot be read further: with the place (file, line, column).
    fn read<E: Emit<Self::Record>>(&mut self, emit: &mut E) -> Result<Read>;

    /// The position right behind the last record that was handed on or skipped.
    fn position(&self) -> Self::Position;

    /// How much has been read and how much there is, in any unit of the reader's, for progress.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Takes what a [`Reader`] reads.
pub trait Emit<T> {
    /// One record. Returns whether more are wanted: after `false` the reader returns
    /// [`Read::More`] as soon as it can.
    fn emit(&mut self, record: T) -> bool;

    /// A record that cannot be read, and that the user chose to skip: it is counted.
    /// Returns as [`emit`](Emit::emit) does.
    fn skip(&mut self) -> bool;
}

/// How a call of [`Reader::read`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There may be more at once.
    More,
    /// Nothing at hand now; the waker will be called when there is.
    Wait,
    /// The split has ended.
    End,
}

/// Wakes the worker that a reader lives on. Cheap to clone, callable from any thread.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Waker(Arc::new(wake))
    }

    /// A waker that wakes nobody, for tests of readers.
    pub fn none() -> Self {
        Waker::new(|| {})
    }

    /// Wakes the worker: there is something to read.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// The event time of a record, or that it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime(pub Option<Timestamp>);

impl From<Timestamp> for EventTime {
    fn from(time: Timestamp) -> Self {
        EventTime(Some(time))
    }
}

impl From<Option<Timestamp>> for EventTime {
    fn from(time: Option<Timestamp>) -> Self {
        EventTime(time)
    }
}

/// How far behind the highest event time seen a record may come (rule T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag(Duration);

impl Lag {
    /// Times never go back within a split.
    pub const NONE: Lag = Lag(Duration::ZERO);

    /// At most `bound` behind.
    pub const fn of(bound: Duration) -> Self {
        Lag(bound)
    }

    /// At most `n` milliseconds behind.
    pub const fn millis(n: u64) -> Self {
        Lag(Duration::from_millis(n))
    }

    /// At most `n` seconds behind.
    pub const fn secs(n: u64) -> Self {
        Lag(Duration::from_secs(n))
    }

    /// At most `n` minutes behind.
    pub const fn mins(n: u64) -> Self {
        Lag(Duration::from_secs(n * 60))
    }

    /// At most `n` hours behind.
    pub const fn hours(n: u64) -> Self {
        Lag(Duration::from_secs(n * 3600))
    }

    /// The bound.
    pub fn bound(self) -> Duration {
        self.0
    }
}

/// What a source does about the watermark when every split is idle (rule T5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenAllIdle {
    /// The watermark stays where it is.
    #[default]
    Hold,
    /// The watermark follows the clock at this distance.
    AdvanceWithClock(Duration),
}

/// How a source's watermarks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The out-of-orderness bound.
    pub lag: Lag,
    /// After how much silence a split no longer holds the watermark back; `None`: never.
    pub idle_after: Option<Duration>,
    /// What happens when every split is idle.
    pub when_all_idle: WhenAllIdle,
    /// How far beyond the clock a record's time may lie (rule T7); `None`: any distance.
    pub max_future_skew: Option<Duration>,
}

impl Default for Watermarks {
    fn default() -> Self {
        Watermarks {
            lag: Lag::NONE,
            idle_after: None,
            when_all_idle: WhenAllIdle::Hold,
            max_future_skew: None,
        }
    }
}

/// A source whose records have an event time: what a job reads from.
#[derive(Clone, Debug)]
pub struct Timed<S, F> {
    pub(crate) source: S,
    pub(crate) time: F,
    pub(crate) watermarks: Watermarks,
}

impl<S, F> Timed<S, F> {
    /// A split that has had nothing to read for this long no longer holds the watermark back
    /// (rule T5).
    #[must_use]
    pub fn idle_after(mut self, silence: Duration) -> Self {
        self.watermarks.idle_after = Some(silence);
        self
    }

    /// What the watermark does when every split is idle (rule T5).
    #[must_use]
    pub fn when_all_idle(mut self, policy: WhenAllIdle) -> Self {
        self.watermarks.when_all_idle = policy;
        self
    }

    /// Quarantines records whose time lies further than `skew` beyond the clock (rule T7). On
    /// with one hour for unbounded sources, off for bounded ones.
    #[must_use]
    pub fn max_future_skew(mut self, skew: Option<Duration>) -> Self {
        self.watermarks.max_future_skew = skew;
        self
    }
}
