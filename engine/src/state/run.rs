//! What a worker hands over for RocksDB at a barrier: rows and deletions of one table, in bytes.

use std::ops::Range;

use crate::data::Key;
use crate::error::Result;
use crate::state::codec;

/// Where a row stands in RocksDB: `namespace | key group | key`, so that a slice of a window is
/// one range, and a worker's share of it is one range inside that.
pub fn encode_key<K: Key>(namespace: i64, group: u16, key: &K, bytes: &mut Vec<u8>) -> Result<()> {
    push_prefix(namespace, group, bytes);
    codec::encode_into(key, bytes)
}

/// The bytes in front of the key, also one end of a range: they sort by namespace, then group.
pub fn push_prefix(namespace: i64, group: u16, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&((namespace as u64) ^ (1 << 63)).to_be_bytes());
    bytes.extend_from_slice(&group.to_be_bytes());
}

/// How long the bytes in front of the key are.
pub const PREFIX_BYTES: usize = 10;

/// The range of a worker's groups within a namespace.
pub fn namespace_range(namespace: i64, groups: &Range<u16>) -> (Vec<u8>, Vec<u8>) {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    push_prefix(namespace, groups.start, &mut from);
    push_prefix(namespace, groups.end, &mut to);
    (from, to)
}

/// When a run is full.
pub(crate) const FULL_BYTES: usize = 256 << 10;

/// The memory of a range, about.
const RANGE_BYTES: usize = 128;

/// Rows to put, rows to delete and ranges to delete, in one column family. Ranges go first.
#[derive(Debug, Default)]
pub struct Run {
    /// The column family.
    pub column_family: String,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    start: u32,
    value: u32,
    end: u32,
    deleted: bool,
}

impl Run {
    /// An empty run for a column family.
    pub fn new(column_family: &str) -> Self {
        Run {
            column_family: column_family.to_owned(),
            ..Run::default()
        }
    }

    /// How many rows and ranges it holds.
    pub fn len(&self) -> usize {
        self.rows.len() + self.ranges.len()
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<Row>() + self.ranges.len() * RANGE_BYTES
    }

    /// Whether it should be closed and a new one begun: a worker must not wait while more memory
    /// is found for a long one.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    /// Adds a row: `write` appends the key, then the value after the returned offset.
    pub(crate) fn put<K: Key, V: serde::Serialize>(
        &mut self,
        place: (i64, u16, &K),
        version: u8,
        value: &V,
    ) -> Result<usize> {
        let start = self.bytes.len();
        encode_key(place.0, place.1, place.2, &mut self.bytes)?;
        let middle = self.bytes.len();
        codec::encode_versioned(version, value, &mut self.bytes)?;
        self.push(start, middle, false);
        Ok(self.bytes.len() - start)
    }

    /// Adds the deletion of a row.
    pub(crate) fn delete<K: Key>(&mut self, place: (i64, u16, &K)) -> Result<()> {
        let start = self.bytes.len();
        encode_key(place.0, place.1, place.2, &mut self.bytes)?;
        self.push(start, self.bytes.len(), true);
        Ok(())
    }

    /// Adds a row, or its deletion, that is in bytes already.
    pub(crate) fn push_bytes(&mut self, key: &[u8], value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.push(start, middle, value.is_none());
    }

    /// Adds the deletion of all that stood in a range before this run.
    pub(crate) fn delete_range(&mut self, range: (Vec<u8>, Vec<u8>)) {
        self.ranges.push(range);
    }

