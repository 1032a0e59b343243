//! When keys are due.
//!
//! Timers stand in lists, one for each bucket of time. A bucket is opened when the watermark
//! comes to it; its list is sorted then, and taken from the front. Nothing is looked up by key.
//!
//! A checkpoint holds, for each bucket, the keys that have a timer in it, as a table. Timers are
//! put there when a barrier comes, so that one that fires before costs nothing. After a restart a
//! bucket is read back when it is opened: whoever owns the timers knows the exact times.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use millstream_engine::data::{Key, Timestamp};
use millstream_engine::error::{Error, Result};
use millstream_engine::state::run::Run;
use millstream_engine::state::table::{Inventory, StateTable, Table, TableContext, Walk};

/// How many timers may wait for the barrier that puts them into the table: these are the work of
/// a barrier that is not done bit by bit.
const WAITING_MAX: usize = 1 << 16;

/// A key that is due at a time.
#[derive(Clone, Debug)]
pub(crate) struct Timer<K> {
    /// When; of a key that was read back, when its bucket begins, and that key may have another
    /// timer or none.
    pub(crate) time: Timestamp,
    pub(crate) hash: u32,
    pub(crate) origin: Origin,
    pub(crate) key: K,
}

/// What the checkpoint knows of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing yet.
    Set,
    /// It is in the table.
    Stored,
    /// It comes from there.
    ReadBack,
}

/// How many buckets behind the watermark's stand in a row: nearly all timers go there.
const NEAR: usize = 128;

/// The times at which keys are due. A key may have several; who asks decides whether a time still
/// means anything.
pub(crate) struct Timers<K> {
    /// Bucket start -> the keys that have a timer in it.
    stored: Table<K, ()>,
    /// Whether there are checkpoints at all.
    keeps: bool,
    /// A bucket is 2 to the power of this wide.
    width: u32,
    /// Buckets that are not open: those from number `first` on, in a row.
    near: VecDeque<Bucket<K>>,
    first: i64,
    /// The others, by number.
    far: BTreeMap<i64, Bucket<K>>,
    /// Numbers of buckets that are not open and whose keys are, in part, only in the table.
    read_back: BTreeSet<i64>,
    /// The rest of the last bucket that was opened, in order.
    open: VecDeque<Timer<K>>,
    /// Timers that were set for a bucket when that was open.
    early: BinaryHeap<Reverse<Early<K>>>,
    /// The number of the first bucket that was not opened.
    opened_below: i64,
    /// A watermark below which nothing is due.
    due: Timestamp,
    /// About how many timers are not in the table.
    waiting: usize,
    /// What went wrong at the barrier.
    failed: Option<Error>,
}

struct Bucket<K> {
    timers: Vec<Timer<K>>,
    /// How many of them, from the front, are in the table.
    stored: usize,
}

impl<K> Default for Bucket<K> {
    fn default() -> Self {
        Bucket {
            timers: Vec::new(),
            stored: 0,
        }
    }
}

impl<K> Bucket<K> {
    fn mark_stored(&mut self) {
        for timer in self.timers.iter_mut().take(self.stored) {
            timer.origin = Origin::Stored;
        }
    }
}

struct Early<K>(Timer<K>);

impl<K> PartialEq for Early<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0.time == other.0.time
    }
}

impl<K> Eq for Early<K> {}

impl<K> PartialOrd for Early<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Early<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.time.cmp(&other.0.time)
    }
}

impl<K: Key> Timers<K> {
    /// Timers over a table. `span_ms` is about how far ahead they are set.
    pub(crate) fn new(table: TableContext, span_ms: i64) -> Self {
        let keeps = table.store.is_some();
        let stored = Table::new(table);
        // Some tens of buckets ahead: few to look through, few timers sorted too early.
        let width = (span_ms / 32).max(1).ilog2();
        let read_back: BTreeSet<i64> = stored.namespaces().map(|(at, _)| at >> width).collect();
        Timers {
            stored,
            keeps,
            width,
            near: VecDeque::new(),
            first: 0,
            far: BTreeMap::new(),
            due: read_back.first().map_or(Timestamp::MAX, |at| at << width),
            read_back,
            open: VecDeque::new(),
            early: BinaryHeap::new(),
            opened_below: Timestamp::MIN,
            waiting: 0,
            failed: None,
        }
    }

