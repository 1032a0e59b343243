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

/// The key group that a key or the end of a range begins with.
fn group_in(key: &[u8]) -> u16 {
    let group = key.get(..PREFIX_BYTES).and_then(<[u8]>::last_chunk);
    group.map_or(0, |group| u16::from_be_bytes(*group))
}

fn with_group(end: &[u8], group: u16) -> Vec<u8> {
    let namespace = end.get(..PREFIX_BYTES - 2).unwrap_or_default();
    [namespace, &group.to_be_bytes()].concat()
}

/// When a run is full.
pub(crate) const FULL_BYTES: usize = 256 << 10;

/// The memory of a range, about.
const RANGE_BYTES: usize = 128;

/// Rows to put, rows to delete and ranges to delete, in one column family. Ranges go first; of the
/// rows no key comes twice. They stand in no order: whoever writes them to RocksDB sorts them.
#[derive(Debug, Default)]
pub struct Run {
    /// The column family.
    pub column_family: String,
    /// The rows, one behind the other: see [`row_at`].
    bytes: Vec<u8>,
    rows: usize,
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A row as it is stored: its key, its value; `None` deletes.
pub(crate) type RowBytes<'r> = (&'r [u8], Option<&'r [u8]>);

/// A header: what is done with the row, two bits; the length of the key, ten; of the value, twenty.
/// All ones for a length: eight bytes follow, the length of the key and that of the value.
const HEADER_BYTES: usize = 4;
const LENGTHS_BYTES: usize = 8;
const KEY_LONG: u32 = (1 << 10) - 1;
const VALUE_LONG: u32 = (1 << 20) - 1;
const PUT: u32 = 0;
const DELETE: u32 = 1;

/// The row that begins at `at`, and where the next one does. `None` if the bytes end before.
#[inline]
fn row_at(bytes: &[u8], at: usize) -> Option<(RowBytes<'_>, usize)> {
    let rest = bytes.get(at..)?;
    let (header, mut rest) = rest.split_first_chunk::<HEADER_BYTES>()?;
    let header = u32::from_le_bytes(*header);
    let (mut key, mut value) = (header >> 2 & KEY_LONG, header >> 12);
    let mut skipped = HEADER_BYTES;
    if key == KEY_LONG || value == VALUE_LONG {
        let (lengths, behind) = rest.split_first_chunk::<LENGTHS_BYTES>()?;
        let [a, b, c, d, e, f, g, h] = *lengths;
        (key, value) = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        );
        rest = behind;
        skipped += LENGTHS_BYTES;
    }
    let (key, rest) = rest.split_at_checked(key as usize)?;
    let value = rest.get(..value as usize)?;
    let next = at + skipped + key.len() + value.len();
    Some(((key, (header & 3 == PUT).then_some(value)), next))
}

impl Run {
    /// An empty run for a column family.
    pub fn new(column_family: &str) -> Self {
        Run {
            column_family: column_family.to_owned(),
            ..Run::default()
        }
    }

