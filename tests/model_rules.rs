//! Tests of the reference model itself: cases worked out by hand, each named after its rule in
//! `docs/time-and-windows.md` (or after the `O` number in the model's own documentation), then
//! properties that tie the model to still simpler definitions.

mod model;

use std::collections::BTreeMap;

use model::traces::{self, Case, Interleaving};
use model::{Gap, Kind, Out, Outcome, Pane, Step, Trace, Windows, differences, run, table};
use proptest::prelude::*;

/// The key that the cases look at.
const KEY: u32 = 0;
/// A key whose records only move the watermark.
const CLOCK: u32 = 9;

/// A record of [`KEY`] whose value is its time.
fn at(time: i64) -> Step {
    record(0, KEY, time, time)
}

fn record(split: u32, key: u32, time: i64, value: i64) -> Step {
    Step::Record {
        split,
        key,
        time,
        value,
    }
}

/// With bound 0 in one split: lifts the watermark to exactly `watermark`.
fn watermark(watermark: i64) -> Step {
    record(0, CLOCK, watermark + 1, 0)
}

fn trace(bound: i64, steps: &[Step]) -> Trace {
    Trace {
        splits: 1,
        bound,
        steps: steps.to_vec(),
    }
}

fn tumbling(size: i64) -> Windows {
    Windows::Tumbling { size, offset: 0 }
}

fn sliding(size: i64, slide: i64) -> Windows {
    Windows::Sliding {
        size,
        slide,
        offset: 0,
    }
}

fn sessions(gap: i64) -> Windows {
    Windows::Sessions {
        gap: Gap::Fixed(gap),
    }
}

/// A result of [`KEY`] in short: `step: +[start,end) pane#number xcount`.
fn short(step: usize, steps: usize, out: &Out) -> String {
    let step = if step == steps {
        "end".to_owned()
    } else {
        step.to_string()
    };
    let sign = match out.kind {
        Kind::Insert => '+',
        Kind::Retract => '-',
    };
    let pane = match out.pane {
        Pane::OnTime => "on",
        Pane::Late => "late",
    };
    let last = out.last.map_or(String::new(), |last| format!("@{last}"));
    format!(
        "{step}: {sign}[{},{}){last} {pane}#{} x{}",
        out.start, out.end, out.number, out.count
    )
}

/// Runs the trace and compares all results of [`KEY`].
#[track_caller]
fn check(trace: &Trace, windows: Windows, lateness: i64, expected: &[&str]) -> Outcome {
    let outcome = run(trace, windows, lateness);
    let observed: Vec<String> = outcome
        .outs
        .iter()
        .zip(&outcome.emitted_at)
        .filter(|(out, _)| out.key == KEY)
        .map(|(out, step)| short(*step, trace.steps.len(), out))
        .collect();
    assert_eq!(
        observed, expected,
        "{windows:?}, lateness {lateness}, {trace:?}"
    );
    outcome
}

/// The times in the late output of [`KEY`].
fn late_times(outcome: &Outcome) -> Vec<i64> {
    let of_key = outcome.late.iter().filter(|(key, _, _)| *key == KEY);
    of_key.map(|(_, time, _)| *time).collect()
}

#[test]
fn worked_example_of_the_specification() {
    let seconds = [1, 4, 11, 9, 12, 3, 20, 8, 40];
    let steps = seconds.map(|second| at(second * 1000));
    let outcome = check(
        &trace(2000, &steps),
        tumbling(10_000),
        5000,
        &[
            "4: +[0,10000) on#0 x3",
            "5: +[0,10000) late#1 x4",
            "8: +[10000,20000) on#0 x2",
            "8: +[20000,30000) on#0 x1",
            "end: +[40000,50000) on#0 x1",
        ],
    );
    assert_eq!(outcome.late, [(KEY, 8000, 8000)]);
    assert_eq!((outcome.processed, outcome.refused), (8, 1));
    assert_eq!(outcome.watermarks[4], 9_999);
    assert_eq!(outcome.watermarks[6], 17_999);
    assert_eq!(outcome.watermarks[8], 37_999);
    assert_eq!(outcome.outs[1].sum, 1000 + 4000 + 9000 + 3000);
    assert_eq!((outcome.outs[1].min, outcome.outs[1].max), (1000, 9000));
    assert_eq!(outcome.outs[1].time(), 9_999);
}

