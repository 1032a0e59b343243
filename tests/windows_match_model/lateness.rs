//! Firing and lateness: cases worked out by hand.

use crate::harness::{How, Observed, Rec, check, collect, engine, lag, ms, splits, totals};
use crate::model::traces::{Case, Interleaving};
use crate::model::{Gap, Kind, Out, Pane, Step, Trace, Windows};
use millstream::memory;
use millstream::prelude::*;

fn case(windows: Windows, bound: i64, lateness: i64, times: &[i64]) -> Case {
    let steps = times.iter().map(|&time| Step::Record {
        split: 0,
        key: 0,
        time,
        value: time,
    });
    Case {
        trace: Trace {
            splits: 1,
            bound,
            steps: steps.collect(),
        },
        windows,
        lateness,
        interleaving: Interleaving::OneSplit,
    }
}

fn tumbling(size: i64) -> Windows {
    Windows::Tumbling { size, offset: 0 }
}

/// Start, end, pane, number and count of what comes out, in order.
fn panes(observed: &Observed) -> Vec<(i64, i64, Pane, u64, u64)> {
    let panes = observed.outs.iter().map(|o: &Out| {
        assert_eq!(o.kind, Kind::Insert);
        (o.start, o.end, o.pane, o.number, o.count)
    });
    panes.collect()
}

fn everywhere(mut look: impl FnMut(&How)) {
    for workers in [1, 2, 4] {
        for batch in [1, 2, 1024] {
            look(&How::plain(workers, batch));
        }
    }
}

const EXAMPLE: [i64; 9] = [
    1_000, 4_000, 11_000, 9_000, 12_000, 3_000, 20_000, 8_000, 40_000,
];

#[test]
fn f4_worked_example() {
    let case = case(tumbling(10_000), 2_000, 5_000, &EXAMPLE);
    everywhere(|how| {
        let observed = check(&case, how);
        assert_eq!(
            panes(&observed),
            [
                (0, 10_000, Pane::OnTime, 0, 3),
                (0, 10_000, Pane::Late, 1, 4),
                (10_000, 20_000, Pane::OnTime, 0, 2),
                (20_000, 30_000, Pane::OnTime, 0, 1),
                (40_000, 50_000, Pane::OnTime, 0, 1),
            ]
        );
        assert_eq!(observed.late, [(0, 8_000, 8_000)]);
        assert_eq!(observed.counters["late"], 1);
    });
}

#[test]
fn f3_late_records_are_counted_when_nobody_reads_them() {
    let case = case(tumbling(10_000), 2_000, 5_000, &EXAMPLE);
    let job = Job::new("unread");
    let results = memory::sink();
    job.source(
        "trace",
        memory::source(splits(&case.trace, &[])).event_time(|r: &Rec| r.time, lag(&case.trace)),
    )
    .key_by(|r| r.key)
    .window(Tumbling::of(ms(10_000)))
    .allow_late(ms(5_000))
    .aggregate("windows", count())
    .results
    .to("results", results.clone());
    let report = job.run(&Settings::default()).unwrap();
    let counters = &report.operators["windows"];
    let counted = ["in", "processed", "late", "refused"].map(|name| counters[name]);
    assert_eq!(counted, [9, 8, 1, 1]);
    assert_eq!(results.rows().len(), 5);
}

#[test]
fn f1_fires_at_end_minus_one() {
    // The watermark behind 11 is 10 - 1 = 9 with a bound of 1: [0, 10) is due; behind 10 it is not.
    for (last, second_pane) in [
        (10, (0, 10, Pane::OnTime, 0, 2)),
        (11, (0, 10, Pane::Late, 1, 2)),
    ] {
        let case = case(tumbling(10), 1, 5, &[0, last, 9]);
        everywhere(|how| {
            let observed = check(&case, how);
            assert!(
                panes(&observed).contains(&second_pane),
                "{last}: {observed:?}"
            );
        });
    }
}

#[test]
fn f2_refused_iff_end_minus_one_plus_lateness_has_come() {
    // [0, 10) is finalised at 9 + 5 = 14, that is behind a record at 15 with a bound of 0.
    for (clock, late) in [(14, 0), (15, 1)] {
        let case = case(tumbling(10), 0, 5, &[0, clock, 9]);
        everywhere(|how| assert_eq!(check(&case, how).late.len(), late, "{clock}"));
    }
}

#[test]
fn f3_a_record_late_for_some_windows_goes_into_the_others() {
    let sliding = Windows::Sliding {
        size: 20,
        slide: 10,
        offset: 0,
    };
    // Behind 21 the watermark is 20: [0, 20) is final, [10, 30) still open.
    let case = case(sliding, 0, 0, &[15, 21, 16]);
    everywhere(|how| {
        let observed = check(&case, how);
        assert!(observed.late.is_empty());
        assert_eq!(observed.counters["refused"], 1);
        assert!(panes(&observed).contains(&(10, 30, Pane::OnTime, 0, 3)));
    });
}

#[test]
fn w4_a_record_at_last_plus_gap_still_belongs() {
    let sessions = Windows::Sessions { gap: Gap::Fixed(5) };
    let together = case(sessions, 0, 0, &[0, 5]);
    let apart = case(sessions, 0, 0, &[0, 6]);
    everywhere(|how| {
        assert_eq!(panes(&check(&together, how)), [(0, 11, Pane::OnTime, 0, 2)]);
        assert_eq!(
            panes(&check(&apart, how)),
            [(0, 6, Pane::OnTime, 0, 1), (6, 12, Pane::OnTime, 0, 1)]
        );
    });
}

#[test]
fn w5_a_bridge_takes_back_both_sessions_before_the_merged_one() {
    let sessions = Windows::Sessions { gap: Gap::Fixed(5) };
    let case = case(sessions, 0, 100, &[0, 10, 30, 5]);
    everywhere(|how| {
        let observed = check(&case, how);
        let kinds: Vec<_> = observed
            .outs
            .iter()
            .map(|o| (o.kind, o.start, o.end, o.count))
            .collect();
        assert_eq!(
            kinds,
            [
                (Kind::Insert, 0, 6, 1),
                (Kind::Insert, 10, 16, 1),
                (Kind::Retract, 0, 6, 1),
                (Kind::Retract, 10, 16, 1),
                (Kind::Insert, 0, 16, 3),
                (Kind::Insert, 30, 36, 1),
            ]
        );
    });
}

#[test]
fn t8_no_input_gives_no_results() {
    let case = case(tumbling(10), 0, 0, &[]);
    everywhere(|how| assert!(engine(&case, how).outs.is_empty()));
}

#[test]
fn w4_the_gap_of_a_session_is_at_least_a_millisecond() {
    let job = Job::new("no gap");
    let source = memory::records::<Rec>([]).event_time(|r: &Rec| r.time, Lag::NONE);
    let windows = job
        .source("trace", source)
        .key_by(|r| r.key)
        .window(Session::gap(ms(0)));
    let _ = collect(windows.aggregate("sessions", totals()));
    let error = job.check().unwrap_err();
    assert!(error.to_string().contains("gap"), "{error}");
}
