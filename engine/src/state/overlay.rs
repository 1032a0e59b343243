//! What a restart has read of changes, and RocksDB has not been told of: it stands over RocksDB.
//!
//! Telling RocksDB takes longer than a restart may. So the rows are dealt out into buckets only,
//! each is sorted when it is first asked for, and the keeper tells RocksDB while the job runs.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::state::merge::{Merged, Place};
use crate::state::run::{RowBytes, Run};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    families: BTreeMap<String, Layer>,
}

#[derive(Debug)]
struct Layer {
    merged: Merged<Run>,
    /// By bucket, its living rows in key order.
    sorted: Vec<OnceLock<Vec<Place>>>,
}

impl Overlay {
    /// What writing `runs` one after the other would come to, but for the ranges that they delete.
    pub(crate) fn of(runs: Vec<Run>) -> Self {
        let mut families: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for run in runs {
            match families.get_mut(&run.column_family) {
                Some(runs) => runs.push(run),
                None => drop(families.insert(run.column_family.clone(), vec![run])),
            }
        }
        let layer = |(name, runs)| {
            let merged = Merged::of(runs);
            let sorted = (0..merged.bucket_count())
                .map(|_| OnceLock::new())
                .collect();
            (name, Layer { merged, sorted })
        };
        Overlay {
            families: families.into_iter().map(layer).collect(),
        }
    }

    /// Ranges to be deleted in RocksDB before anything is read.
    pub(crate) fn ranges(&self) -> Vec<Run> {
        let deleted = |(name, layer): (&String, &Layer)| {
            let mut run = Run::new(name);
            for range in layer.merged.ranges() {
                run.delete_range(range.clone());
            }
            run
        };
        self.families.iter().map(deleted).collect()
    }

    /// The rows of each column family, in key order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = RowBytes<'_>>)> {
        let families = self.families.iter();
        families.map(|(name, layer)| (name.as_str(), layer.merged.rows()))
    }

    /// The row of a key, if it is here: it may be here as deleted.
    pub(crate) fn get(&self, family: &str, key: &[u8]) -> Option<RowBytes<'_>> {
        let layer = self.families.get(family)?;
        let bucket = layer.merged.bucket_at(key);
        let first = layer.from(bucket, key).next()?;
        (first.0 == key).then_some(first)
    }

    /// The rows from a key on, in key order.
    pub(crate) fn from<'o>(
        &'o self,
        family: &str,
        key: &'o [u8],
    ) -> impl Iterator<Item = RowBytes<'o>> {
        let layer = self.families.get(family);
        layer.into_iter().flat_map(move |layer| {
            let first = layer.merged.bucket_at(key);
            (first..layer.sorted.len()).flat_map(move |bucket| layer.from(bucket, key))
        })
    }
}

impl Layer {
    /// The rows of a bucket from a key on.
    fn from(&self, bucket: usize, key: &[u8]) -> impl Iterator<Item = RowBytes<'_>> {
        let sorted = self.sorted.get(bucket);
        let sorted = sorted.map(|cell| cell.get_or_init(|| self.merged.sorted(bucket)));
        let rows = sorted.map_or(&[][..], Vec::as_slice);
        let first = rows.partition_point(|place| self.merged.row(place).0 < key);
        let rows = rows.get(first..).unwrap_or_default();
        rows.iter().map(|place| self.merged.row(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::run::{encode_key, namespace_range};

    fn key(namespace: i64, group: u16, key: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(namespace, group, &key, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_youngest_rows_are_found_and_come_in_order() {
        let mut older = Run::new("t");
        let mut younger = Run::new("t");
        younger.delete_range(namespace_range(2, &(0..128)));
        for n in 0..40u64 {
            let (namespace, group) = ((n % 4) as i64, (n % 3) as u16);
            older.put((namespace, group, &n), 1, &n).unwrap();
            match n % 5 {
                0 => younger.delete((namespace, group, &n)).unwrap(),
                1 => drop(younger.put((namespace, group, &n), 1, &(n + 100)).unwrap()),
                _ => {}
            }
        }
        let overlay = Overlay::of(vec![older, younger]);
        let mut expected = Vec::new();
        for n in 0..40u64 {
            let place = key((n % 4) as i64, (n % 3) as u16, n);
            let value = match n % 5 {
                0 => Some(None),
                1 => Some(Some(n + 100)),
                _ if n % 4 == 2 => None,
                _ => Some(Some(n)),
            };
            let found = overlay.get("t", &place);
            let shown = found.map(|(_, value)| value.map(|v| u64::from(v[1])));
            assert_eq!(shown, value, "{n}");
            expected.extend(value.map(|_| place));
        }
        expected.sort();
        for from in [key(0, 0, 0), key(1, 1, 7), key(1, 2, 0), key(9, 0, 0)] {
            let keys: Vec<&[u8]> = overlay.from("t", &from).map(|(key, _)| key).collect();
            let behind = expected.iter().filter(|key| **key >= from);
            assert_eq!(keys, behind.collect::<Vec<_>>());
        }
        assert_eq!(overlay.get("t", &key(0, 0, 999)), None);
        assert_eq!(overlay.get("u", &expected[0]), None);
        let families: Vec<(&str, usize)> = overlay
            .rows()
            .map(|(name, rows)| (name, rows.count()))
            .collect();
        assert_eq!(families, [("t", expected.len())]);
    }
}
