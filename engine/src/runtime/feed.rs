//! The way of each record from a reader into the fused steps.
//!
//! What changes with each record lies in a [`Feed`], where the loop of the reader can keep it in
//! registers. Everything that may be said of a record's time is one comparison: a time no higher
//! than the highest so far, and none too low, is neither refused nor quarantined, and raises no
//! watermark. Only the others are looked at closely.

use crate::data::{Data, EVENT_TIME_MAX, EVENT_TIME_MIN, Timestamp, check_event_time};
use crate::error::Error;
use crate::graph::operator::Output;
use crate::graph::source::{Emit, EventTime};
use crate::runtime::chain::{At, Take};

/// Takes records from a reader: stamps them, raises the watermark behind each (rule T9), and
/// hands them to the fused steps.
pub(super) struct Feed<'a, T, F, G> {
    pub(super) time_of: &'a F,
    pub(super) place: Place<'a>,
    pub(super) times: Times,
    pub(super) watermark: Timestamp,
    pub(super) rise: Rise,
    pub(super) aside: &'a mut Aside<T>,
    pub(super) take: &'a mut G,
}

/// What a [`Feed`] has come to.
pub(super) struct Fed {
    /// How many records were handed on, skipped or quarantined.
    pub(super) count: u32,
    /// The highest time so far, if it is among theirs.
    pub(super) max_time: Option<Timestamp>,
    /// The watermark behind them.
    pub(super) watermark: Timestamp,
}

impl<T, F, G> Feed<'_, T, F, G> {
    /// The watermark follows from the highest time, so a loop whose steps do not ask for it
    /// need not keep it.
    #[inline]
    pub(super) fn end(self) -> Fed {
        let max_time = self.times.risen();
        Fed {
            count: self.place.end(),
            max_time,
            watermark: max_time.map_or(self.rise.passed, |max| self.rise.behind(max)),
        }
    }

    /// Whether a record may have this time; the watermark behind it is raised.
    #[inline(always)]
    fn accepts(&mut self, time: Timestamp) -> bool {
        if self.times.may_be_new(time) {
            if !self.times.saw(time) {
                return false;
            }
            self.watermark = self.rise.behind(time);
        }
        true
    }
}

impl<T, F, G> Emit<T> for Feed<'_, T, F, G>
where
    T: Data,
    F: Fn(&T) -> EventTime,
    G: Take<T>,
{
    // One loop with the reader's and all steps, or the record would be made in memory.
    #[inline(always)]
    fn emit(&mut self, record: T) -> bool {
        let watermark = self.watermark;
        // One way out for all of them, or the compiler makes the record in memory at once.
        let time = match (self.time_of)(&record).0 {
            Some(time) if self.accepts(time) => time,
            other => {
                // In a box, so that it need not be made before it is known that it comes here.
                let (at, limit) = (self.place.at(), self.times.limit);
                if !self.aside.take(Box::new(record), other, at, limit) {
                    self.place.stop();
                }
                return self.place.next();
            }
        };
        let at = At {
            time,
            at: self.place.at(),
            watermark,
        };
        self.take.take(record, at);
        self.place.next()
    }

    #[inline]
    fn skip(&mut self) -> bool {
        self.aside.skipped += 1;
        self.place.next()
    }
}

/// Takes the records that are not handed on.
pub(super) struct Aside<T> {
    /// Those whose times lie too far in the future (rule T7).
    pub(super) quarantine: Output<T>,
    pub(super) quarantined: u64,
    /// Those without a time, and those that the reader could not read.
    pub(super) skipped: u64,
    /// The number in its batch of the first that had to be refused, and why.
    pub(super) failure: Option<(u32, Error)>,
}

impl<T: Data> Aside<T> {
    /// An empty one.
    pub(super) fn new(quarantine: Output<T>) -> Self {
        Aside {
            quarantine,
            quarantined: 0,
            skipped: 0,
            failure: None,
        }
    }

