//! Many runs become one for each column family: of each row the youngest counts.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::state::run::{Run, head, shared_prefix};

/// What writing `runs` one after the other comes to. Each of them must be sorted; the result is.
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

/// The runs of one column family as one, without a copy of them.
pub(crate) struct Merged<'r> {
    runs: Vec<&'r Run>,
    rows: Vec<Place>,
}

/// Where a row stands: its key's head, its run, its number there.
type Place = (u128, u32, u32);

impl<'r> Merged<'r> {
    pub(crate) fn of(runs: Vec<&'r Run>) -> Self {
        let mut rows: Vec<Place> = Vec::with_capacity(runs.iter().map(|run| run.len()).sum());
        let skip = shared_prefix(runs.iter().flat_map(|run| run.rows().map(|(key, _)| key)));
        for (number, run) in runs.iter().enumerate() {
            let keys = run.rows().map(|(key, _)| head(key, skip)).zip(0..);
            rows.extend(keys.map(|(head, row)| (head, number as u32, row)));
        }
        let key = |place: &Place| runs[place.1 as usize].row(place.2).0;
        // By key, the youngest first. Most pairs differ within their heads.
        rows.sort_unstable_by(|a, b| {
            let keys = a.0.cmp(&b.0).then_with(|| key(a).cmp(key(b)));
            keys.then(b.1.cmp(&a.1))
        });
        rows.dedup_by(|older, younger| older.0 == younger.0 && key(older) == key(younger));
        // A range deletes what older runs have put.
        let ranges = runs.iter().zip(0u32..);
        let ranges: Vec<(u32, &[u8], &[u8])> = ranges
            .flat_map(|(run, age)| run.ranges().iter().map(move |(a, b)| (age, &a[..], &b[..])))
            .collect();
        if !ranges.is_empty() {
            rows.retain(|place| {
                let key = key(place);
                let covers = |&(age, from, to): &(u32, &[u8], &[u8])| {
                    age > place.1 && from <= key && key < to
                };
                !ranges.iter().any(covers)
            });
        }
        Merged { runs, rows }
    }

    /// To be deleted before the rows are put.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
        self.runs.iter().flat_map(|run| run.ranges())
    }

    /// The rows in key order. They lie in the order of their runs, all over memory: so some are
    /// looked at together, before whoever takes them waits for one after the other.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)> {
        const AT_A_TIME: usize = 32;
        self.rows.chunks(AT_A_TIME).flat_map(|places| {
            let rows = places.iter();
            let rows: SmallVec<[_; AT_A_TIME]> = rows
                .map(|&(_, run, row)| self.runs[run as usize].row(row))
                .collect();
            let firsts = rows.iter().map(|(key, _)| key.first().copied());
            std::hint::black_box(firsts.flatten().fold(0, u8::wrapping_add));
            rows
        })
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
        run.sort();
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
