//! What goes by arrival: count windows and running aggregates.

use super::*;

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

#[test]
fn w6_the_end_brings_what_is_left_over_by_end_then_start() {
    let steps = [
        record(0, 0, 9, 0),
        record(0, 1, 8, 0),
        record(0, 2, 9, 0),
        record(0, 2, 3, 0),
    ];
    let windows = Windows::CountTumbling {
        n: 3,
        partial: true,
    };
    let outcome = run(&trace(0, &steps), windows, 0);
    let order: Vec<(u32, i64, i64)> = outcome
        .outs
        .iter()
        .map(|out| (out.key, out.start, out.end))
        .collect();
    assert_eq!(order, [(1, 8, 9), (2, 3, 10), (0, 9, 10)]);
}
