//! Tumbling and sliding windows: assignment, firing, lateness.

use super::*;

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