    /// A run of rows that are in bytes already: `read` appends them. `None` if they are not `rows`
    /// rows.
    pub(crate) fn filled(
        mut self,
        rows: usize,
        read: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Option<Self>> {
        read(&mut self.bytes)?;
        let mut at = 0;
        for _ in 0..rows {
            match row_at(&self.bytes, at) {
                Some((_, next)) => at = next,
                None => return Ok(None),
            }
        }
        self.rows = rows;
        Ok((at == self.bytes.len()).then_some(self))
    }

    /// How many rows and ranges it holds.
    pub fn len(&self) -> usize {
        self.rows + self.ranges.len()
    }

    /// How many rows it holds.
    pub(crate) fn row_count(&self) -> usize {
        self.rows
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.ranges.len() * RANGE_BYTES
    }

    /// The rows, as [`filled`](Run::filled) takes them.
    pub(crate) fn row_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it should be closed and a new one begun: a worker must not wait while more memory
    /// is found for a long one.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    /// Adds a row. Returns the bytes of key and value.
    pub(crate) fn put<K: Key, V: serde::Serialize>(
        &mut self,
        place: (i64, u16, &K),
        version: u8,
        value: &V,
    ) -> Result<usize> {
        let start = self.begin();
        let middle = encode_key(place.0, place.1, place.2, &mut self.bytes)
            .map(|()| self.bytes.len())
            .and_then(|middle| {
                codec::encode_versioned(version, value, &mut self.bytes).map(|()| middle)
            });
        self.end(start, middle, PUT)
    }

    /// Adds the deletion of a row.
    pub(crate) fn delete<K: Key>(&mut self, place: (i64, u16, &K)) -> Result<()> {
        let start = self.begin();
        let encoded = encode_key(place.0, place.1, place.2, &mut self.bytes);
        let middle = encoded.map(|()| self.bytes.len());
        self.end(start, middle, DELETE).map(drop)
    }

    /// Adds a row, or its deletion, that is in bytes already.
    pub(crate) fn push_bytes(&mut self, key: &[u8], value: Option<&[u8]>) {
        let start = self.begin();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let what = if value.is_some() { PUT } else { DELETE };
        self.close(start, middle, what);
    }

    /// Adds the deletion of all that stood in a [`namespace_range`] before this run.
    pub(crate) fn delete_range(&mut self, range: (Vec<u8>, Vec<u8>)) {
        self.ranges.push(range);
    }

    pub(crate) fn take_ranges(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.ranges)
    }

