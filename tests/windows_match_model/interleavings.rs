//! Several splits and workers: the results do not depend on how they interleave.

use proptest::prelude::*;

use crate::harness::{How, check, interrupted, one_run};
use crate::model::traces::{Case, any_interleaving, any_windows, one_split, time_windows};
use crate::model::{Step, Trace};

/// The same trace again and again, each time a little later: enough records for full batches.
fn repeated(case: Case, times: i64, later: i64) -> Case {
    let mut steps = Vec::new();
    for round in 0..times {
        steps.extend(case.trace.steps.iter().map(|step| match *step {
            Step::Record {
                split,
                key,
                time,
                value,
            } => Step::Record {
                split,
                key,
                time: time + round * later,
                value,
            },
            idle => idle,
        }));
    }
    let trace = Trace {
        steps,
        ..case.trace
    };
    Case { trace, ..case }
}

fn long() -> impl Strategy<Value = Case> {
    (one_split(any_windows()), 20..=90_i64, 0..=80_i64)
        .prop_map(|(case, times, later)| repeated(case, times, later))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn t2_f7_same_results_however_splits_interleave(
        case in any_interleaving(time_windows()),
        how in one_run(),
    ) {
        check(&case, &how);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn f7_same_results_for_every_number_of_workers_and_batch_size(
        case in one_split(any_windows()),
    ) {
        for workers in [1, 2, 3, 4] {
            for batch in [1, 2, 1024] {
                check(&case, &How::plain(workers, batch));
            }
        }
    }

    #[test]
    fn t9_lateness_does_not_depend_on_where_batches_are_cut(
        case in long(),
        workers in prop::sample::select(vec![1_usize, 2, 4]),
    ) {
        for batch in [7, 1023, 1024, 1025] {
            check(&case, &How::plain(workers, batch));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn f7_t10_splits_go_on_behind_a_crash(
        case in any_interleaving(time_windows()),
        how in interrupted(),
    ) {
        check(&case, &how);
    }
}
