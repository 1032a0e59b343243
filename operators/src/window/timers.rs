//! When keys are due.
//!
//! Timers stand in lists, one for each bucket of time: the numbers of the rows that are due in
//! it. When the watermark comes to a bucket, its rows are looked at: those whose time has moved
//! on go to the list of where it is now, the others are put in order. Nothing is looked up by key.
//!
//! A row notes what its timer is ([`Deadline::armed`]): a number in a list that means an earlier
//! timer, or a row whose place has become another key's, is told by that.
//!
//! A checkpoint holds, for each bucket, the keys that have a timer in it, as a table. Timers are
//! put there when a barrier comes, so that one that fires before costs nothing. After a restart,
//! and when rows had to leave memory, a bucket is read back when it is opened: whose timer it
//! is knows the exact time.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use millstream_engine::data::{Key, Timestamp, Wire};
use millstream_engine::error::{Error, Result};
use millstream_engine::state::run::Run;
use millstream_engine::state::table::{
    Inventory, LOOK_AHEAD, RowNumber, StateTable, Table, TableContext, Walk,
};

use crate::window::timed_rows::Rows;

/// How many timers may wait for the barrier that puts them into the table: these are the work of
/// a barrier that is not done bit by bit.
const WAITING_MAX: usize = 1 << 16;

/// How many buckets behind the watermark's stand in a row: nearly all timers go there.
const NEAR: usize = 128;

/// What timers are set for: the value of a row.
pub(crate) trait Deadline: Wire {
    /// When something is to be done about it; what has come out is kept for `lateness`.
    fn due(&self, lateness: i64) -> Timestamp;

    /// The lower half of the time that its timer is set for; others that were set have lost their
    /// meaning. No checkpoint needs it.
    fn armed(&self) -> u32;

    /// Reads what decides about it, so that it is near when it is asked for.
    fn look(&self) -> u32;

    /// Notes the time that its timer is set for.
    fn arm(&mut self, time: Timestamp);
}

/// The lower half of a time: what is noted of it.
#[inline]
pub(crate) fn low(time: Timestamp) -> u32 {
    time as u32
}

/// The times at which rows are due. A row may have several; what it has noted decides which of
/// them means anything.
pub(crate) struct Timers<K> {
    /// Bucket start -> the keys that have a timer in it.
    stored: Table<K, ()>,
    /// Whether there are checkpoints at all.
    keeps: bool,
    lateness: i64,
    /// A bucket is 2 to the power of this wide.
    width: u32,
    /// Buckets that are not open: those from number `first` on, in a row.
    near: VecDeque<Bucket>,
    first: i64,
    /// The others, by number.
    far: BTreeMap<i64, Bucket>,
    /// Numbers of buckets that are not open and whose keys are, in part, only in the table.
    read_back: BTreeSet<i64>,
    /// When the next bucket begins.
    next: Timestamp,
    open: OpenBucket,
    /// Timers that were set for a bucket when that was open.
    early: BinaryHeap<Reverse<Early<K>>>,
    /// The number of the first bucket that was not opened.
    opened_below: i64,
    /// A watermark below which nothing is due.
    due: Timestamp,
    /// How many rows in lists are not in the table.
    waiting: usize,
    /// Room for a list.
    spare: Vec<RowNumber>,
    /// What went wrong at the barrier.
    failed: Option<Error>,
}

#[derive(Default)]
struct Bucket {
    rows: Vec<RowNumber>,
    /// How many of them, from the front, are in the table.
    stored: usize,
}

/// The rest of the last bucket that was opened.
#[derive(Default)]
struct OpenBucket {
    start: Timestamp,
    /// In order: how far behind the start, and the row.
    timers: Vec<(u32, RowNumber)>,
    taken: usize,
    /// All of them are in the table.
    stored: bool,
}

impl OpenBucket {
    #[inline]
    fn first(&self) -> Option<(Timestamp, RowNumber)> {
        let &(behind, row) = self.timers.get(self.taken)?;
        Some((self.start + i64::from(behind), row))
    }

