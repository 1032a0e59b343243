//! Properties that tie the model to still simpler definitions, and to what its random traces reach.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::NONE;
use crate::model::traces::{self, Case, Interleaving};
use crate::model::{Gap, Kind, Outcome, Pane, Step, Table, Trace, Windows, differences, run};

fn records(trace: &Trace) -> Vec<(u32, i64, i64)> {
    let steps = trace.steps.iter();
    steps
        .filter_map(|step| match *step {
            Step::Record {
                key, time, value, ..
            } => Some((key, time, value)),
            Step::Idle { .. } => None,
        })
        .collect()
}

fn add(table: &mut Table, window: (u32, i64, i64), value: i64) {
    let entry = table.entry(window).or_insert((0, 0, i64::MAX, i64::MIN));
    entry.0 += 1;
    entry.1 += i128::from(value);
    entry.2 = entry.2.min(value);
    entry.3 = entry.3.max(value);
}

/// Every start in reach is tried against the definition of W2.
fn by_enumeration(records: &[(u32, i64, i64)], size: i64, slide: i64, offset: i64) -> Table {
    let mut table = Table::new();
    for (key, time, value) in records {
        for start in time - size - 1..=time + 1 {
            let aligned = (start - offset).rem_euclid(slide) == 0;
            if aligned && start <= *time && *time < start + size {
                add(&mut table, (*key, start, start + size), *value);
            }
        }
    }
    table
}

/// Sorted by key and time, cut wherever a record begins beyond all spans before it.
fn by_sorting(records: &[(u32, i64, i64)], gap: Gap) -> Table {
    let mut sorted = records.to_vec();
    sorted.sort_unstable();
    let mut sessions: Vec<(u32, i64, i64, Vec<i64>)> = Vec::new();
    for (key, time, value) in sorted {
        let reach = time + gap.of(value);
        match sessions.last_mut() {
            Some(open) if open.0 == key && time <= open.2 => {
                open.2 = open.2.max(reach);
                open.3.push(value);
            }
            _ => sessions.push((key, time, reach, vec![value])),
        }
    }
    let mut table = Table::new();
    for (key, start, reach, values) in sessions {
        for value in values {
            add(&mut table, (key, start, reach + 1), value);
        }
    }
    table
}

fn expected_table(windows: Windows, records: &[(u32, i64, i64)]) -> Table {
    match windows {
        Windows::Tumbling { size, offset } => by_enumeration(records, size, size, offset),
        Windows::Sliding {
            size,
            slide,
            offset,
        } => by_enumeration(records, size, slide, offset),
        Windows::Sessions { gap } => by_sorting(records, gap),
        other => unreachable!("no window in event time: {other:?}"),
    }
}

