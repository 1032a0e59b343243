//! Count windows and running aggregates: by arrival, within one split.

use proptest::prelude::*;

use crate::harness::{check, interrupted, one_run};
use crate::model::Windows;
use crate::model::traces::{counts, one_split};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn w6_count_windows(case in one_split(counts()), how in one_run()) {
        check(&case, &how);
    }

    #[test]
    fn f7_running_aggregates(case in one_split(Just(Windows::Running)), how in one_run()) {
        check(&case, &how);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn w6_count_windows_go_on_behind_a_crash(case in one_split(counts()), how in interrupted()) {
        check(&case, &how);
    }

    #[test]
    fn f7_running_aggregates_go_on_behind_a_crash(
        case in one_split(Just(Windows::Running)),
        how in interrupted(),
    ) {
        check(&case, &how);
    }
}