    fn rest(&self) -> impl Iterator<Item = (Timestamp, RowNumber)> + '_ {
        let rest = self.timers.get(self.taken..).unwrap_or_default();
        rest.iter()
            .map(|&(behind, row)| (self.start + i64::from(behind), row))
    }
}

struct Early<K> {
    time: Timestamp,
    who: Who<K>,
}

/// Whose timer it is.
enum Who<K> {
    /// A row's; whether it is in the table.
    Row(RowNumber, bool),
    /// That of a key whose row may have left memory. It is in the table.
    Key(u32, K),
}

impl<K> PartialEq for Early<K> {
    fn eq(&self, other: &Self) -> bool {
        self.time == other.time
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
        self.time.cmp(&other.time)
    }
}

impl<K: Key> Timers<K> {
    /// Timers over a table, which are set about `span_ms` ahead.
    pub(crate) fn new(table: TableContext, span_ms: i64, lateness: i64) -> Self {
        let keeps = table.store.is_some();
        let stored = Table::new(table);
        // Some tens of buckets ahead: few to look through, few timers sorted too early.
        let width = (span_ms / 32).max(1).ilog2().min(31);
        let read_back: BTreeSet<i64> = stored.namespaces().map(|(at, _)| at >> width).collect();
        let next = read_back.first().map_or(Timestamp::MAX, |at| at << width);
        Timers {
            stored,
            keeps,
            lateness,
            width,
            near: VecDeque::new(),
            first: 0,
            far: BTreeMap::new(),
            read_back,
            next,
            open: OpenBucket::default(),
            early: BinaryHeap::new(),
            opened_below: Timestamp::MIN,
            due: next,
            waiting: 0,
            spare: Vec::new(),
            failed: None,
        }
    }

    /// Lets a row be due at a time, which it has to note.
    #[inline]
    pub(crate) fn set(&mut self, time: Timestamp, row: RowNumber) {
        let number = time >> self.width;
        let place = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        match self.near.get_mut(place) {
            Some(bucket) if !bucket.rows.is_empty() => {
                bucket.rows.push(row);
                self.waiting += 1;
            }
            _ => self.set_first(time, row),
        }
    }

    /// The first timer of its bucket, or one for a bucket that does not stand in the row.
    #[cold]
    fn set_first(&mut self, time: Timestamp, row: RowNumber) {
        let number = time >> self.width;
        if number < self.opened_below {
            self.due = self.due.min(time);
            let who = Who::Row(row, false);
            self.early.push(Reverse(Early { time, who }));
            return;
        }
        self.next = self.next.min(number << self.width);
        self.due = self.due.min(self.next);
        if self.near.is_empty() {
            // Those before it stand in the row as well, if they are not far before it.
            self.first = self.opened_below.max(number - NEAR as i64 / 2);
        }
        let place = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if place < NEAR {
            while self.near.len() <= place {
                self.near.push_back(Bucket::default());
            }
        }
        let bucket = match self.near.get_mut(place) {
            Some(bucket) => bucket,
            None => self.far.entry(number).or_default(),
        };
        if bucket.rows.capacity() == 0 {
            bucket.rows = std::mem::take(&mut self.spare);
        }
        bucket.rows.push(row);
        self.waiting += 1;
    }