/// Deals the steps of each split out anew, keeping the order within each split.
fn interleaved(trace: &Trace, order: &[u32]) -> Trace {
    let mut queues: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
    for step in trace.steps.iter().rev() {
        let (Step::Record { split, .. } | Step::Idle { split }) = *step;
        queues.entry(split).or_default().push(*step);
    }
    let mut steps = Vec::new();
    let mut order = order.iter().cycle();
    while let Some(choice) = order.next().filter(|_| !queues.is_empty()) {
        let splits: Vec<u32> = queues.keys().copied().collect();
        let split = splits[*choice as usize % splits.len()];
        let queue = queues.entry(split).or_default();
        steps.extend(queue.pop());
        if queue.is_empty() {
            queues.remove(&split);
        }
    }
    Trace {
        steps,
        ..trace.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_processed_or_late(case in traces::recorded_interleaving(traces::any_windows())) {
        let outcome = run(&case.trace, case.windows, case.lateness);
        let records = records(&case.trace).len() as u64;
        prop_assert_eq!(records, outcome.processed + outcome.late.len() as u64);
        prop_assert!(outcome.refused >= outcome.late.len() as u64);
        prop_assert_eq!(outcome.outs.len(), outcome.emitted_at.len());
        prop_assert!(outcome.watermarks.is_sorted(), "T3");
    }

    #[test]
    fn results_hold_exactly_what_was_not_refused(case in traces::one_split(traces::tumbling())) {
        let outcome = run(&case.trace, case.windows, case.lateness);
        let held: u64 = outcome.table().values().map(|value| value.0).sum();
        prop_assert_eq!(held, outcome.processed);
        let mut accepted = records(&case.trace);
        for late in &outcome.late {
            let place = accepted.iter().position(|record| record == late);
            accepted.swap_remove(place.expect("a late record was an input"));
        }
        prop_assert_eq!(outcome.table(), expected_table(case.windows, &accepted));
    }

    #[test]
    fn pane_numbers_count_the_firings(case in traces::one_split(traces::time_windows())) {
        let outcome = run(&case.trace, case.windows, case.lateness);
        let mut fired: BTreeMap<(u32, i64, i64), u64> = BTreeMap::new();
        for out in outcome.outs.iter().filter(|out| out.kind == Kind::Insert) {
            let window = (out.key, out.start, out.end);
            if let Some(before) = fired.insert(window, out.number) {
                prop_assert_eq!(out.pane, Pane::Late, "{}", out);
                prop_assert_eq!(out.number, before + 1, "{}", out);
            }
        }
    }

    #[test]
    fn panes_stand_where_their_watermark_says(case in traces::one_split(traces::time_windows())) {
        let outcome = run(&case.trace, case.windows, case.lateness);
        for (out, step) in outcome.outs.iter().zip(&outcome.emitted_at) {
            let before = if *step == 0 { NONE } else { outcome.watermarks[step - 1] };
            if out.kind == Kind::Insert {
                prop_assert_eq!(out.pane == Pane::Late, before >= out.time(), "{}", out);
                prop_assert!(outcome.watermarks[*step] >= out.time(), "{}", out);
            }
        }
    }

    #[test]
    fn tumbling_is_sliding_by_its_size(case in traces::one_split(traces::tumbling())) {
        if let Windows::Tumbling { size, offset } = case.windows {
            let sliding = Windows::Sliding { size, slide: size, offset };
            prop_assert_eq!(
                run(&case.trace, case.windows, case.lateness),
                run(&case.trace, sliding, case.lateness)
            );
        }
    }

    #[test]
    fn f7_without_late_records_only_the_data_counts(
        case in traces::any_interleaving(traces::time_windows()),
        order in proptest::collection::vec(0..3_u32, 1..20),
    ) {
        let outcome = run(&case.trace, case.windows, case.lateness);
        prop_assert_eq!(case.interleaving, Interleaving::Any);
        prop_assert_eq!(outcome.refused, 0);
        prop_assert!(outcome.outs.iter().all(|out| out.pane == Pane::OnTime && out.number == 0));
        prop_assert_eq!(outcome.table(), expected_table(case.windows, &records(&case.trace)));
        let again = run(&interleaved(&case.trace, &order), case.windows, case.lateness);
        prop_assert_eq!(differences(&outcome.outs, &again.outs), Vec::<String>::new());
    }

    #[test]
    fn w5_lateness_that_forgives_everything_hides_the_order(
        case in traces::one_split(traces::sessions()),
    ) {
        let outcome = run(&case.trace, case.windows, 1 << 40);
        prop_assert_eq!(outcome.late.len(), 0);
        prop_assert_eq!(outcome.table(), expected_table(case.windows, &records(&case.trace)));
    }
}

/// The strategies must reach what they are there for.
#[test]
fn traces_contain_what_they_promise() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut sample = |strategy: &BoxedStrategy<Case>| -> Vec<(Case, Outcome)> {
        (0..500)
            .map(|_| {
                let case = strategy
                    .new_tree(&mut runner)
                    .expect("no filters")
                    .current();
                let outcome = run(&case.trace, case.windows, case.lateness);
                (case, outcome)
            })
            .collect()
    };
    let check = |what: &str,
                 least: usize,
                 samples: &[(Case, Outcome)],
                 has: &dyn Fn(&Case, &Outcome) -> bool| {
        let hits = samples
            .iter()
            .filter(|(case, outcome)| has(case, outcome))
            .count();
        let percent = hits * 100 / samples.len();
        println!("{what}: {percent} %");
        assert!(
            percent >= least,
            "{what}: {percent} % of the cases, at least {least} wanted"
        );
    };
    let retractions_at_once = |outcome: &Outcome| {
        let mut steps: BTreeMap<usize, usize> = BTreeMap::new();
        for (out, step) in outcome.outs.iter().zip(&outcome.emitted_at) {
            *steps.entry(*step).or_default() += usize::from(out.kind == Kind::Retract);
        }
        steps.into_values().max().unwrap_or(0)
    };

    let one = sample(&traces::one_split(traces::time_windows()).boxed());
    check("late output", 30, &one, &|_, o| !o.late.is_empty());
    check("nothing late", 10, &one, &|_, o| o.late.is_empty());
    check("refused by some windows", 3, &one, &|_, o| {
        o.refused > o.late.len() as u64
    });
    check("late panes", 30, &one, &|_, o| {
        o.outs.iter().any(|out| out.pane == Pane::Late)
    });
    check("before the epoch", 20, &one, &|c, _| {
        records(&c.trace).iter().any(|(_, time, _)| *time < 0)
    });

    let sessions = sample(&traces::one_split(traces::sessions()).boxed());
    check("retractions", 20, &sessions, &|_, o| {
        retractions_at_once(o) >= 1
    });
    check("merges of emitted sessions", 3, &sessions, &|_, o| {
        retractions_at_once(o) >= 2
    });

    let recorded = sample(&traces::recorded_interleaving(traces::any_windows()).boxed());
    check("idle splits", 50, &recorded, &|c, _| {
        c.trace
            .steps
            .iter()
            .any(|step| matches!(step, Step::Idle { .. }))
    });
    check("three splits", 20, &recorded, &|c, _| c.trace.splits == 3);

    let any = sample(&traces::any_interleaving(traces::time_windows()).boxed());
    check("disorder without late records", 50, &any, &|c, _| {
        c.trace.bound >= 5
    });
    check("firings before the end", 30, &any, &|c, o| {
        o.emitted_at.iter().any(|step| *step < c.trace.steps.len())
    });
}