// Watermarks

const NONE: i64 = i64::MIN;
const END: i64 = i64::MAX;

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

// Assignment

/// The windows that a single record comes out of.
#[track_caller]
fn check_windows(time: i64, windows: Windows, expected: &[(i64, i64)]) {
    let outcome = run(&trace(0, &[at(time)]), windows, 0);
    let observed: Vec<(i64, i64)> = outcome.outs.iter().map(|o| (o.start, o.end)).collect();
    assert_eq!(observed, expected, "{time} in {windows:?}");
}

#[test]
fn w1_tumbling_windows_are_aligned_to_the_epoch_and_the_offset() {
    let cases = [
        (0, 10, 0, (0, 10)),
        (9, 10, 0, (0, 10)),
        (10, 10, 0, (10, 20)),
        (-1, 10, 0, (-10, 0)),
        (-10, 10, 0, (-10, 0)),
        (-11, 10, 0, (-20, -10)),
        (0, 10, 3, (-7, 3)),
        (2, 10, 3, (-7, 3)),
        (3, 10, 3, (3, 13)),
        (-8, 10, 3, (-17, -7)),
        (2, 10, -7, (-7, 3)),
        (2, 10, 13, (-7, 3)),
        (7, 1, 0, (7, 8)),
        (-1, 1, 0, (-1, 0)),
        (0, 1, 5, (0, 1)),
    ];
    for (time, size, offset, window) in cases {
        check_windows(time, Windows::Tumbling { size, offset }, &[window]);
    }
}

#[test]
fn w2_sliding_windows_are_all_that_contain_the_time() {
    check_windows(12, sliding(10, 5), &[(5, 15), (10, 20)]);
    check_windows(10, sliding(10, 5), &[(5, 15), (10, 20)]);
    check_windows(9, sliding(10, 5), &[(0, 10), (5, 15)]);
    check_windows(0, sliding(10, 5), &[(-5, 5), (0, 10)]);
    check_windows(-1, sliding(10, 5), &[(-10, 0), (-5, 5)]);
    let offset = Windows::Sliding {
        size: 10,
        slide: 5,
        offset: 2,
    };
    check_windows(0, offset, &[(-8, 2), (-3, 7)]);
    check_windows(7, sliding(5, 5), &[(5, 10)]);
}

#[test]
fn w2_the_slide_need_not_divide_the_size() {
    check_windows(8, sliding(10, 4), &[(0, 10), (4, 14), (8, 18)]);
    check_windows(10, sliding(10, 4), &[(4, 14), (8, 18)]);
    check_windows(-1, sliding(10, 4), &[(-8, 2), (-4, 6)]);
    check_windows(0, sliding(10, 4), &[(-8, 2), (-4, 6), (0, 10)]);
    check_windows(6, sliding(7, 3), &[(0, 7), (3, 10), (6, 13)]);
    check_windows(7, sliding(7, 3), &[(3, 10), (6, 13)]);
}

#[test]
fn o9_a_slide_beyond_the_size_leaves_gaps() {
    check_windows(3, sliding(4, 10), &[(0, 4)]);
    check_windows(4, sliding(4, 10), &[]);
    check_windows(-1, sliding(4, 10), &[]);
    check_windows(-7, sliding(4, 10), &[(-10, -6)]);
    let outcome = run(&trace(0, &[at(4), at(50), at(7)]), sliding(4, 10), 0);
    assert_eq!((outcome.processed, outcome.in_no_window), (3, 2));
    assert_eq!((outcome.late.len(), outcome.refused), (0, 0));
}

// Sessions