    pub(crate) fn take_ranges(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.ranges)
    }

    fn push(&mut self, start: usize, value: usize, deleted: bool) {
        self.rows.push(Row {
            start: start as u32,
            value: value as u32,
            end: self.bytes.len() as u32,
            deleted,
        });
    }

    /// Puts the rows in key order, which is several times cheaper for RocksDB to take.
    pub fn sort(&mut self) {
        let Run { bytes, rows, .. } = self;
        let key = |row: &Row| &bytes[row.start as usize..row.value as usize];
        let skip = shared_prefix(rows.iter().map(key));
        let mut headed: Vec<(u128, Row)> = rows
            .drain(..)
            .map(|row| {
                (
                    head(&bytes[row.start as usize..row.value as usize], skip),
                    row,
                )
            })
            .collect();
        headed.sort_unstable_by(|(a, row), (b, other)| {
            a.cmp(b).then_with(|| key(row).cmp(key(other)))
        });
        rows.extend(headed.into_iter().map(|(_, row)| row));
    }

    /// The rows as (key, value); `None` deletes.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().map(|row| self.bytes_of(row))
    }

    /// A row by its number.
    pub(crate) fn row(&self, number: u32) -> (&[u8], Option<&[u8]>) {
        self.bytes_of(&self.rows[number as usize])
    }

    fn bytes_of(&self, row: &Row) -> (&[u8], Option<&[u8]>) {
        let key = &self.bytes[row.start as usize..row.value as usize];
        let value = &self.bytes[row.value as usize..row.end as usize];
        (key, (!row.deleted).then_some(value))
    }

    /// The same memory for another run. Memory that is given back and taken anew is cleared by
    /// the system each time, which takes longer than writing to it.
    pub(crate) fn reused(mut self, column_family: &str) -> Self {
        self.bytes.clear();
        self.rows.clear();
        self.ranges.clear();
        self.column_family.clear();
        self.column_family.push_str(column_family);
        self
    }

    /// Whether it is worth being [`reused`](Run::reused).
    pub(crate) fn is_worth_reusing(&self) -> bool {
        self.bytes.capacity() >= FULL_BYTES
    }

    /// The ranges to delete first.
    pub fn ranges(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.ranges
    }
}

/// How many bytes all keys begin with alike: most runs are of one namespace.
pub(crate) fn shared_prefix<'k>(mut keys: impl Iterator<Item = &'k [u8]>) -> usize {
    let Some(first) = keys.next() else {
        return 0;
    };
    let alike = |key: &[u8], len: usize| {
        let pairs = first.iter().zip(key).take(len);
        pairs.take_while(|(a, b)| a == b).count()
    };
    keys.fold(first.len().min(PREFIX_BYTES), |len, key| alike(key, len))
}

/// The bytes of a key behind `skip` as a number that sorts as they do. Most pairs of keys differ
/// in it, so that sorting need not look at the keys themselves.
pub(crate) fn head(key: &[u8], skip: usize) -> u128 {
    let mut head = [0; 16];
    let rest = key.get(skip..).unwrap_or_default();
    let len = rest.len().min(16);
    head[..len].copy_from_slice(&rest[..len]);
    u128::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sort_by_namespace_then_group() {
        let mut places = Vec::new();
        for namespace in [i64::MIN, -3_600_000, -1, 0, 1, i64::MAX] {
            for group in [0u16, 1, 127] {
                let mut bytes = Vec::new();
                push_prefix(namespace, group, &mut bytes);
                assert_eq!(bytes.len(), PREFIX_BYTES);
                places.push(bytes);
            }
        }
        assert!(places.is_sorted());
    }

    #[test]
    fn a_sorted_run_gives_its_rows_in_key_order() {
        let mut run = Run::new("t");
        for key in [5u64, 1, 3] {
            run.put((0, 0, &key), 1, &(key * 10)).unwrap();
        }
        run.delete((0, 0, &4u64)).unwrap();
        run.sort();
        let rows: Vec<_> = run
            .rows()
            .map(|(k, v)| {
                let key: u64 = codec::decode(&k[PREFIX_BYTES..]).unwrap();
                (
                    key,
                    v.map(|v| codec::decode_versioned::<u64>(1, v).unwrap()),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [(1, Some(10)), (3, Some(30)), (4, None), (5, Some(50))]
        );
    }
}
