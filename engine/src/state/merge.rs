//! Many runs become one for each column family: of each row the youngest counts.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use hashbrown::HashTable;

use crate::state::run::{PREFIX_BYTES, RowBytes, Run, head, prefix};

/// What writing `runs` one after the other comes to. The result is sorted.
pub fn merged(runs: &[Run]) -> Vec<Run> {
    let mut all = Vec::new();
    for (column_family, runs) in by_family(runs) {
        let merged = Merged::of(runs);
        let mut open = Run::new(column_family);
        for range in merged.ranges() {
            open.delete_range(range.clone());
        }
        for (key, value) in merged.rows() {
            if open.is_full() {
                all.push(std::mem::replace(&mut open, Run::new(column_family)));
            }
            open.push_bytes(key, value);
        }
        all.push(open);
    }
    all
}

/// The runs of each column family, in their order.
pub(crate) fn by_family(runs: &[Run]) -> BTreeMap<&str, Vec<&Run>> {
    let mut families: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs.iter().filter(|run| !run.is_empty()) {
        families.entry(&run.column_family).or_default().push(run);
    }
    families
}

/// The runs of one column family as one, without a copy of them. The rows are dealt out by the
/// first bytes of their keys, namespace and key group; each such bucket is sorted by itself when
/// its turn comes, in memory that is used again and lies in the processor's caches.
#[derive(Debug)]
pub(crate) struct Merged<R> {
    runs: Vec<R>,
    /// A row's run and its place there; those of a bucket together, in the order of their runs.
    places: Vec<(u32, u32)>,
    /// In the order of their keys.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    prefix: u128,
    start: usize,
    end: usize,
    /// What older runs have put is deleted.
    since: u32,
}

/// A row: its key's head, its run, its place there.
pub(crate) type Place = (u128, u32, u32);

fn hash(prefix: u128) -> u64 {
    let folded = (prefix >> 16) as u64 ^ (prefix as u64).rotate_right(16);
    let hash = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 32
}

/// The number of a prefix's bucket, made if there is none.
fn bucket_of(index: &mut HashTable<u32>, buckets: &mut Vec<Bucket>, prefix: u128) -> usize {
    let same = |&number: &u32| buckets[number as usize].prefix == prefix;
    if let Some(&number) = index.find(hash(prefix), same) {
        return number as usize;
    }
    let number = buckets.len();
    buckets.push(Bucket {
        prefix,
        start: 0,
        end: 0,
        since: 0,
    });
    index.insert_unique(hash(prefix), number as u32, |&number| {
        hash(buckets[number as usize].prefix)
    });
    number
}

impl<R: Borrow<Run>> Merged<R> {
    pub(crate) fn of(runs: Vec<R>) -> Self {
        let (mut index, mut buckets) = (HashTable::new(), Vec::new());
        for run in &runs {
            for (key, _) in run.borrow().rows() {
                let number = bucket_of(&mut index, &mut buckets, prefix(key));
                buckets[number].end += 1;
            }
        }
        let mut order: Vec<usize> = (0..buckets.len()).collect();
        order.sort_unstable_by_key(|&number| buckets[number].prefix);
        let mut rows = 0;
        for &number in &order {
            let bucket = &mut buckets[number];
            bucket.start = rows;
            rows += std::mem::replace(&mut bucket.end, rows);
        }
        let mut places = vec![(0, 0); rows];
        for (run, number) in runs.iter().zip(0..) {
            for (place, (key, _)) in run.borrow().places() {
                let bucket = bucket_of(&mut index, &mut buckets, prefix(key));
                let bucket = &mut buckets[bucket];
                places[bucket.end] = (number, place);
                bucket.end += 1;
            }
        }
        buckets.sort_unstable_by_key(|bucket| bucket.prefix);
        for (run, number) in runs.iter().zip(0u32..) {
            // A range begins and ends where a bucket may.
            for (from, to) in run.borrow().ranges() {
                let first = buckets.partition_point(|bucket| bucket.prefix < prefix(from));
                let end = buckets.partition_point(|bucket| bucket.prefix < prefix(to));
                for bucket in buckets.get_mut(first..end).unwrap_or_default() {
                    bucket.since = number;
                }
            }
        }
        Merged {
            runs,
            places,
            buckets,
        }
    }