#[test]
fn w4_the_gap_is_inclusive() {
    // The session of 0 with gap 10 is [0, 11).
    let joined = |last| vec![format!("end: +[0,{})@{last} on#0 x2", last + 11)];
    let apart = |time| {
        vec![
            "end: +[0,11)@0 on#0 x1".to_owned(),
            format!("end: +[{time},{})@{time} on#0 x1", time + 11),
        ]
    };
    let cases = [
        (9, joined(9)),
        (10, joined(10)),
        (11, apart(11)),
        (20, apart(20)),
        (21, apart(21)),
        (22, apart(22)),
    ];
    for (time, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&trace(100, &[at(0), at(time)]), sessions(10), 0, &expected);
        check(&trace(100, &[at(time), at(0)]), sessions(10), 0, &expected);
    }
}

#[test]
fn w4_the_gap_is_inclusive_before_the_epoch() {
    let steps = [at(-5), at(5), at(-16), at(-27)];
    check(
        &trace(100, &steps),
        sessions(10),
        0,
        &[
            "end: +[-27,-16)@-27 on#0 x1",
            "end: +[-16,-5)@-16 on#0 x1",
            "end: +[-5,16)@5 on#0 x2",
        ],
    );
}

#[test]
fn w4_a_gap_of_zero_joins_equal_times_only() {
    check(
        &trace(100, &[at(5), at(6), at(5)]),
        sessions(0),
        0,
        &["end: +[5,6)@5 on#0 x2", "end: +[6,7)@6 on#0 x1"],
    );
}

#[test]
fn w4_fires_at_end_minus_one() {
    // end = 11: not at 9, at 10, and at once when the watermark leaps over it.
    let steps = [at(0), watermark(9), watermark(10)];
    check(
        &trace(0, &steps),
        sessions(10),
        0,
        &["2: +[0,11)@0 on#0 x1"],
    );
    for leap in [10, 11, 21, 22, 1000] {
        let steps = [at(0), watermark(leap)];
        check(
            &trace(0, &steps),
            sessions(10),
            0,
            &["1: +[0,11)@0 on#0 x1"],
        );
    }
    check(
        &trace(0, &[at(0), watermark(9)]),
        sessions(10),
        0,
        &["end: +[0,11)@0 on#0 x1"],
    );
}

#[test]
fn w4_a_record_at_last_plus_gap_still_belongs_one_tick_before_the_end() {
    let steps = [at(0), watermark(9), at(10), watermark(19), watermark(20)];
    check(
        &trace(0, &steps),
        sessions(10),
        0,
        &["4: +[0,21)@10 on#0 x2"],
    );
}

fn by_value(key: u32, time: i64, gap: i64) -> Step {
    record(0, key, time, gap)
}

/// The gap of a record is its value.
const GAP_BY_VALUE: Windows = Windows::Sessions {
    gap: Gap::ByValue {
        base: 0,
        modulo: 1000,
    },
};

#[test]
fn o7_the_gap_may_depend_on_the_record() {
    // 0 reaches to 20, although 5 (which is later) only reaches to 7.
    let steps = [
        by_value(KEY, 0, 20),
        by_value(KEY, 5, 2),
        by_value(KEY, 20, 1),
    ];
    check(
        &trace(100, &steps),
        GAP_BY_VALUE,
        0,
        &["end: +[0,22)@20 on#0 x3"],
    );
    let steps = [
        by_value(KEY, 0, 20),
        by_value(KEY, 5, 2),
        by_value(KEY, 21, 1),
    ];
    check(
        &trace(100, &steps),
        GAP_BY_VALUE,
        0,
        &["end: +[0,21)@5 on#0 x2", "end: +[21,23)@21 on#0 x1"],
    );
    // One record of a great gap swallows all that follow within it.
    let steps = [
        by_value(KEY, 10, 0),
        by_value(KEY, 20, 0),
        by_value(KEY, 30, 0),
        by_value(KEY, 10, 15),
    ];
    check(
        &trace(100, &steps),
        GAP_BY_VALUE,
        0,
        &["end: +[10,26)@20 on#0 x3", "end: +[30,31)@30 on#0 x1"],
    );
}

fn permutations(times: &[i64]) -> Vec<Vec<i64>> {
    if times.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (i, first) in times.iter().enumerate() {
        let mut others = times.to_vec();
        others.remove(i);
        for mut rest in permutations(&others) {
            rest.insert(0, *first);
            all.push(rest);
        }
    }
    all
}