    /// Lets a key be due at a time.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub(crate) fn set(&mut self, time: Timestamp, hash: u32, key: K) -> Result<()> {
        let timer = Timer {
            time,
            hash,
            origin: Origin::Set,
            key,
        };
        let number = time >> self.width;
        let place = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        match self.near.get_mut(place) {
            Some(bucket) if !bucket.timers.is_empty() => bucket.timers.push(timer),
            _ => self.set_first(timer),
        }
        self.waiting += 1;
        if self.keeps && self.waiting > WAITING_MAX {
            self.store()?;
        }
        Ok(())
    }

    /// The first timer of its bucket, or one for a bucket that does not stand in the row.
    #[cold]
    fn set_first(&mut self, timer: Timer<K>) {
        let number = timer.time >> self.width;
        if number < self.opened_below {
            self.due = self.due.min(timer.time);
            self.early.push(Reverse(Early(timer)));
            return;
        }
        self.due = self.due.min(number << self.width);
        if self.near.is_empty() {
            // Those before it stand in the row as well, if they are not far before it.
            self.first = self.opened_below.max(number - NEAR as i64 / 2);
        }
        let place = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        let bucket = if place < NEAR {
            while self.near.len() <= place {
                self.near.push_back(Bucket::default());
            }
            self.near.get_mut(place)
        } else {
            None
        };
        match bucket {
            Some(bucket) => bucket.timers.push(timer),
            None => self.far.entry(number).or_default().timers.push(timer),
        }
    }

    /// A watermark below which no key is due.
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    /// Takes the timer of the earliest time up to `watermark`.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub(crate) fn take_due(&mut self, watermark: Timestamp) -> Result<Option<Timer<K>>> {
        loop {
            let opened = self.open.front().map(|timer| timer.time);
            let early = self.early.peek().map(|Reverse(Early(timer))| timer.time);
            let timer = match (opened, early) {
                (None, None) => None,
                (Some(opened), early) if early.is_none_or(|early| opened <= early) => {
                    (opened <= watermark).then(|| self.open.pop_front())
                }
                (_, Some(early)) if early <= watermark => {
                    Some(self.early.pop().map(|Reverse(Early(timer))| timer))
                }
                _ => None,
            };
            if let Some(Some(timer)) = timer {
                if timer.origin == Origin::Set {
                    self.waiting = self.waiting.saturating_sub(1);
                }
                return Ok(Some(timer));
            }
            if !self.open_next(watermark)? {
                self.find_due();
                return Ok(None);
            }
        }
    }

    /// The hashes of the next timers that are due at `watermark`, at most `count`.
    pub(crate) fn ahead(&self, watermark: Timestamp, count: usize) -> impl Iterator<Item = u32> {
        let next = self.open.iter().take(count);
        let due = next.take_while(move |timer| timer.time <= watermark);
        due.map(|timer| timer.hash)
    }

    fn find_due(&mut self) {
        let open = self.open.front().map(|timer| timer.time);
        let early = self.early.peek().map(|Reverse(Early(timer))| timer.time);
        let times = [open, early, self.next_bucket()];
        let soonest = times.into_iter().flatten().min();
        self.due = soonest.unwrap_or(Timestamp::MAX);
    }

    /// When the next bucket begins.
    fn next_bucket(&self) -> Option<Timestamp> {
        let near = self.near.iter().position(|b| !b.timers.is_empty());
        let near = near.map(|place| self.first + place as i64);
        let far = self.far.keys().next().copied();
        let read_back = self.read_back.first().copied();
        let number = [near, far, read_back].into_iter().flatten().min();
        number.map(|number| number << self.width)
    }

    /// Opens the next bucket, if `watermark` has come to it. All before it are used up.
    fn open_next(&mut self, watermark: Timestamp) -> Result<bool> {
        let Some(start) = self.next_bucket().filter(|&start| start <= watermark) else {
            return Ok(false);
        };
        let number = start >> self.width;
        // Its room serves again.
        let mut timers = Vec::from(std::mem::take(&mut self.open));
        timers.clear();
        while self.first <= number
            && let Some(mut bucket) = self.near.pop_front()
        {
            self.first += 1;
            bucket.mark_stored();
            timers.append(&mut bucket.timers);
        }
        if let Some(mut bucket) = self.far.remove(&number) {
            bucket.mark_stored();
            timers.append(&mut bucket.timers);
        }
        if self.read_back.remove(&number) {
            self.read_back_into(&mut timers, number)?;
        }
        timers.sort_unstable_by_key(|timer| timer.time);
        self.open = timers.into();
        self.opened_below = number + 1;
        Ok(true)
    }

    /// The keys that the table holds for a bucket. (The table may be of buckets of another width:
    /// those that begin in this one.)
    fn read_back_into(&mut self, timers: &mut Vec<Timer<K>>, number: i64) -> Result<()> {
        let (start, end) = (number << self.width, (number + 1) << self.width);
        let slices: Vec<_> = self.stored.namespaces_in(start..end).collect();
        for (_, slice) in slices {
            self.stored
                .walk(slice, &mut Walk::default(), usize::MAX, |row| {
                    timers.push(Timer {
                        time: start,
                        hash: row.hash,
                        origin: Origin::ReadBack,
                        key: row.key.clone(),
                    });
                })?;
        }
        Ok(())
    }

    /// Drops the buckets that are past. To be called when nothing more is due.
    ///
    /// # Errors
    /// As [`Table::drop_slice`].
    pub(crate) fn drop_past(&mut self, watermark: Timestamp) -> Result<()> {
        while let Some(start) = self.stored.first_namespace() {
            if watermark >> self.width <= start >> self.width {
                break;
            }
            self.stored.drop_slice(start)?;
        }
        Ok(())
    }

    /// Puts the timers that the table does not hold yet into it.
    fn store(&mut self) -> Result<()> {
        let Timers {
            stored,
            near,
            first,
            far,
            open,
            early,
            width,
            ..
        } = self;
        for (number, bucket) in (*first..)
            .zip(near)
            .chain(far.iter_mut().map(|(&n, b)| (n, b)))
        {
            let new = bucket.timers.get(bucket.stored..).unwrap_or_default();
            put(stored, number << *width, new)?;
            bucket.stored = bucket.timers.len();
        }
        let bucket_of = |time: Timestamp| time >> *width << *width;
        for timer in open {
            if timer.origin == Origin::Set {
                put(stored, bucket_of(timer.time), std::slice::from_ref(timer))?;
                timer.origin = Origin::Stored;
            }
        }
        let mut timers = std::mem::take(early).into_vec();
        for Reverse(Early(timer)) in &mut timers {
            if timer.origin == Origin::Set {
                put(stored, bucket_of(timer.time), std::slice::from_ref(timer))?;
                timer.origin = Origin::Stored;
            }
        }
        *early = timers.into();
        self.waiting = 0;
        Ok(())
    }

    /// Leaves the buckets that are not open to the table. Returns the bytes freed.
    fn leave_to_table(&mut self) -> Result<usize> {
        if !self.keeps {
            return Ok(0);
        }
        self.store()?;
        let freed = self.listed() * size_of::<Timer<K>>();
        let near = (self.first..).zip(&self.near);
        let near = near.filter(|(_, bucket)| !bucket.timers.is_empty());
        self.read_back.extend(near.map(|(number, _)| number));
        self.read_back.extend(self.far.keys());
        self.near.clear();
        self.far.clear();
        Ok(freed)
    }

    fn listed(&self) -> usize {
        let buckets = self.near.iter().chain(self.far.values());
        buckets.map(|bucket| bucket.timers.len()).sum()
    }
}

