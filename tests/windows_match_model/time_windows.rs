//! Tumbling, sliding and session windows over one split, late records included.

use proptest::prelude::*;

use crate::harness::{check, one_run};
use crate::model::traces::{one_split, sessions, sliding, tumbling};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn w1_tumbling_windows(case in one_split(tumbling()), how in one_run()) {
        check(&case, &how);
    }

    #[test]
    fn w2_sliding_windows(case in one_split(sliding()), how in one_run()) {
        check(&case, &how);
    }

    #[test]
    fn w4_w5_sessions(case in one_split(sessions()), how in one_run()) {
        check(&case, &how);
    }
}