#[test]
fn w5_any_permutation_of_a_session_gives_the_same_session() {
    let times = [0, 10, 20, 25, 35];
    let all = permutations(&times);
    assert_eq!(all.len(), 120);
    let expected = BTreeMap::from([((KEY, 0, 46), (5, 90, 0, 35))]);
    for order in all {
        let steps: Vec<Step> = order.iter().map(|time| at(*time)).collect();
        // On time, and with every record but the first ones late but allowed.
        for (bound, lateness) in [(35, 0), (0, 35), (7, 30)] {
            let outcome = run(&trace(bound, &steps), sessions(10), lateness);
            assert_eq!(outcome.table(), expected, "{order:?}, bound {bound}");
            assert_eq!(outcome.late, [], "{order:?}, bound {bound}");
        }
    }
}

#[test]
fn w5_a_bridge_merges_two_open_sessions_without_a_trace() {
    check(
        &trace(100, &[at(0), at(20), at(10)]),
        sessions(10),
        0,
        &["end: +[0,31)@20 on#0 x3"],
    );
    // A bridge one tick too short on either side.
    check(
        &trace(100, &[at(0), at(21), at(10)]),
        sessions(10),
        0,
        &["end: +[0,21)@10 on#0 x2", "end: +[21,32)@21 on#0 x1"],
    );
}

#[test]
fn w5_a_bridge_retracts_the_session_that_was_emitted() {
    // B = 20, so 31 brings out the session of 0. With a gap of 9 nothing bridges.
    let steps = [at(0), at(20), at(31), at(10), at(51)];
    check(
        &trace(20, &steps),
        sessions(9),
        5,
        &[
            "2: +[0,10)@0 on#0 x1",
            "4: +[10,20)@10 on#0 x1",
            "4: +[20,30)@20 on#0 x1",
            "end: +[31,41)@31 on#0 x1",
            "end: +[51,61)@51 on#0 x1",
        ],
    );
    // With 10, the third record takes it back, and the merged one waits for 30.
    check(
        &trace(20, &steps),
        sessions(10),
        5,
        &[
            "2: +[0,11)@0 on#0 x1",
            "3: -[0,11)@0 on#0 x1",
            "4: +[0,31)@20 on#1 x3",
            "end: +[31,42)@31 on#0 x1",
            "end: +[51,62)@51 on#0 x1",
        ],
    );
}

#[test]
fn w5_a_bridge_of_two_emitted_sessions_retracts_both() {
    let steps = [at(0), at(20), watermark(32), at(10), watermark(50)];
    check(
        &trace(0, &steps),
        sessions(10),
        50,
        &[
            "1: +[0,11)@0 on#0 x1",
            "2: +[20,31)@20 on#0 x1",
            "3: -[0,11)@0 on#0 x1",
            "3: -[20,31)@20 on#0 x1",
            "3: +[0,31)@20 late#1 x3",
        ],
    );
}

#[test]
fn o5_growth_retracts_what_was_emitted() {
    // Emitted at 10; grows to [0,16) at 12 and waits for 15.
    let steps = [at(0), watermark(12), at(5), watermark(14), watermark(15)];
    check(
        &trace(0, &steps),
        sessions(10),
        5,
        &[
            "1: +[0,11)@0 on#0 x1",
            "2: -[0,11)@0 on#0 x1",
            "4: +[0,16)@5 on#1 x2",
        ],
    );
    // To the front it stays due, so it comes at once.
    let steps = [at(0), watermark(12), at(-5), at(-7)];
    check(
        &trace(0, &steps),
        sessions(10),
        5,
        &[
            "1: +[0,11)@0 on#0 x1",
            "2: -[0,11)@0 on#0 x1",
            "2: +[-5,11)@0 late#1 x2",
            "3: -[-5,11)@0 late#1 x2",
            "3: +[-7,11)@0 late#2 x3",
        ],
    );
}

#[test]
fn o4_a_record_inside_an_emitted_session_replaces_its_value() {
    let steps = [at(0), at(6), watermark(16), at(3), at(0), at(6)];
    check(
        &trace(0, &steps),
        sessions(10),
        5,
        &[
            "2: +[0,17)@6 on#0 x2",
            "3: +[0,17)@6 late#1 x3",
            "4: +[0,17)@6 late#2 x4",
            "5: +[0,17)@6 late#3 x5",
        ],
    );
}