    /// A watermark below which no key is due.
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    /// Takes the timer of the earliest time up to `watermark`: the row is due by then.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub(crate) fn take_due<V: Deadline>(
        &mut self,
        rows: &mut Rows<'_, K, V>,
        watermark: Timestamp,
    ) -> Result<Option<RowNumber>> {
        loop {
            let Some((time, who)) = self.take_timer(rows, watermark) else {
                if self.open_next(rows, watermark)? {
                    continue;
                }
                self.find_due();
                return Ok(None);
            };
            let (row, certain) = match who {
                Who::Row(row, _) => (row, false),
                Who::Key(hash, key) => match rows.table.row_of(rows.slice, hash, &key)? {
                    Some(row) => (row, true),
                    None => continue,
                },
            };
            let Some(value) = rows.table.note(rows.slice, row) else {
                continue;
            };
            if !certain && value.armed() != low(time) {
                continue;
            }
            let due = value.due(self.lateness);
            // What has grown waits for its turn.
            if due <= time {
                return Ok(Some(row));
            }
            value.arm(due);
            self.set(due, row);
        }
    }

    /// Takes the first timer up to `watermark` of those of open buckets.
    #[inline]
    fn take_timer<V: Deadline>(
        &mut self,
        rows: &Rows<'_, K, V>,
        watermark: Timestamp,
    ) -> Option<(Timestamp, Who<K>)> {
        let early = self.early.peek().map(|Reverse(early)| early.time);
        match (self.open.first(), early) {
            (Some((time, row)), early) if early.is_none_or(|early| time <= early) => {
                if time > watermark {
                    return None;
                }
                if self.open.taken.is_multiple_of(LOOK_AHEAD) && rows.table.is_large(rows.slice) {
                    let next = self.open.rest().take(LOOK_AHEAD);
                    rows.table
                        .look_ahead_rows(rows.slice, next.map(|(_, row)| row));
                }
                self.open.taken += 1;
                Some((time, Who::Row(row, true)))
            }
            (_, Some(early)) if early <= watermark => self
                .early
                .pop()
                .map(|Reverse(early)| (early.time, early.who)),
            _ => None,
        }
    }

    fn find_due(&mut self) {
        let open = self.open.first().map(|(time, _)| time);
        let early = self.early.peek().map(|Reverse(early)| early.time);
        let soonest = [open, early].into_iter().flatten().min();
        self.due = soonest.map_or(self.next, |soonest| soonest.min(self.next));
    }

    fn find_next(&mut self) {
        let near = self.near.iter().position(|b| !b.rows.is_empty());
        let near = near.map(|place| self.first + place as i64);
        let far = self.far.keys().next().copied();
        let read_back = self.read_back.first().copied();
        let number = [near, far, read_back].into_iter().flatten().min();
        self.next = number.map_or(Timestamp::MAX, |number| number << self.width);
    }

    /// Opens the next bucket, if `watermark` has come to it. All before it are used up.
    fn open_next<V: Deadline>(
        &mut self,
        rows: &mut Rows<'_, K, V>,
        watermark: Timestamp,
    ) -> Result<bool> {
        if self.next > watermark || self.next == Timestamp::MAX {
            return Ok(false);
        }
        let start = self.next;
        let number = start >> self.width;
        let mut timers = std::mem::take(&mut self.open.timers);
        timers.clear();
        self.open = OpenBucket {
            start,
            timers,
            taken: 0,
            stored: true,
        };
        // What moves on goes to a bucket behind this one.
        self.opened_below = number + 1;
        while self.first <= number
            && let Some(bucket) = self.near.pop_front()
        {
            self.first += 1;
            self.look_through(rows, bucket);
        }
        if let Some(bucket) = self.far.remove(&number) {
            self.look_through(rows, bucket);
        }
        if self.read_back.remove(&number) {
            for (hash, key) in self.keys_of(number)? {
                if let Some(row) = rows.table.row_of(rows.slice, hash, &key)? {
                    self.look_at(rows, row, true);
                }
            }
        }
        // A row that is there twice is told by what it has noted.
        self.open.timers.sort_unstable_by_key(|&(behind, _)| behind);
        self.find_next();
        Ok(true)
    }

    fn look_through<V: Deadline>(&mut self, rows: &mut Rows<'_, K, V>, mut bucket: Bucket) {
        let all_stored = bucket.stored == bucket.rows.len();
        self.open.stored &= all_stored;
        self.waiting -= bucket.rows.len() - bucket.stored;
        let large = rows.table.is_large(rows.slice);
        for together in bucket.rows.chunks(LOOK_AHEAD) {
            if large {
                rows.table.look_at_rows(rows.slice, together, V::look);
            }
            for &row in together {
                self.look_at(rows, row, false);
            }
        }
        bucket.rows.clear();
        if bucket.rows.capacity() > self.spare.capacity() {
            self.spare = bucket.rows;
        }
    }

    /// Puts a row of the bucket that is being opened where it belongs now; `certain`: whatever
    /// it has noted.
    #[inline]
    fn look_at<V: Deadline>(&mut self, rows: &mut Rows<'_, K, V>, row: RowNumber, certain: bool) {
        let Some(value) = rows.table.note(rows.slice, row) else {
            return;
        };
        if !certain && !lies_in(value.armed(), self.open.start, self.width) {
            return;
        }
        // It may have been due before, if it comes from a job with another gap.
        let due = value.due(self.lateness).max(self.open.start);
        value.arm(due);
        match u32::try_from(due - self.open.start) {
            Ok(behind) if u64::from(behind) < 1 << self.width => {
                self.open.timers.push((behind, row));
            }
            _ => self.set(due, row),
        }
    }

    /// The keys that the table holds for a bucket. (The table may be of buckets of another width:
    /// those that begin in this one.)
    fn keys_of(&mut self, number: i64) -> Result<Vec<(u32, K)>> {
        let mut keys = Vec::new();
        let (start, end) = (number << self.width, (number + 1) << self.width);
        let slices: Vec<_> = self.stored.namespaces_in(start..end).collect();
        for (_, slice) in slices {
            self.stored
                .walk(slice, &mut Walk::default(), usize::MAX, |row| {
                    keys.push((row.hash, row.key.clone()));
                })?;
        }
        Ok(keys)
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

    /// Puts timers into the table if many wait for the barrier. To be called now and then.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    #[inline]
    pub(crate) fn store_many<V: Deadline>(&mut self, rows: &Rows<'_, K, V>) -> Result<()> {
        if self.keeps && self.waiting > WAITING_MAX {
            self.store(rows)?;
        }
        Ok(())
    }

    /// Puts the timers that the table does not hold yet into it.
    fn store<V: Deadline>(&mut self, rows: &Rows<'_, K, V>) -> Result<()> {
        let (stored, width) = (&mut self.stored, self.width);
        for (number, bucket) in (self.first..)
            .zip(&mut self.near)
            .chain(self.far.iter_mut().map(|(&n, b)| (n, b)))
        {
            let new = bucket.rows.get(bucket.stored..).unwrap_or_default();
            put(stored, rows, number << width, width, new.iter().copied())?;
            bucket.stored = bucket.rows.len();
        }
        if !self.open.stored {
            let open = self.open.rest().map(|(_, row)| row);
            put(stored, rows, self.open.start, width, open)?;
            self.open.stored = true;
        }
        let mut early = std::mem::take(&mut self.early).into_vec();
        for Reverse(early) in &mut early {
            if let Who::Row(row, in_table @ false) = &mut early.who {
                let start = early.time >> width << width;
                put(stored, rows, start, width, std::iter::once(*row))?;
                *in_table = true;
            }
        }
        self.early = early.into();
        self.waiting = 0;
        Ok(())
    }

    /// The barrier, for what the rows know: to be called before theirs.
    pub(crate) fn before_freeze<V: Deadline>(&mut self, rows: &Rows<'_, K, V>) {
        if self.keeps {
            self.failed = self.store(rows).err();
        }
    }

    /// To be called before rows are evicted: leaves the buckets that are not open to the table,
    /// and those that are to their keys. Returns the bytes freed.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub(crate) fn before_evict<V: Deadline>(&mut self, rows: &Rows<'_, K, V>) -> Result<usize> {
        if !self.keeps {
            return Ok(0);
        }
        self.store(rows)?;
        let freed = self.listed() * size_of::<RowNumber>();
        let near = (self.first..).zip(&self.near);
        let near = near.filter(|(_, bucket)| !bucket.rows.is_empty());
        self.read_back.extend(near.map(|(number, _)| number));
        self.read_back.extend(self.far.keys());
        self.near.clear();
        self.far.clear();
        self.spare = Vec::new();
        let open = std::mem::take(&mut self.open);
        let open = open.rest().map(|(time, row)| (time, Who::Row(row, true)));
        let early = std::mem::take(&mut self.early).into_iter();
        let early = early.map(|Reverse(early)| (early.time, early.who));
        for (time, who) in open.chain(early) {
            let who = match who {
                Who::Key(..) => who,
                Who::Row(row, _) => match rows.table.row(rows.slice, row) {
                    Some(row) if row.value.armed() == low(time) => {
                        Who::Key(row.hash, row.key.clone())
                    }
                    _ => continue,
                },
            };
            self.early.push(Reverse(Early { time, who }));
        }
        Ok(freed)
    }

    fn listed(&self) -> usize {
        let buckets = self.near.iter().chain(self.far.values());
        buckets.map(|bucket| bucket.rows.len()).sum()
    }
}