    #[inline]
    fn begin(&mut self) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        start
    }

    /// Closes a row, or takes back what there is of one that cannot be encoded.
    #[inline]
    fn end(&mut self, start: usize, middle: Result<usize>, what: u32) -> Result<usize> {
        match middle {
            Ok(middle) => Ok(self.close(start, middle, what)),
            Err(e) => {
                self.bytes.truncate(start);
                Err(e)
            }
        }
    }

    #[inline]
    fn close(&mut self, start: usize, middle: usize, what: u32) -> usize {
        let key = (middle - start - HEADER_BYTES) as u32;
        let value = (self.bytes.len() - middle) as u32;
        let (short_key, short_value) = (key.min(KEY_LONG), value.min(VALUE_LONG));
        let header = what | short_key << 2 | short_value << 12;
        let behind = start + HEADER_BYTES;
        if let Some(place) = self.bytes.get_mut(start..behind) {
            place.copy_from_slice(&header.to_le_bytes());
        }
        if short_key == KEY_LONG || short_value == VALUE_LONG {
            let lengths = [key.to_le_bytes(), value.to_le_bytes()].concat();
            drop(self.bytes.splice(behind..behind, lengths));
        }
        self.rows += 1;
        (key + value) as usize
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.places().map(|(_, row)| row)
    }

    /// The rows with where they begin.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, RowBytes<'_>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (row, next) = row_at(&self.bytes, at)?;
            let place = at as u32;
            at = next;
            Some((place, row))
        })
    }

    /// The row that begins there: see [`places`](Run::places).
    #[inline]
    pub(crate) fn row(&self, place: u32) -> RowBytes<'_> {
        row_at(&self.bytes, place as usize).map_or((&[], None), |(row, _)| row)
    }

    /// The rows in key order, which is several times cheaper for RocksDB to take.
    pub(crate) fn sorted_rows(&self) -> Vec<RowBytes<'_>> {
        let skip = shared_prefix(self.rows().map(|(key, _)| key));
        let rows = self.rows().map(|row| (head(row.0, skip), row));
        let mut rows: Vec<(u128, RowBytes<'_>)> = rows.collect();
        rows.sort_unstable_by(|(a, row), (b, other)| a.cmp(b).then_with(|| row.0.cmp(other.0)));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// What of it belongs to these key groups.
    pub(crate) fn of_groups(&self, groups: &Range<u16>) -> Run {
        let mut run = Run::new(&self.column_family);
        for (from, to) in &self.ranges {
            let start = groups.start.max(group_in(from));
            let end = groups.end.min(group_in(to));
            if start < end {
                run.delete_range((with_group(from, start), with_group(to, end)));
            }
        }
        for (key, value) in self.rows() {
            if groups.contains(&group_in(key)) {
                run.push_bytes(key, value);
            }
        }
        run
    }

    /// The same memory for another run. Memory that is given back and taken anew is cleared by
    /// the system each time, which takes longer than writing to it.
    pub(crate) fn reused(mut self, column_family: &str) -> Self {
        self.bytes.clear();
        self.rows = 0;
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
#[inline]
pub(crate) fn head(key: &[u8], skip: usize) -> u128 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(first) = rest.first_chunk() {
        return u128::from_be_bytes(*first);
    }
    let Some((first, last)) = rest.first_chunk().zip(rest.last_chunk()) else {
        let bytes = rest.iter().zip((0..u128::BITS).step_by(8).rev());
        return bytes.fold(0, |head, (&byte, at)| head | u128::from(byte) << at);
    };
    // Less than 16 bytes and at least 8: two words that overlap.
    let behind = 8 * (rest.len() as u32 - 8);
    let last = u64::from_be_bytes(*last) & !(u64::MAX << behind);
    u128::from(u64::from_be_bytes(*first)) << 64 | u128::from(last) << (64 - behind)
}

/// The bytes in front of a key as a number that sorts as they do.
#[inline]
pub(crate) fn prefix(key: &[u8]) -> u128 {
    head(key, 0) >> (u128::BITS as usize - 8 * PREFIX_BYTES)
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
    fn a_run_gives_its_rows_in_key_order() {
        let mut run = Run::new("t");
        for key in [5u64, 1, 3] {
            run.put((0, 0, &key), 1, &(key * 10)).unwrap();
        }
        run.delete((0, 0, &4u64)).unwrap();
        let sorted = run.sorted_rows().into_iter();
        let rows: Vec<_> = sorted
            .map(|(k, v)| {
                let key: u64 = codec::decode(&k[PREFIX_BYTES..]).unwrap();
                let value = v.map(|v| codec::decode_versioned::<u64>(1, v).unwrap());
                (key, value)
            })
            .collect();
        assert_eq!(
            rows,
            [(1, Some(10)), (3, Some(30)), (4, None), (5, Some(50))]
        );
    }

    #[test]
    fn a_head_is_the_first_sixteen_bytes() {
        let bytes: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(37) ^ 0xa5).collect();
        for len in 0..=bytes.len() {
            for skip in [0, 3, PREFIX_BYTES] {
                let mut expected = [0; 16];
                let rest = bytes[..len].get(skip..).unwrap_or_default();
                let head_len = rest.len().min(16);
                expected[..head_len].copy_from_slice(&rest[..head_len]);
                let found = head(&bytes[..len], skip);
                assert_eq!(found, u128::from_be_bytes(expected), "{len} behind {skip}");
            }
        }
    }

    #[test]
    fn keys_and_values_of_any_length_come_back() {
        let lengths = [
            0,
            1,
            1022,
            1023,
            1024,
            (1 << 20) - 2,
            (1 << 20) - 1,
            1 << 20,
        ];
        let bytes = vec![7; 1 << 20];
        let mut run = Run::new("t");
        let mut expected = Vec::new();
        for key in lengths {
            for value in lengths {
                run.push_bytes(&bytes[..key], Some(&bytes[..value]));
                expected.push((key, Some(value)));
            }
            run.push_bytes(&bytes[..key], None);
            expected.push((key, None));
        }
        let lengths = |(key, value): RowBytes<'_>| (key.len(), value.map(<[u8]>::len));
        let shown: Vec<_> = run.rows().map(lengths).collect();
        assert_eq!(shown, expected);
        let places = run.places();
        let by_place: Vec<_> = places.map(|(at, _)| lengths(run.row(at))).collect();
        assert_eq!(by_place, expected);
        assert_eq!(run.row_count(), expected.len());
    }
}