#[test]
fn o6_a_merged_session_goes_on_from_the_highest_number() {
    // [0,11) has used 0, 1, 2; [20,31) has used 0.
    let steps = [at(0), at(20), watermark(32), at(0), at(0), at(10)];
    check(
        &trace(0, &steps),
        sessions(10),
        50,
        &[
            "1: +[0,11)@0 on#0 x1",
            "2: +[20,31)@20 on#0 x1",
            "3: +[0,11)@0 late#1 x2",
            "4: +[0,11)@0 late#2 x3",
            "5: -[0,11)@0 late#2 x3",
            "5: -[20,31)@20 on#0 x1",
            "5: +[0,31)@20 late#3 x5",
        ],
    );
}

#[test]
fn f2_sessions_at_every_tick_around_the_end() {
    // The session [0,11) with L = 3: due at 10, live until 13. What does a record at 5 (its own
    // span ends at 15, and is final at 18) meet?
    let grown_before = vec!["end: +[0,16)@5 on#0 x2"];
    let grown_after = vec![
        "1: +[0,11)@0 on#0 x1",
        "2: -[0,11)@0 on#0 x1",
        "end: +[0,16)@5 on#1 x2",
    ];
    let new_on_time = vec!["1: +[0,11)@0 on#0 x1", "end: +[5,16)@5 on#0 x1"];
    let new_late = vec!["1: +[0,11)@0 on#0 x1", "2: +[5,16)@5 late#0 x1"];
    let refused = vec!["1: +[0,11)@0 on#0 x1"];
    let cases = [
        (9, grown_before, false),
        (10, grown_after.clone(), false),
        (11, grown_after.clone(), false),
        (12, grown_after, false),
        (13, new_on_time.clone(), false),
        (14, new_on_time, false),
        (15, new_late.clone(), false),
        (17, new_late, false),
        (18, refused.clone(), true),
        (19, refused, true),
    ];
    for (now, expected, late) in cases {
        let steps = [at(0), watermark(now), at(5)];
        let outcome = check(&trace(0, &steps), sessions(10), 3, &expected);
        assert_eq!(late_times(&outcome), if late { vec![5] } else { vec![] });
        assert_eq!(outcome.refused, u64::from(late));
        assert_eq!(outcome.processed, if late { 2 } else { 3 });
    }
}

#[test]
fn f2_sessions_refuse_by_the_record_s_own_gap() {
    // Spans [0,20] and [0,2]; at 10 the first is still open, the second is final.
    for (gap, late) in [(20, 0), (11, 0), (10, 1), (2, 1)] {
        let steps = [record(0, CLOCK, 11, 0), by_value(KEY, 0, gap)];
        let outcome = run(&trace(0, &steps), GAP_BY_VALUE, 0);
        assert_eq!(outcome.refused, late, "gap {gap}");
    }
}

#[test]
fn f2_a_live_session_takes_what_would_be_late_alone() {
    // 0 alone is final at 10 + 2; the live session [0,..) reaches it.
    let steps = [at(0), at(9), watermark(18), at(0)];
    let outcome = check(
        &trace(0, &steps),
        sessions(10),
        2,
        &["end: +[0,20)@9 on#0 x3"],
    );
    assert_eq!(outcome.late, []);
}

// Count windows and running aggregates

#[test]
fn w6_tumbling_count_windows() {
    let steps = [at(5), at(1), at(9), at(2), at(7)];
    let whole = Windows::CountTumbling {
        n: 2,
        partial: false,
    };
    let full = ["1: +[1,6)@5 on#0 x2", "3: +[2,10)@9 on#0 x2"];
    check(&trace(0, &steps), whole, 0, &full);
    let partial = Windows::CountTumbling {
        n: 2,
        partial: true,
    };
    let and_the_rest = [full[0], full[1], "end: +[7,8)@7 on#0 x1"];
    check(&trace(0, &steps), partial, 0, &and_the_rest);
    check(&trace(0, &steps[..4]), partial, 0, &full);
    check(&trace(0, &[]), partial, 0, &[]);
}