/// Whether the time that a row has noted lies in a bucket.
#[inline]
fn lies_in(armed: u32, start: Timestamp, width: u32) -> bool {
    u64::from(armed.wrapping_sub(low(start))) < 1 << width
}

/// Puts the keys of those rows into the table whose timers are in the bucket.
fn put<K: Key, V: Deadline>(
    stored: &mut Table<K, ()>,
    rows: &Rows<'_, K, V>,
    start: Timestamp,
    width: u32,
    numbers: impl Iterator<Item = RowNumber>,
) -> Result<()> {
    let known = numbers.filter_map(|number| rows.table.row(rows.slice, number));
    let mut meant = known
        .filter(|row| lies_in(row.value.armed(), start, width))
        .peekable();
    if meant.peek().is_none() {
        return Ok(());
    }
    let slice = stored.slice(start);
    for row in meant {
        stored.upsert(slice, row.hash, row.key, || ())?;
    }
    Ok(())
}

impl<K: Key> StateTable for Timers<K> {
    fn freeze(&mut self) {
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
        self.stored.evict(bytes)
    }

    fn bytes(&self) -> usize {
        let open = self.open.timers.len() * size_of::<(u32, RowNumber)>();
        let early = self.early.len() * size_of::<Early<K>>();
        self.stored.bytes() + self.listed() * size_of::<RowNumber>() + open + early
    }