    /// To be deleted before the rows are put.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
        self.runs.iter().flat_map(|run| run.borrow().ranges())
    }

    /// The rows in key order.
    pub(crate) fn rows(&self) -> Rows<'_, R> {
        Rows {
            merged: self,
            bucket: 0,
            sorted: Vec::new(),
            at: 0,
        }
    }

    pub(crate) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// The number of the first bucket that may hold a key or what follows it.
    pub(crate) fn bucket_at(&self, key: &[u8]) -> usize {
        let prefix = prefix(key);
        self.buckets
            .partition_point(|bucket| bucket.prefix < prefix)
    }

    /// The living rows of a bucket in key order.
    pub(crate) fn sorted(&self, bucket: usize) -> Vec<Place> {
        let mut sorted = Vec::new();
        if let Some(bucket) = self.buckets.get(bucket) {
            self.sort(bucket, &mut sorted);
        }
        sorted
    }

    pub(crate) fn row(&self, place: &Place) -> RowBytes<'_> {
        self.runs[place.1 as usize].borrow().row(place.2)
    }

    /// The living rows of a bucket in key order.
    fn sort(&self, bucket: &Bucket, sorted: &mut Vec<Place>) {
        let key = |place: &Place| self.row(place).0;
        let places = self.places[bucket.start..bucket.end].iter();
        sorted.clear();
        sorted.extend(
            places
                .filter(|&&(run, _)| run >= bucket.since)
                .map(|&(run, place)| {
                    let (key, _) = self.runs[run as usize].borrow().row(place);
                    (head(key, PREFIX_BYTES), run, place)
                }),
        );
        // By key, the youngest first. Most pairs differ within their heads.
        sorted.sort_unstable_by(|a, b| {
            let keys = a.0.cmp(&b.0).then_with(|| key(a).cmp(key(b)));
            keys.then(b.1.cmp(&a.1))
        });
        sorted.dedup_by(|older, younger| older.0 == younger.0 && key(older) == key(younger));
    }
}

/// See [`Merged::rows`].
pub(crate) struct Rows<'m, R> {
    merged: &'m Merged<R>,
    bucket: usize,
    sorted: Vec<Place>,
    at: usize,
}

impl<'m, R: Borrow<Run>> Iterator for Rows<'m, R> {
    type Item = RowBytes<'m>;

    fn next(&mut self) -> Option<RowBytes<'m>> {
        loop {
            if let Some(place) = self.sorted.get(self.at) {
                self.at += 1;
                return Some(self.merged.row(place));
            }
            let bucket = self.merged.buckets.get(self.bucket)?;
            self.bucket += 1;
            self.at = 0;
            self.merged.sort(bucket, &mut self.sorted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::run::namespace_range;

    type Shown = Vec<(u64, Option<u8>)>;

    fn run(rows: &[(u64, Option<u8>)], dropped: bool) -> Run {
        let mut run = Run::new("t");
        if dropped {
            run.delete_range(namespace_range(0, &(0..128)));
        }
        for (key, value) in rows {
            match value {
                Some(value) => drop(run.put((0, 0, key), 1, value).unwrap()),
                None => run.delete((0, 0, key)).unwrap(),
            }
        }
        run
    }

    fn check(runs: Vec<Run>, expected: Shown, ranges: usize) {
        let merged = merged(&runs);
        assert_eq!(merged.len(), 1);
        let shown: Shown = merged[0]
            .rows()
            .map(|(key, value)| (u64::from(key[10]), value.map(|v| v[1])))
            .collect();
        assert_eq!(shown, expected);
        assert_eq!(merged[0].ranges().len(), ranges);
    }

    #[test]
    fn the_youngest_row_counts() {
        check(
            vec![
                run(&[(3, Some(1)), (1, Some(1)), (2, Some(1))], false),
                run(&[(2, Some(2)), (4, None)], false),
                run(&[(1, None), (4, Some(3))], false),
            ],
            vec![(1, None), (2, Some(2)), (3, Some(1)), (4, Some(3))],
            0,
        );
    }

    #[test]
    fn keys_of_many_namespaces_and_groups_come_in_order() {
        let mut run = Run::new("t");
        let mut expected = Vec::new();
        for n in 0..400i64 {
            let (namespace, group, key) = ((n * 7) % 5 - 2, (n * 31 % 128) as u16, n as u64 * 97);
            run.put((namespace, group, &key), 1, &n).unwrap();
            let mut bytes = Vec::new();
            crate::state::run::encode_key(namespace, group, &key, &mut bytes).unwrap();
            expected.push(bytes);
        }
        expected.sort();
        let merged = Merged::of(vec![run]);
        let keys: Vec<Vec<u8>> = merged.rows().map(|(key, _)| key.to_vec()).collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_range_deletes_older_rows_and_none_of_its_own_run() {
        check(
            vec![
                run(&[(1, Some(1)), (2, Some(1))], false),
                run(&[(2, Some(2))], true),
                run(&[(3, Some(3))], false),
            ],
            vec![(2, Some(2)), (3, Some(3))],
            1,
        );
    }
}
