//! Jobs of more than one step: chained windows, and streams that are shared, dealt out, joined.

use proptest::prelude::*;

use millstream::memory;
use millstream::prelude::*;
use millstream::window::{TimeWindow, Windowed};

use crate::harness::{
    How, Rec, Totals, collect, interrupted, lag, ms, one_run, outs, run_to_the_end, splits, totals,
};
use crate::model::traces::{Case, any_interleaving, tumbling};
use crate::model::{self, Out, Step, Trace, Windows, differences};

fn small_windows() -> impl Strategy<Value = Case> {
    any_interleaving(tumbling())
}

fn size_and_offset(case: &Case) -> (i64, i64) {
    match case.windows {
        Windows::Tumbling { size, offset } => (size, offset.rem_euclid(size)),
        other => panic!("not tumbling: {other:?}"),
    }
}

fn same(expected: &[Out], observed: &[Out]) {
    let found = differences(expected, observed);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The model's results as the input of a second step: sum by the key's parity.
fn second_trace(outs: &[Out]) -> Trace {
    let mut steps: Vec<_> = outs
        .iter()
        .map(|out| Step::Record {
            split: 0,
            key: out.key % 2,
            time: out.time(),
            value: out.count as i64,
        })
        .collect();
    steps.sort_by_key(|step| match *step {
        Step::Record { time, .. } => time,
        Step::Idle { .. } => i64::MIN,
    });
    Trace {
        splits: 1,
        bound: 0,
        steps,
    }
}

fn chained(case: &Case, how: &How) {
    let (size, offset) = size_and_offset(case);
    let job = Job::new("chained");
    let source = memory::source(splits(&case.trace, &how.crashes));
    let first = job
        .source(
            "trace",
            source.event_time(|r: &Rec| r.time, lag(&case.trace)),
        )
        .key_by(|r| r.key)
        .window(Tumbling::of(ms(size)).offset(ms(offset)))
        .aggregate("first", totals());
    let second = first
        .results
        .map(|r: Windowed<u32, TimeWindow, Totals>| Rec {
            key: r.key % 2,
            time: r.window.end - 1,
            value: r.value.0 as i64,
        })
        .key_by(|r| r.key)
        .window(Tumbling::of(ms(4 * size)))
        .aggregate("second", totals());
    let (results, late) = collect(second);
    let (report, _) = run_to_the_end(&job, how);

    let first = model::run(&case.trace, case.windows, 0);
    let windows = Windows::Tumbling {
        size: 4 * size,
        offset: 0,
    };
    let expected = model::run(&second_trace(&first.outs), windows, 0);
    same(&expected.outs, &outs(&results));
    assert!(late.rows().is_empty(), "{:?}", late.rows());
    assert_eq!(report.operators["second"]["in"], first.outs.len() as u64);
}

/// One stream, read three times: as it is, dealt out by value and merged again, and doubled.
fn shared(case: &Case, how: &How) {
    let (size, offset) = size_and_offset(case);
    let windows = || Tumbling::of(ms(size)).offset(ms(offset));
    let job = Job::new("shared");
    let source = memory::source(splits(&case.trace, &how.crashes));
    let records = job
        .source(
            "trace",
            source.event_time(|r: &Rec| r.time, lag(&case.trace)),
        )
        .shared();
    let sinks = [(); 4].map(|()| memory::sink());

    let plain = records.key_by(|r| r.key).window(windows());
    plain
        .aggregate("plain", totals())
        .results
        .to("plain-out", sinks[0].clone());

    let sides = records.branch(|r| r.value >= 0);
    let merged = sides.yes.map(|r| r).merge(sides.no).shared();
    let of_merged = merged.key_by(|r| r.key).window(windows());
    of_merged
        .aggregate("merged", totals())
        .results
        .to("merged-out", sinks[1].clone());

    let twice = records.flat_map(|r| [r, r]);
    let of_twice = twice.key_by(|r| r.key).window(windows());
    of_twice
        .aggregate("twice", totals())
        .results
        .to("twice-out", sinks[2].clone());

    let both = records.merge(records);
    let of_both = both.key_by(|r| r.key).window(windows());
    of_both
        .aggregate("both", totals())
        .results
        .to("both-out", sinks[3].clone());

    let (_, _) = run_to_the_end(&job, how);
    let expected = model::run(&case.trace, case.windows, 0).outs;
    same(&expected, &outs(&sinks[0]));
    same(&expected, &outs(&sinks[1]));
    let doubled = expected.iter().map(|out| Out {
        count: 2 * out.count,
        sum: 2 * out.sum,
        ..*out
    });
    let doubled: Vec<Out> = doubled.collect();
    same(&doubled, &outs(&sinks[2]));
    same(&doubled, &outs(&sinks[3]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn f1_t4_windows_over_the_results_of_windows(case in small_windows(), how in one_run()) {
        chained(&case, &how);
    }

    #[test]
    fn f7_streams_shared_dealt_out_merged_and_doubled(case in small_windows(), how in one_run()) {
        shared(&case, &how);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn f1_t10_chained_windows_go_on_behind_a_crash(case in small_windows(), how in interrupted()) {
        chained(&case, &how);
    }

    #[test]
    fn f7_shared_streams_go_on_behind_a_crash(case in small_windows(), how in interrupted()) {
        shared(&case, &how);
    }
}

#[test]
fn t7_a_record_of_the_far_future_makes_no_other_late() {
    const YEAR_9999: i64 = 253_370_764_800_000;
    let records = [1_000, YEAR_9999, 2_000, 3_000].map(|time| Rec {
        key: 0,
        time,
        value: 1,
    });
    for workers in [1, 2, 4] {
        let job = Job::new("guarded");
        let source = memory::records(records)
            .event_time(|r: &Rec| r.time, Lag::NONE)
            .max_future_skew(Some(Duration::from_secs(3600)));
        let stream = job.source("trace", source);
        let quarantined = memory::sink();
        stream.quarantine().to("quarantined", quarantined.clone());
        let out = stream
            .key_by(|r| r.key)
            .window(Tumbling::of(ms(1_000)))
            .aggregate("windows", totals());
        let (results, late) = collect(out);
        let (report, _) = run_to_the_end(&job, &How::plain(workers, 1));
        assert_eq!(quarantined.rows(), [records[1]]);
        assert_eq!(report.source_total("quarantined"), 1);
        assert!(late.rows().is_empty());
        let starts: Vec<_> = outs(&results).iter().map(|out| out.start).collect();
        assert_eq!(starts, [1_000, 2_000, 3_000]);
    }
}
