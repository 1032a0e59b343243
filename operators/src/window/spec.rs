//! How a user says what windows there are.

use std::sync::Arc;
use std::time::Duration;

use millstream_engine::data::{EVENT_TIME_MAX, EVENT_TIME_MIN};

use crate::window::slices::Slices;

/// A duration in milliseconds; what does not fit is refused by `problem`.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn length_problem(what: &str, ms: i64) -> Option<String> {
    match ms {
        ms if ms < 1 => Some(format!("the {what} of a window must be at least 1 ms")),
        ms if ms > EVENT_TIME_MAX => Some(format!(
            "the {what} of a window must be at most {EVENT_TIME_MAX} ms"
        )),
        _ => None,
    }
}

/// Windows of one size, one behind the other, aligned to 1970-01-01T00:00Z (rule W1).
///
/// ```
/// use std::time::Duration;
/// use millstream_operators::window::Tumbling;
///
/// let days_in_india = Tumbling::of(Duration::from_secs(86_400)).offset(Duration::from_secs(18 * 3600 + 1800));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tumbling {
    size: Duration,
    offset: Duration,
}

impl Tumbling {
    /// Windows of this size.
    pub fn of(size: Duration) -> Self {
        Tumbling {
            size,
            offset: Duration::ZERO,
        }
    }

    /// Moves all windows by this much.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset = offset;
        self
    }
}

/// Windows of one size that start every so often (rule W2). The step need not divide the size;
/// when it exceeds it, records between the windows belong to none.
#[derive(Clone, Copy, Debug)]
pub struct Sliding {
    size: Duration,
    slide: Duration,
    offset: Duration,
}

impl Sliding {
    /// Windows of `size`, one starting every `slide`.
    pub fn of(size: Duration, slide: Duration) -> Self {
        Sliding {
            size,
            slide,
            offset: Duration::ZERO,
        }
    }

    /// Moves all windows by this much.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset = offset;
        self
    }
}

/// One window that holds all time: its results come when the input ends (rule T8), so an input
/// without end never gives any.
///
/// ```
/// use millstream_operators::{accumulator::last_by, keyed::KeyedStream, window::Global};
///
/// fn last_visit(visits: KeyedStream<'_, String, (i64, u64)>) {
///     let all = visits.window(Global).aggregate("last-visit", last_by(|v: &(i64, u64)| v.0));
///     let _ = all.results.map(|visit| (visit.key, visit.value));
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Global;

impl TimeCut for Global {
    const KIND: &'static str = "global";

    fn slices(&self) -> Slices {
        // Its end lies beyond every time that a record may carry, so only the last watermark
        // passes it.
        let size = EVENT_TIME_MAX - EVENT_TIME_MIN + 2;
        Slices {
            size,
            slide: size,
            offset: EVENT_TIME_MIN,
        }
    }

    fn problem(&self) -> Option<String> {
        None
    }
}

/// Windows that are cut by time alone: [`Tumbling`], [`Sliding`] and [`Global`].
pub trait TimeCut {
    /// The kind, for the plan.
    const KIND: &'static str;
    /// Their arithmetic.
    fn slices(&self) -> Slices;
    /// What is wrong with them, if anything.
    fn problem(&self) -> Option<String>;
}

impl TimeCut for Tumbling {
    const KIND: &'static str = "tumbling";

    fn slices(&self) -> Slices {
        Sliding::of(self.size, self.size)
            .offset(self.offset)
            .slices()
    }

    fn problem(&self) -> Option<String> {
        length_problem("size", millis(self.size))
            .or_else(|| length_problem("offset", millis(self.offset).max(1)))
    }
}

impl TimeCut for Sliding {
    const KIND: &'static str = "sliding";

    fn slices(&self) -> Slices {
        Slices {
            size: millis(self.size),
            slide: millis(self.slide),
            offset: millis(self.offset),
        }
    }

    fn problem(&self) -> Option<String> {
        length_problem("size", millis(self.size))
            .or_else(|| length_problem("slide", millis(self.slide)))
            .or_else(|| length_problem("offset", millis(self.offset).max(1)))
    }
}

/// Records of a key that follow each other within a gap (rule W4). Two records exactly one gap
/// apart still belong together.
pub struct Session<T> {
    gap: Gap<T>,
}

enum Gap<T> {
    Fixed(Duration),
    By(GapOf<T>),
}

type GapOf<T> = Arc<dyn Fn(&T) -> Duration + Send + Sync>;

impl<T> Clone for Session<T> {
    fn clone(&self) -> Self {
        let gap = match &self.gap {
            Gap::Fixed(gap) => Gap::Fixed(*gap),
            Gap::By(of) => Gap::By(of.clone()),
        };
        Session { gap }
    }
}

impl<T> Session<T> {
    /// One gap for all.
    pub fn gap(gap: Duration) -> Self {
        Session {
            gap: Gap::Fixed(gap),
        }
    }

    /// Each record says how long its session waits for the next one.
    pub fn gap_by(of: impl Fn(&T) -> Duration + Send + Sync + 'static) -> Self {
        Session {
            gap: Gap::By(Arc::new(of)),
        }
    }

    /// The gap behind a record, in milliseconds, at most [`EVENT_TIME_MAX`].
    pub(crate) fn gap_ms(&self, record: &T) -> i64 {
        let gap = match &self.gap {
            Gap::Fixed(gap) => *gap,
            Gap::By(of) => of(record),
        };
        millis(gap).min(EVENT_TIME_MAX)
    }

    /// The gap, if it is one for all.
    pub(crate) fn fixed_gap_ms(&self) -> Option<i64> {
        match &self.gap {
            Gap::Fixed(gap) => Some(millis(*gap)),
            Gap::By(_) => None,
        }
    }

    /// About how long gaps are.
    pub(crate) fn usual_gap_ms(&self) -> i64 {
        match &self.gap {
            Gap::Fixed(gap) => millis(*gap),
            Gap::By(_) => 60_000,
        }
    }

    pub(crate) fn problem(&self) -> Option<String> {
        match &self.gap {
            Gap::Fixed(gap) => length_problem("gap", millis(*gap)),
            Gap::By(_) => None,
        }
    }
}

/// Windows of so many records of a key (rule W6), by arrival.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    pub(crate) n: u64,
    pub(crate) every: u64,
    pub(crate) partial: bool,
}

impl Count {
    /// Windows of `n` records, one behind the other.
    pub fn of(n: u64) -> Self {
        Count {
            n,
            every: n,
            partial: false,
        }
    }

    /// A window over the last `n` records behind every `m`-th one; over fewer while there have
    /// not been so many.
    #[must_use]
    pub fn every(mut self, m: u64) -> Self {
        self.every = m;
        self
    }

    /// When the input ends, what is left over comes out as a last, smaller window.
    #[must_use]
    pub fn emit_partial(mut self) -> Self {
        self.partial = true;
        self
    }

    pub(crate) fn problem(&self) -> Option<String> {
        (self.n < 1 || self.every < 1)
            .then(|| "a count window needs at least 1 record and a step of at least 1".to_owned())
    }
}
