//! When keys are due: buckets of time, each a namespace of a table, so that what is far away
//! need not be in memory and a bucket that is past is dropped whole.

use std::collections::BTreeMap;

use millstream_engine::data::{Key, Timestamp};
use millstream_engine::error::Result;
use millstream_engine::state::table::{StateTable, Table};

/// The keys (with their hashes) that are due at a time.
pub(crate) type Due<K> = (Timestamp, Vec<(u32, K)>);

/// The times at which keys are due. A key may stand in several buckets; who asks decides whether
/// a time still means anything.
pub(crate) struct Timers<K> {
    /// Bucket start -> key -> the least of its times in the bucket.
    buckets: Table<K, Timestamp>,
    bucket_ms: i64,
    /// The times of the buckets below `opened_below`, in order.
    open: BTreeMap<Timestamp, Vec<(u32, K)>>,
    opened_below: Timestamp,
}

impl<K: Key> Timers<K> {
    /// Timers over a table. `span_ms` is about how far ahead they are set.
    pub(crate) fn new(buckets: Table<K, Timestamp>, span_ms: i64) -> Self {
        Timers {
            buckets,
            // Some tens of buckets ahead: few to look through, few timers opened too early.
            bucket_ms: (span_ms / 32).max(1),
            open: BTreeMap::new(),
            opened_below: Timestamp::MIN,
        }
    }

    /// Lets a key be due at a time.
    pub(crate) fn set(&mut self, time: Timestamp, hash: u32, key: &K) -> Result<()> {
        let bucket = time - time.rem_euclid(self.bucket_ms);
        let slice = self.buckets.slice(bucket);
        let earliest = self.buckets.upsert(slice, hash, key, || time)?;
        *earliest = time.min(*earliest);
        if bucket < self.opened_below {
            self.open.entry(time).or_default().push((hash, key.clone()));
        }
        Ok(())
    }

    /// Makes sure that a key is due at `time`, when an earlier time of its has lost its meaning:
    /// of several times in one bucket the table keeps the least.
    pub(crate) fn ensure(&mut self, time: Timestamp, hash: u32, key: &K) -> Result<()> {
        let bucket = time - time.rem_euclid(self.bucket_ms);
        if let Some(slice) = self.buckets.find_slice(bucket)
            && self.buckets.get(slice, hash, key)? == Some(&time)
        {
            return Ok(());
        }
        self.set(time, hash, key)
    }

    /// A watermark below which no key is due.
    pub(crate) fn due(&self) -> Timestamp {
        let next_bucket = self
            .buckets
            .namespaces_in(self.opened_below..Timestamp::MAX)
            .next();
        let next_open = self.open.keys().next().copied().unwrap_or(Timestamp::MAX);
        next_bucket
            .map_or(Timestamp::MAX, |(start, _)| start)
            .min(next_open)
    }

    /// Takes the keys that are due at the earliest time up to `watermark`.
    pub(crate) fn take_due(&mut self, watermark: Timestamp) -> Result<Option<Due<K>>> {
        self.open_buckets(watermark)?;
        match self.open.first_key_value() {
            Some((&time, _)) if time <= watermark => {}
            _ => return Ok(None),
        }
        let Some((time, keys)) = self.open.pop_first() else {
            return Ok(None);
        };
        let bucket = time - time.rem_euclid(self.bucket_ms);
        if let Some(slice) = self.buckets.find_slice(bucket) {
            for (hash, key) in &keys {
                // A time that has lost its meaning must not take another one away.
                if self.buckets.get(slice, *hash, key)? == Some(&time) {
                    self.buckets.remove(slice, *hash, key)?;
                }
            }
        }
        Ok(Some((time, keys)))
    }

    /// Drops the buckets that are past. To be called when nothing more is due.
    pub(crate) fn drop_past(&mut self, watermark: Timestamp) -> Result<()> {
        let past: Vec<Timestamp> = self
            .buckets
            .namespaces_in(
                Timestamp::MIN..watermark.saturating_sub(self.bucket_ms).saturating_add(1),
            )
            .map(|(start, _)| start)
            .collect();
        for start in past {
            self.buckets.drop_slice(start)?;
        }
        Ok(())
    }

    fn open_buckets(&mut self, watermark: Timestamp) -> Result<()> {
        if watermark < self.opened_below {
            return Ok(());
        }
        let starts: Vec<_> = self
            .buckets
            .namespaces_in(self.opened_below..watermark.saturating_add(1))
            .collect();
        for (_, slice) in starts {
            self.buckets.load(slice)?;
            for (_, row) in self.buckets.rows(slice, 0) {
                self.open
                    .entry(*row.value)
                    .or_default()
                    .push((row.hash, row.key.clone()));
            }
        }
        let bucket = watermark.saturating_sub(watermark.rem_euclid(self.bucket_ms));
        self.opened_below = self.opened_below.max(bucket.saturating_add(self.bucket_ms));
        Ok(())
    }

    pub(crate) fn table(&mut self) -> &mut dyn StateTable {
        &mut self.buckets
    }
}