#[test]
fn w6_sliding_count_windows() {
    let steps = [at(1), at(2), at(3), at(4), at(5)];
    let last_three = |every, partial| Windows::CountSliding {
        n: 3,
        every,
        partial,
    };
    check(
        &trace(0, &steps),
        last_three(1, true),
        0,
        &[
            "0: +[1,2)@1 on#0 x1",
            "1: +[1,3)@2 on#0 x2",
            "2: +[1,4)@3 on#0 x3",
            "3: +[2,5)@4 on#0 x3",
            "4: +[3,6)@5 on#0 x3",
        ],
    );
    let by_two = ["1: +[1,3)@2 on#0 x2", "3: +[2,5)@4 on#0 x3"];
    check(&trace(0, &steps), last_three(2, false), 0, &by_two);
    // The next one would have held 4, 5 and a sixth.
    let with_rest = [by_two[0], by_two[1], "end: +[4,6)@5 on#0 x2"];
    check(&trace(0, &steps), last_three(2, true), 0, &with_rest);
}

#[test]
fn w6_count_windows_further_apart_than_long() {
    let last_two_of_five = Windows::CountSliding {
        n: 2,
        every: 5,
        partial: true,
    };
    let steps: Vec<Step> = (1..=9).map(at).collect();
    let first = "4: +[4,6)@5 on#0 x2";
    check(
        &trace(0, &steps),
        last_two_of_five,
        0,
        &[first, "end: +[9,10)@9 on#0 x1"],
    );
    // The records 6, 7 and 8 would not be in the next one.
    check(&trace(0, &steps[..8]), last_two_of_five, 0, &[first]);
}

#[test]
fn o10_nothing_is_late_for_what_goes_by_arrival() {
    let steps = [at(100), at(1), at(50)];
    let outcome = check(
        &trace(0, &steps),
        Windows::Running,
        0,
        &[
            "0: +[100,101)@100 on#0 x1",
            "1: +[1,101)@100 on#1 x2",
            "2: +[1,101)@100 on#2 x3",
        ],
    );
    assert_eq!((outcome.processed, outcome.late.len()), (3, 0));
    assert_eq!(outcome.outs[2].sum, 151);
    assert_eq!((outcome.outs[2].min, outcome.outs[2].max), (1, 100));
}

// Firing and lateness

#[test]
fn f1_fires_at_end_minus_one() {
    let steps = [at(5), watermark(8), watermark(9), watermark(10)];
    check(&trace(0, &steps), tumbling(10), 0, &["2: +[0,10) on#0 x1"]);
    let steps = [at(-5), watermark(-2), watermark(-1), watermark(0)];
    check(&trace(0, &steps), tumbling(10), 0, &["2: +[-10,0) on#0 x1"]);
    let steps = [
        at(8),
        watermark(8),
        watermark(9),
        watermark(12),
        watermark(13),
        watermark(17),
    ];
    check(
        &trace(0, &steps),
        sliding(10, 4),
        0,
        &[
            "2: +[0,10) on#0 x1",
            "4: +[4,14) on#0 x1",
            "5: +[8,18) on#0 x1",
        ],
    );
}

#[test]
fn f1_results_carry_the_last_instant_of_their_window() {
    let outcome = run(&trace(0, &[at(5)]), tumbling(10), 0);
    assert_eq!(outcome.outs[0].time(), 9);
    let outcome = run(&trace(0, &[at(5)]), sessions(10), 0);
    assert_eq!(outcome.outs[0].time(), 15);
}

#[test]
fn o2_one_watermark_fires_by_end_then_start() {
    let steps = [at(20), at(0), at(4), watermark(1000)];
    check(
        &trace(100, &steps),
        sliding(6, 4),
        0,
        &[
            "3: +[-4,2) on#0 x1",
            "3: +[0,6) on#0 x2",
            "3: +[4,10) on#0 x1",
            "3: +[16,22) on#0 x1",
            "3: +[20,26) on#0 x1",
        ],
    );
    // Sessions of several keys: by end before start, whatever the key.
    let spans = [(0, 3, 9), (1, 0, 20), (2, 0, 10), (3, 2, 10)];
    let steps: Vec<Step> = spans
        .iter()
        .map(|(key, start, end)| by_value(*key, *start, end - start - 1))
        .collect();
    let outcome = run(&trace(100, &steps), GAP_BY_VALUE, 0);
    let order: Vec<u32> = outcome.outs.iter().map(|out| out.key).collect();
    assert_eq!(order, [0, 2, 3, 1]);
}

