//! Sessions: W4, W5 and F2 for sessions.

use std::collections::BTreeMap;

use super::*;

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