    fn inventory(&self) -> Inventory {
        self.stored.inventory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_engine::state::table::NO_ROW;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Due {
        at: Timestamp,
        armed: u32,
    }

    impl Deadline for Due {
        fn due(&self, lateness: i64) -> Timestamp {
            self.at + lateness
        }

        fn armed(&self) -> u32 {
            self.armed
        }

        fn look(&self) -> u32 {
            self.armed
        }

        fn arm(&mut self, time: Timestamp) {
            self.armed = low(time);
        }
    }

    proptest! {
        #[test]
        fn p1_timers_come_once_and_in_the_order_of_their_times(
            span in prop::sample::select(vec![1i64, 10, 100, 100_000]),
            steps in prop::collection::vec(
                (prop::collection::vec((-20_000i64..20_000, 0i64..200), 0..8), 0i64..3000),
                1..40,
            ),
        ) {
            let mut timers = Timers::new(TableContext::in_memory("timers"), span, 0);
            let mut table = Table::new(TableContext::in_memory("rows"));
            let slice = table.slice(0);
            let mut set: Vec<Timestamp> = Vec::new();
            let mut watermark = -20_000;
            let mut key = 0;
            for (times, ahead) in steps {
                // Set for one time, and due later: the timer is found too early.
                for (time, longer) in times {
                    key += 1;
                    let at = time + longer;
                    let due = || Due { at, armed: low(time) };
                    let (row, _) = table.upsert_row(slice, NO_ROW, 0, &key, due).unwrap();
                    timers.set(time, row);
                    set.push(at);
                }
                watermark += ahead;
                set.sort_unstable();
                let due = set.partition_point(|&time| time <= watermark);
                let expected: Vec<_> = set.drain(..due).collect();
                if let Some(&first) = expected.first() {
                    prop_assert!(timers.due() <= first);
                }
                let mut taken = Vec::new();
                let mut rows = Rows { table: &mut table, slice };
                while let Some(row) = timers.take_due(&mut rows, watermark).unwrap() {
                    taken.push(rows.table.row(slice, row).unwrap().value.at);
                    rows.table.remove_row(slice, row).unwrap();
                }
                prop_assert_eq!(taken, expected);
                prop_assert!(timers.due() > watermark);
            }
        }
    }
}