fn put<K: Key>(stored: &mut Table<K, ()>, start: Timestamp, timers: &[Timer<K>]) -> Result<()> {
    if timers.is_empty() {
        return Ok(());
    }
    let slice = stored.slice(start);
    for timer in timers {
        stored.upsert(slice, timer.hash, &timer.key, || ())?;
    }
    Ok(())
}

impl<K: Key> StateTable for Timers<K> {
    fn freeze(&mut self) {
        if self.keeps {
            self.failed = self.store().err();
        }
        self.stored.freeze();
    }

    fn drain(&mut self, rows: usize) -> Result<bool> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.stored.drain(rows),
        }
    }

    fn take_runs(&mut self) -> Vec<Run> {
        self.stored.take_runs()
    }

    fn take_full_runs(&mut self) -> Vec<Run> {
        self.stored.take_full_runs()
    }

    fn settle(&mut self, written: bool) {
        self.stored.settle(written);
    }

    fn warm(&mut self, rows: usize) -> Result<bool> {
        self.stored.warm(rows)
    }

    fn evict(&mut self, bytes: usize) -> Result<usize> {
        let freed = self.leave_to_table()?;
        if freed >= bytes {
            return Ok(freed);
        }
        Ok(freed + self.stored.evict(bytes - freed)?)
    }

    fn bytes(&self) -> usize {
        let listed = self.listed() + self.open.len() + self.early.len();
        self.stored.bytes() + listed * size_of::<Timer<K>>()
    }

    fn inventory(&self) -> Inventory {
        self.stored.inventory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn p1_timers_come_once_and_in_the_order_of_their_times(
            span in prop::sample::select(vec![1i64, 10, 100, 100_000]),
            steps in prop::collection::vec(
                (prop::collection::vec(-20_000i64..20_000, 0..8), 0i64..3000),
                1..40,
            ),
        ) {
            let mut timers = Timers::new(TableContext::in_memory("timers"), span);
            let mut set: Vec<Timestamp> = Vec::new();
            let mut watermark = -20_000;
            for (times, ahead) in steps {
                for time in times {
                    timers.set(time, 0, time).unwrap();
                    set.push(time);
                }
                watermark += ahead;
                set.sort_unstable();
                let due = set.partition_point(|&time| time <= watermark);
                let expected: Vec<_> = set.drain(..due).collect();
                if let Some(&first) = expected.first() {
                    prop_assert!(timers.due() <= first);
                }
                let mut taken = Vec::new();
                while let Some(timer) = timers.take_due(watermark).unwrap() {
                    prop_assert_eq!(timer.time, timer.key);
                    taken.push(timer.time);
                }
                prop_assert_eq!(taken, expected);
                prop_assert!(timers.due() > watermark);
            }
        }
    }
}