    /// Takes record `at`; false: the job has to end.
    #[cold]
    #[inline(never)]
    #[expect(
        clippy::boxed_local,
        reason = "the caller need not make the record in memory before it comes here"
    )]
    fn take(&mut self, record: Box<T>, time: Option<Timestamp>, at: u32, limit: Timestamp) -> bool {
        let Some(time) = time else {
            self.skipped += 1;
            return true;
        };
        if time > limit {
            self.quarantined += 1;
            self.quarantine.emit(time, *record);
            return true;
        }
        if let Err(e) = check_event_time(time) {
            let e = e.remedy("let event_time return None for records to be skipped");
            self.failure.get_or_insert((at, e));
        }
        false
    }
}

/// Counts the records of a batch. Should one of them bring the steps down, it tells which; that
/// is done where the stack is unwound, and costs the others nothing.
pub(super) struct Place<'a> {
    /// How many more are wanted. Below 0: the reader has gone on unasked.
    left: i32,
    wanted: i32,
    current: &'a mut u32,
}

impl<'a> Place<'a> {
    /// At the first of at most `max` records (and 2^31); `current` is told where it ends.
    pub(super) fn new(max: usize, current: &'a mut u32) -> Self {
        let wanted = i32::try_from(max).unwrap_or(i32::MAX);
        Place {
            left: wanted,
            wanted,
            current,
        }
    }

    /// The number of the record at hand.
    #[inline(always)]
    fn at(&self) -> u32 {
        self.wanted.wrapping_sub(self.left).cast_unsigned()
    }

    /// Goes on to the next one; whether it is wanted.
    #[inline(always)]
    fn next(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        self.left > 0
    }

    /// None is wanted behind the one at hand.
    #[cold]
    fn stop(&mut self) {
        self.wanted = self.wanted.wrapping_sub(self.left).wrapping_add(1);
        self.left = 1;
    }
}

impl Place<'_> {
    /// How many there were. The current one remains the last.
    fn end(self) -> u32 {
        let count = self.at();
        *self.current = count.saturating_sub(1);
        count
    }
}

impl Drop for Place<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.current = self.at();
        }
    }
}

/// Which event times are accepted, and the highest so far. Times are counted from the lowest
/// that there may be, so that one comparison tells those apart that are too low or too high.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// One more than the highest so far, and no more than `end`; 0: there was none.
    next: u64,
    /// What it was in the beginning.
    first: u64,
    /// One more than the highest that is accepted.
    end: u64,
    /// Above it, records are quarantined.
    limit: Timestamp,
}

impl Times {
    /// Times up to `limit`, where the highest so far was `max`.
    pub(super) fn new(max: Option<Timestamp>, limit: Timestamp) -> Self {
        let highest = limit.clamp(EVENT_TIME_MIN - 1, EVENT_TIME_MAX);
        let end = Self::number(highest).wrapping_add(1);
        // The clock may have gone back behind times that were accepted.
        let next = max.map_or(0, |max| Self::number(max).wrapping_add(1).min(end));
        Times {
            next,
            first: next,
            end,
            limit,
        }
    }

    #[inline(always)]
    fn number(time: Timestamp) -> u64 {
        time.wrapping_sub(EVENT_TIME_MIN).cast_unsigned()
    }

    /// Whether the time is not between the lowest and the highest so far.
    #[inline(always)]
    fn may_be_new(&self, time: Timestamp) -> bool {
        Self::number(time) >= self.next
    }

    /// Takes a time that [may be new](Times::may_be_new) for the highest; false: it is not
    /// accepted.
    #[inline(always)]
    fn saw(&mut self, time: Timestamp) -> bool {
        let number = Self::number(time);
        if number >= self.end {
            return false;
        }
        // Below `end`. A check could panic, and then the record would have to lie in memory.
        self.next = number.wrapping_add(1);
        true
    }

    /// The highest so far, if it is a new one.
    fn risen(&self) -> Option<Timestamp> {
        let highest = self
            .next
            .checked_sub(1)
            .filter(|_| self.next > self.first)?;
        Some(EVENT_TIME_MIN.wrapping_add(highest.cast_signed()))
    }
}

/// How the watermark of a worker rises with the times of one of its splits (rules T1 to T3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rise {
    /// How far the split's watermark is behind its highest time, at most 2^61, ...
    pub(super) behind: i64,
    /// ... and below what it does not go.
    pub(super) floor: Timestamp,
    /// The lowest watermark of the other splits.
    pub(super) others: Timestamp,
    /// What has been passed on.
    pub(super) passed: Timestamp,
}

