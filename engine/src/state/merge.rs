//! Many runs become one for each column family: of each row the youngest counts.

use std::collections::BTreeMap;

use crate::state::run::Run;

/// What writing `runs` one after the other comes to. Each of them must be sorted; the result is.
pub fn merged(runs: Vec<Run>) -> Vec<Run> {
    let mut families: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for run in runs.into_iter().filter(|run| !run.is_empty()) {
        families
            .entry(run.column_family.clone())
            .or_default()
            .push(run);
    }
    let families = families.into_values();
    families.flat_map(merged_family).collect()
}

fn merged_family(mut runs: Vec<Run>) -> Vec<Run> {
    if runs.len() < 2 {
        return runs;
    }
    let mut rows: Vec<(u128, &[u8], usize, Option<&[u8]>)> = Vec::new();
    for (age, run) in runs.iter().rev().enumerate() {
        rows.extend(run.rows().map(|(key, value)| (head(key), key, age, value)));
    }
    // By key, the youngest first. Most pairs differ within their heads, which stand side by side.
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)).then(a.2.cmp(&b.2)));
    rows.dedup_by(|older, younger| older.1 == younger.1);
    // A range deletes what older runs have put.
    let ranges: Vec<(usize, &[u8], &[u8])> = runs
        .iter()
        .rev()
        .enumerate()
        .flat_map(|(age, run)| run.ranges().iter().map(move |(a, b)| (age, &a[..], &b[..])))
        .collect();
    let mut all = Vec::new();
    let mut open = Run::new(&runs[0].column_family);
    for (_, key, age, value) in rows {
        let covers =
            |&(younger, from, to): &(usize, &[u8], &[u8])| younger < age && from <= key && key < to;
        if ranges.iter().any(covers) {
            continue;
        }
        if open.is_full() {
            let next = Run::new(&open.column_family);
            all.push(std::mem::replace(&mut open, next));
        }
        open.push_bytes(key, value);
    }
    all.push(open);
    // All ranges go before all rows.
    for run in &mut runs {
        for range in run.take_ranges() {
            all[0].delete_range(range);
        }
    }
    all
}

/// The first bytes of a key as a number that sorts as they do.
fn head(key: &[u8]) -> u128 {
    let mut head = [0; 16];
    let len = key.len().min(16);
    head[..len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(head)
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
        let merged = merged(runs);
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
