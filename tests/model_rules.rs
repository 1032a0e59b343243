//! Tests of the reference model itself: cases worked out by hand, each named after its rule in
//! `docs/time-and-windows.md` (or after the `O` number in the model's own documentation), then
//! properties that tie the model to still simpler definitions.

mod model;

#[path = "model_rules/counts.rs"]
mod counts;
#[path = "model_rules/edges_of_time.rs"]
mod edges_of_time;
#[path = "model_rules/properties.rs"]
mod properties;
#[path = "model_rules/sessions.rs"]
mod session_windows;
#[path = "model_rules/time_windows.rs"]
mod time_windows;
#[path = "model_rules/watermarks.rs"]
mod watermarks;

use model::{Gap, Kind, Out, Outcome, Pane, Step, Trace, Windows, differences, run, table};

/// The watermark while there is none.
const NONE: i64 = i64::MIN;
/// The watermark of the end.
const END: i64 = i64::MAX;

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

/// The gap of a record is its value.
const GAP_BY_VALUE: Windows = Windows::Sessions {
    gap: Gap::ByValue {
        base: 0,
        modulo: 1000,
    },
};

/// A record for [`GAP_BY_VALUE`].
fn by_value(key: u32, time: i64, gap: i64) -> Step {
    record(0, key, time, gap)
}

/// The windows that a single record comes out of.
#[track_caller]
fn check_windows(time: i64, windows: Windows, expected: &[(i64, i64)]) {
    let outcome = run(&trace(0, &[at(time)]), windows, 0);
    let observed: Vec<(i64, i64)> = outcome.outs.iter().map(|o| (o.start, o.end)).collect();
    assert_eq!(observed, expected, "{time} in {windows:?}");
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