impl Rise {
    /// The watermark behind a record of this time, which is accepted and the highest so far.
    #[inline(always)]
    fn behind(&self, time: Timestamp) -> Timestamp {
        let own = time.wrapping_sub(self.behind).max(self.floor);
        self.passed.max(own.min(self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t7_times_are_accepted_up_to_the_limit_and_within_bounds() {
        const MIN: Timestamp = EVENT_TIME_MIN;
        const MAX: Timestamp = EVENT_TIME_MAX;
        const NONE: Timestamp = Timestamp::MAX;
        // The highest before, the limit, a time: whether it may be new, and is accepted then.
        for (max, limit, time, expect) in [
            (None, NONE, MIN, Some(true)),
            (None, NONE, MAX, Some(true)),
            (None, NONE, MIN - 1, Some(false)),
            (None, NONE, MAX + 1, Some(false)),
            (None, NONE, Timestamp::MIN, Some(false)),
            (None, NONE, Timestamp::MAX, Some(false)),
            (Some(MIN), NONE, MIN, None),
            (Some(MAX), NONE, MAX, None),
            (Some(MAX), NONE, MAX + 1, Some(false)),
            (Some(5), NONE, 5, None),
            (Some(5), NONE, -5, None),
            (Some(5), NONE, MIN, None),
            (Some(5), NONE, MIN - 1, Some(false)),
            (Some(5), NONE, 6, Some(true)),
            (Some(5), 7, 7, Some(true)),
            (Some(5), 7, 8, Some(false)),
            (None, 7, 7, Some(true)),
            (None, 7, 8, Some(false)),
            // The clock went back: what was accepted once need not be now.
            (Some(9), 7, 7, None),
            (Some(9), 7, 8, Some(false)),
            (None, Timestamp::MIN, MIN, Some(false)),
        ] {
            let mut times = Times::new(max, limit);
            let found = times.may_be_new(time).then(|| times.saw(time));
            assert_eq!(found, expect, "{time} after {max:?} below {limit}");
        }
    }

    #[test]
    fn t1_a_new_highest_time_is_known_in_the_end() {
        for (before, times, expect) in [
            (None, vec![], None),
            (None, vec![EVENT_TIME_MIN], Some(EVENT_TIME_MIN)),
            (None, vec![3, 7, 5], Some(7)),
            (None, vec![-3, EVENT_TIME_MAX + 1], Some(-3)),
            (Some(4), vec![3, 7, 5], Some(7)),
            (Some(9), vec![3, 7, 5], None),
        ] {
            let mut seen = Times::new(before, Timestamp::MAX);
            for &time in &times {
                let _ = seen.may_be_new(time) && seen.saw(time);
            }
            assert_eq!(seen.risen(), expect, "{times:?} after {before:?}");
        }
    }

    #[test]
    fn t2_t3_the_watermark_is_that_of_the_slowest_and_never_goes_back() {
        let rise = Rise {
            behind: 11,
            floor: 20,
            others: 50,
            passed: 10,
        };
        for (time, expect) in [(25, 20), (40, 29), (61, 50), (100, 50)] {
            assert_eq!(rise.behind(time), expect, "{time}");
        }
        assert_eq!(Rise { passed: 60, ..rise }.behind(61), 60);
    }

    #[test]
    fn a_batch_ends_at_what_is_wanted_and_a_panic_tells_its_record() {
        let mut current = 0;
        let mut place = Place::new(3, &mut current);
        let wanted = [(); 3].map(|()| place.next());
        assert_eq!(wanted, [true, true, false]);
        // A reader that cannot stop at once.
        assert_eq!((place.next(), place.at()), (false, 4));
        assert_eq!(place.end(), 4);
        assert_eq!(current, 3);

        let mut place = Place::new(3, &mut current);
        assert!(place.next());
        place.stop();
        assert_eq!((place.at(), place.next()), (1, false));
        assert_eq!(place.end(), 2);

        current = 0;
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut place = Place::new(3, &mut current);
            place.next();
            panic!("in the second record");
        }));
        assert!(panicked.is_err());
        assert_eq!(current, 1);
    }
}
