//! When keys are due.
//!
//! Timers stand in lists, one for each bucket of time. A bucket is opened when the watermark
//! comes to it; its list is sorted then, and taken from the front. Nothing is looked up by key.
//!
//! A checkpoint holds, for each bucket, the keys that have a timer in it, as a table. Timers are
//! put there when a barrier comes, so that one that fires before costs nothing. After a restart a
//! bucket is read back when it is opened: whoever owns the timers knows the exact times.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

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
    /// When; of a key that was read back, when its bucket begins.
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

/// The times at which keys are due. A key may have several; who asks decides whether a time still
/// means anything.
pub(crate) struct Timers<K> {
    /// Bucket start -> the keys that have a timer in it.
    stored: Table<K, ()>,
    /// Whether there are checkpoints at all.
    keeps: bool,
    bucket_ms: i64,
    /// The bucket that the last timer went into: most go into the same one.
    latest: (Timestamp, Bucket<K>),
    /// The others that are not open, by their start.
    buckets: BTreeMap<Timestamp, Bucket<K>>,
    /// Buckets that are not open and whose keys are, in part, only in the table.
    read_back: BTreeSet<Timestamp>,
    /// The rest of the last bucket that was opened, in order.
    open: std::vec::IntoIter<Timer<K>>,
    /// Timers that were set for a bucket when that was open.
    early: BinaryHeap<Reverse<Early<K>>>,
    opened_below: Timestamp,
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
        let read_back: BTreeSet<Timestamp> = stored.namespaces().map(|(start, _)| start).collect();
        Timers {
            stored,
            keeps,
            // Some tens of buckets ahead: few to look through, few timers opened too early.
            bucket_ms: (span_ms / 32).max(1),
            latest: (Timestamp::MAX, Bucket::default()),
            buckets: BTreeMap::new(),
            due: read_back.first().copied().unwrap_or(Timestamp::MAX),
            read_back,
            open: Vec::new().into_iter(),
            early: BinaryHeap::new(),
            opened_below: Timestamp::MIN,
            waiting: 0,
            failed: None,
        }
    }

    fn bucket_of(&self, time: Timestamp) -> Timestamp {
        time - time.rem_euclid(self.bucket_ms)
    }

    /// Lets a key be due at a time.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub(crate) fn set(&mut self, time: Timestamp, hash: u32, key: K) -> Result<()> {
        let timer = Timer {
            time,
            hash,
            origin: Origin::Set,
            key,
        };
        let (start, bucket) = &mut self.latest;
        if (*start..start.saturating_add(self.bucket_ms)).contains(&time) {
            bucket.timers.push(timer);
        } else {
            self.set_elsewhere(timer);
        }
        self.waiting += 1;
        if self.keeps && self.waiting > WAITING_MAX {
            self.store()?;
        }
        Ok(())
    }

    #[cold]
    fn set_elsewhere(&mut self, timer: Timer<K>) {
        let start = self.bucket_of(timer.time);
        if start < self.opened_below {
            self.due = self.due.min(timer.time);
            self.early.push(Reverse(Early(timer)));
            return;
        }
        self.due = self.due.min(start);
        self.close_latest();
        let mut bucket = self.buckets.remove(&start).unwrap_or_default();
        bucket.timers.push(timer);
        self.latest = (start, bucket);
    }

    fn close_latest(&mut self) {
        let (start, bucket) = std::mem::replace(&mut self.latest, (Timestamp::MAX, Bucket::default()));
        if !bucket.timers.is_empty() {
            self.buckets.insert(start, bucket);
        }
    }

    /// Whether a key that was read back with this timer may have lost its own to it.
    pub(crate) fn stands_for(&self, timer: &Timer<K>, armed: Timestamp) -> bool {
        timer.origin == Origin::ReadBack && self.bucket_of(armed) == timer.time
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
            let opened = self.open.as_slice().first().map(|timer| timer.time);
            let early = self.early.peek().map(|Reverse(Early(timer))| timer.time);
            let timer = match (opened, early) {
                (None, None) => None,
                (Some(opened), early) if early.is_none_or(|early| opened <= early) => {
                    (opened <= watermark).then(|| self.open.next())
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

    fn find_due(&mut self) {
        let open = self.open.as_slice().first().map(|timer| timer.time);
        let early = self.early.peek().map(|Reverse(Early(timer))| timer.time);
        let times = [open, early, self.next_bucket()];
        let soonest = times.into_iter().flatten().min();
        self.due = soonest.unwrap_or(Timestamp::MAX);
    }

    fn next_bucket(&self) -> Option<Timestamp> {
        let latest = (!self.latest.1.timers.is_empty()).then_some(self.latest.0);
        let others = self.buckets.keys().next().copied();
        let read_back = self.read_back.first().copied();
        [latest, others, read_back].into_iter().flatten().min()
    }

    /// Opens the next bucket, if `watermark` has come to it. All before it are used up.
    fn open_next(&mut self, watermark: Timestamp) -> Result<bool> {
        let Some(start) = self.next_bucket().filter(|&start| start <= watermark) else {
            return Ok(false);
        };
        if self.latest.0 == start {
            self.close_latest();
        }
        let bucket = self.buckets.remove(&start).unwrap_or_default();
        let mut timers = bucket.timers;
        for timer in timers.iter_mut().take(bucket.stored) {
            timer.origin = Origin::Stored;
        }
        if self.read_back.remove(&start)
            && let Some(slice) = self.stored.find_slice(start)
        {
            let (mut walk, all) = (Walk::default(), usize::MAX);
            self.stored.walk(slice, &mut walk, all, |row| {
                timers.push(Timer {
                    time: start,
                    hash: row.hash,
                    origin: Origin::ReadBack,
                    key: row.key.clone(),
                });
            })?;
        }
        // Mostly they were set in the order of their times.
        timers.sort_by_key(|timer| timer.time);
        self.open = timers.into_iter();
        self.opened_below = start.saturating_add(self.bucket_ms);
        Ok(true)
    }

    /// Drops the buckets that are past. To be called when nothing more is due.
    ///
    /// # Errors
    /// As [`Table::drop_slice`].
    pub(crate) fn drop_past(&mut self, watermark: Timestamp) -> Result<()> {
        while let Some(start) = self.stored.first_namespace() {
            if watermark < start.saturating_add(self.bucket_ms) {
                break;
            }
            self.stored.drop_slice(start)?;
        }
        Ok(())
    }

    /// Puts the timers that the table does not hold yet into it.
    fn store(&mut self) -> Result<()> {
        self.close_latest();
        let Timers {
            stored,
            buckets,
            open,
            early,
            bucket_ms,
            ..
        } = self;
        for (&start, bucket) in buckets.iter_mut() {
            let new = bucket.timers.get(bucket.stored..).unwrap_or_default();
            put(stored, start, new)?;
            bucket.stored = bucket.timers.len();
        }
        let bucket_of = |time: Timestamp| time - time.rem_euclid(*bucket_ms);
        for timer in open.as_mut_slice() {
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
        self.read_back.extend(self.buckets.keys());
        self.buckets.clear();
        Ok(freed)
    }

    fn listed(&self) -> usize {
        let others = self.buckets.values().map(|bucket| bucket.timers.len());
        self.latest.1.timers.len() + others.sum::<usize>()
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

    fn settle(&mut self) {
        self.stored.settle();
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
