//! Watermarks: T1 to T9.

use super::*;

#[track_caller]
fn check_watermarks(splits: u32, bound: i64, steps: &[Step], expected: &[i64]) {
    let trace = Trace {
        splits,
        bound,
        steps: steps.to_vec(),
    };
    let outcome = run(&trace, tumbling(10), 0);
    assert_eq!(outcome.watermarks, expected, "{trace:?}");
}

fn tick(split: u32, time: i64) -> Step {
    record(split, CLOCK, time, 0)
}

fn idle(split: u32) -> Step {
    Step::Idle { split }
}

#[test]
fn t1_watermark_is_the_highest_time_minus_the_bound_minus_one() {
    check_watermarks(1, 0, &[at(10)], &[9, END]);
    check_watermarks(1, 3, &[at(10), at(11)], &[6, 7, END]);
    check_watermarks(1, 3, &[at(0)], &[-4, END]);
    check_watermarks(1, 3, &[], &[END]);
}

#[test]
fn t2_watermark_is_the_minimum_over_the_splits() {
    let steps = [tick(0, 100), tick(1, 50), tick(1, 120), tick(0, 110)];
    check_watermarks(2, 0, &steps, &[NONE, 49, 99, 109, END]);
    let third_is_silent = [tick(0, 100), tick(1, 50)];
    check_watermarks(3, 0, &third_is_silent, &[NONE, NONE, END]);
}

#[test]
fn t3_watermark_never_goes_back() {
    check_watermarks(1, 2, &[at(10), at(3), at(12)], &[7, 7, 9, END]);
    // Nor does a split's own, while another one holds the operator's back.
    let waits_for_the_second = [tick(0, 10), tick(0, 3), tick(1, 20)];
    check_watermarks(2, 0, &waits_for_the_second, &[NONE, NONE, 9, END]);
    let comes_back_behind = [
        tick(0, 100),
        tick(1, 10),
        idle(1),
        tick(1, 20),
        tick(1, 200),
    ];
    check_watermarks(2, 0, &comes_back_behind, &[NONE, 9, 99, 99, 99, END]);
}

#[test]
fn t5_idle_matrix() {
    let ticks = [tick(0, 10), tick(1, 20), tick(2, 30)];
    let cases: [(&[u32], &[i64]); 8] = [
        (&[], &[]),
        (&[0], &[19]),
        (&[2], &[9]),
        (&[0, 1], &[19, 29]),
        (&[1, 0], &[9, 29]),
        (&[2, 1], &[9, 9]),
        // All idle: the watermark stays where the last one left it.
        (&[0, 1, 2], &[19, 29, 29]),
        (&[2, 1, 0], &[9, 9, 9]),
    ];
    for (splits, behind_each) in cases {
        let steps: Vec<Step> = ticks
            .into_iter()
            .chain(splits.iter().map(|split| idle(*split)))
            .collect();
        let expected: Vec<i64> = [NONE, NONE, 9]
            .into_iter()
            .chain(behind_each.iter().copied())
            .chain([END])
            .collect();
        check_watermarks(3, 0, &steps, &expected);
    }
}

#[test]
fn t5_idle_before_the_first_record_holds_nothing_back() {
    let steps = [idle(1), tick(0, 10), tick(1, 5), tick(0, 20), tick(1, 30)];
    check_watermarks(2, 0, &steps, &[NONE, 9, 9, 9, 19, END]);
    check_watermarks(1, 0, &[idle(0), tick(0, 10)], &[NONE, 9, END]);
    check_watermarks(0, 0, &[], &[END]);
}

#[test]
fn t5_a_split_that_comes_back_within_the_bound_loses_nothing() {
    let steps = [
        record(0, KEY, 18, 1),
        record(1, KEY, 8, 1),
        idle(1),
        record(1, KEY, 15, 1),
    ];
    let trace = Trace {
        splits: 2,
        bound: 5,
        steps: steps.to_vec(),
    };
    let outcome = check(
        &trace,
        tumbling(10),
        0,
        &["2: +[0,10) on#0 x1", "end: +[10,20) on#0 x2"],
    );
    assert_eq!(outcome.late, []);
}

#[test]
fn t8_the_end_fires_everything_open_once() {
    let steps = [at(5), at(15), at(25)];
    let fired = &[
        "end: +[0,10) on#0 x1",
        "end: +[10,20) on#0 x1",
        "end: +[20,30) on#0 x1",
    ];
    check(&trace(1000, &steps), tumbling(10), 0, fired);
    check(&trace(1000, &steps), tumbling(10), 1000, fired);
}

#[test]
fn t9_a_watermark_stands_behind_the_record_that_lifted_it() {
    // 100 is not late by its own watermark, and 5 is on time before it and late behind it.
    let outcome = check(
        &trace(0, &[at(5), at(100), at(5)]),
        tumbling(1),
        0,
        &["1: +[5,6) on#0 x1", "end: +[100,101) on#0 x1"],
    );
    assert_eq!(late_times(&outcome), [5]);
}
