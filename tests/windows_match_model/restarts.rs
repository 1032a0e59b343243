//! Crashes at any record, restarts with another number of workers: as if nothing had happened.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::harness::{How, check, interrupted};
use crate::model::traces::{Case, one_split, sessions, sliding, tumbling};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn f7_t10_tumbling_windows_go_on_behind_a_crash(
        case in one_split(tumbling()),
        how in interrupted(),
    ) {
        check(&case, &how);
    }

    #[test]
    fn f7_t10_sliding_windows_go_on_behind_a_crash(
        case in one_split(sliding()),
        how in interrupted(),
    ) {
        check(&case, &how);
    }

    #[test]
    fn f7_t10_sessions_go_on_behind_a_crash(case in one_split(sessions()), how in interrupted()) {
        check(&case, &how);
    }
}

fn busy(case: &Case) -> bool {
    case.trace.steps.len() >= 40
}

/// The runs behind the crashes do begin at checkpoints, or the properties above say little.
#[test]
fn t10_restarts_resume_from_checkpoints() {
    let mut runner = TestRunner::deterministic();
    let cases =
        one_split(prop_oneof![tumbling(), sliding(), sessions()]).prop_filter("many records", busy);
    let mut resumed = 0;
    for _ in 0..6 {
        let case = cases.new_tree(&mut runner).unwrap().current();
        let how = How {
            workers: vec![1, 4, 2],
            batch: 1,
            checkpoints: true,
            crashes: vec![15, 30],
            throttle: Some(1_000),
        };
        resumed += check(&case, &how).resumed;
    }
    assert!(
        resumed >= 3,
        "{resumed} of 6 last runs went on from a checkpoint"
    );
}