#[test]
fn f2_late_iff_end_minus_one_plus_lateness_is_reached() {
    // [0,10): due at 9.
    for lateness in [0, 1, 3, 100] {
        let last_chance = 9 + lateness - 1;
        for (now, refused) in [
            (last_chance, false),
            (last_chance + 1, true),
            (last_chance + 2, true),
        ] {
            let outcome = run(&trace(0, &[watermark(now), at(3)]), tumbling(10), lateness);
            let expected = if refused { vec![3] } else { vec![] };
            assert_eq!(late_times(&outcome), expected, "L {lateness}, W {now}");
            assert_eq!(outcome.refused, u64::from(refused));
        }
    }
}

#[test]
fn f2_late_is_decided_by_the_window_not_by_the_record() {
    // The watermark stands at 8: 3 is behind it, but its window has not fired.
    let outcome = check(
        &trace(0, &[watermark(8), at(3)]),
        tumbling(10),
        0,
        &["end: +[0,10) on#0 x1"],
    );
    assert_eq!(outcome.late, []);
}

#[test]
fn f3_a_record_late_for_some_sliding_windows_goes_into_the_others() {
    // 8 lies in [0,10), [4,14), [8,18); final at 9, 13, 17.
    let cases = [
        (8, 0, 3, false),
        (9, 1, 2, false),
        (12, 1, 2, false),
        (13, 2, 1, false),
        (16, 2, 1, false),
        (17, 3, 0, true),
    ];
    for (now, refused, taken, late) in cases {
        let outcome = run(&trace(0, &[watermark(now), at(8)]), sliding(10, 4), 0);
        let results = outcome.outs.iter().filter(|out| out.key == KEY).count();
        assert_eq!((outcome.refused, results), (refused, taken), "W {now}");
        assert_eq!(!outcome.late.is_empty(), late, "W {now}");
        assert_eq!(outcome.processed + outcome.late.len() as u64, 2);
    }
}

#[test]
fn f4_every_record_within_the_lateness_fires_again() {
    let steps = [
        at(1),
        watermark(9),
        at(2),
        at(3),
        watermark(11),
        at(4),
        watermark(12),
        at(5),
    ];
    let outcome = check(
        &trace(0, &steps),
        tumbling(10),
        3,
        &[
            "1: +[0,10) on#0 x1",
            "2: +[0,10) late#1 x2",
            "3: +[0,10) late#2 x3",
            "5: +[0,10) late#3 x4",
        ],
    );
    assert_eq!(late_times(&outcome), [5]);
    assert_eq!(outcome.per_key()[&KEY][3].sum, 1 + 2 + 3 + 4);
}

#[test]
fn o3_a_key_with_nothing_on_time_starts_with_late_zero() {
    let steps = [watermark(9), at(2), at(3), watermark(100)];
    check(
        &trace(0, &steps),
        tumbling(10),
        3,
        &["1: +[0,10) late#0 x1", "2: +[0,10) late#1 x2"],
    );
    let steps = [watermark(15), at(2)];
    check(
        &trace(0, &steps),
        sessions(10),
        5,
        &["1: +[2,13)@2 late#0 x1"],
    );
}

#[test]
fn f4_one_record_fires_several_sliding_windows_by_their_ends() {
    let steps = [watermark(14), at(8)];
    check(
        &trace(0, &steps),
        sliding(10, 4),
        20,
        &[
            "1: +[0,10) late#0 x1",
            "1: +[4,14) late#0 x1",
            "end: +[8,18) on#0 x1",
        ],
    );
}

#[test]
fn keys_are_apart() {
    let steps = [
        record(0, 0, 1, 10),
        record(0, 1, 2, 20),
        record(0, 1, 9, 30),
    ];
    let outcome = run(&trace(10, &steps), sessions(10), 0);
    let sums: Vec<(u32, i128)> = outcome.outs.iter().map(|out| (out.key, out.sum)).collect();
    assert_eq!(sums, [(0, 10), (1, 50)]);
}

#[test]
fn sums_are_exact_beyond_64_bits() {
    let steps = [record(0, KEY, 0, i64::MAX), record(0, KEY, 1, i64::MAX)];
    let outcome = run(&trace(0, &steps), tumbling(10), 0);
    assert_eq!(outcome.outs[0].sum, 2 * i128::from(i64::MAX));
}

// Edges of i64

#[test]
fn o14_nothing_wraps_at_the_edges_of_time() {
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let lengths = [1, 2, 10, i64::MAX];
    for time in edges {
        for length in lengths {
            for other in [0, -1, i64::MIN, i64::MAX] {
                let tumbling = Windows::Tumbling {
                    size: length,
                    offset: other,
                };
                for windows in [tumbling, sessions(length)] {
                    for (bound, lateness) in [(0, 0), (i64::MAX, 0), (0, i64::MAX)] {
                        let outcome = run(&trace(bound, &[at(time)]), windows, lateness);
                        assert_eq!(outcome.outs.len(), 1, "{time} {windows:?}");
                        assert_eq!(outcome.outs[0].pane, Pane::OnTime);
                        assert!(outcome.outs[0].start <= time);
                        assert!(time <= outcome.outs[0].end);
                    }
                }
            }
        }
    }
}

#[test]
fn o14_bounds_are_cut_to_the_range_of_time() {
    check_windows(
        i64::MAX,
        tumbling(1 << 40),
        &[(i64::MAX - (1 << 40) + 1, i64::MAX)],
    );
    check_windows(
        i64::MIN,
        tumbling(1 << 40),
        &[(i64::MIN, i64::MIN + (1 << 40))],
    );
    check_windows(i64::MIN, tumbling(1000), &[(i64::MIN, i64::MIN + 808)]);
    check_windows(i64::MAX, sessions(10), &[(i64::MAX, i64::MAX)]);
    check_windows(i64::MIN, sessions(10), &[(i64::MIN, i64::MIN + 11)]);
    check_windows(
        i64::MIN,
        sliding(1000, 400),
        &[
            (i64::MIN, i64::MIN + 8),
            (i64::MIN, i64::MIN + 408),
            (i64::MIN, i64::MIN + 808),
        ],
    );
}

#[test]
fn o14_no_watermark_makes_nothing_late() {
    let outcome = run(&trace(0, &[at(i64::MIN), at(i64::MIN)]), tumbling(1), 0);
    assert_eq!(outcome.watermarks, [NONE, NONE, END]);
    assert_eq!(outcome.outs.len(), 1);
    assert_eq!(outcome.late, []);
}

// The comparison helpers

#[test]
fn differences_name_what_is_missing_and_what_is_unexpected() {
    let outs = run(&trace(0, &[at(1), at(11)]), tumbling(10), 0).outs;
    assert_eq!(differences(&outs, &outs), Vec::<String>::new());
    let swapped = [outs[1], outs[0]];
    assert_eq!(differences(&outs, &swapped), Vec::<String>::new());
    let doubled = [outs[1], outs[1]];
    assert_eq!(
        differences(&outs, &doubled),
        [
            "missing 1 x + key 0 [0, 10) OnTime 0: count 1 sum 1 min 1 max 1",
            "unexpected 1 x + key 0 [10, 20) OnTime 0: count 1 sum 11 min 11 max 11",
        ]
    );
}

#[test]
#[should_panic(expected = "not held: - key 0 [0, 10)")]
fn table_refuses_a_retraction_of_nothing() {
    let outs = run(&trace(0, &[at(1)]), tumbling(10), 0).outs;
    let kind = Kind::Retract;
    table(&[Out { kind, ..outs[0] }]);
}

// Properties

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

type Table = BTreeMap<(u32, i64, i64), (u64, i128, i64, i64)>;

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
