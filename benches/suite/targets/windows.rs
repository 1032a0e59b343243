//! Target 2: what overlapping windows and open sessions cost an event.

use crate::measure::{Call, Figures};
use crate::row::{Goal, Row, Verdict};
use crate::table::number;
use crate::targets::{Bench, Part, rows_or};

/// How much more an event may cost: 20 %.
const GOAL: Goal = Goal::AtMost(1.2);

/// Sliding windows, and sessions.
pub(crate) fn parts() -> Vec<Part> {
    vec![
        Part {
            name: "sliding".to_owned(),
            target: 2,
            run: Box::new(sliding),
        },
        Part {
            name: "sessions".to_owned(),
            target: 2,
            run: Box::new(sessions),
        },
    ]
}

fn missing() -> Verdict {
    Verdict::NotRun("figures are missing in what it prints".to_owned())
}

fn sliding(bench: &Bench) -> Vec<Row> {
    rows_or(2, "sliding windows", || {
        let more: &[&str] = bench.pick(&["--quick", "--only=count"], &["--runs=1"]);
        let call = Call::new("windows_ratio", ["--part=sliding"].iter().chain(more));
        judge_sliding(&bench.run(&call)?)
    })
}

/// A row for each accumulator: the worse of windows of 10 and of 100 slides.
fn judge_sliding(said: &Figures) -> Result<Vec<Row>, Verdict> {
    let all = said.list("sliding").ok_or_else(missing)?;
    let mut rows: Vec<Row> = Vec::new();
    for wide in all
        .iter()
        .filter(|row| row.whole("size_by_slide") == Some(100))
    {
        let name = wide.text("accumulator").ok_or_else(missing)?;
        let of = |slides: u64| {
            all.iter().find(|row| {
                row.text("accumulator") == Some(name) && row.whole("size_by_slide") == Some(slides)
            })
        };
        let ratio = |slides: u64| of(slides)?.number("ratio");
        let ns = |slides: u64| of(slides)?.number("ns_per_event");
        let read = || Some(([ratio(10)?, ratio(100)?], [ns(1)?, ns(10)?, ns(100)?]));
        let (ratios, ns) = read().ok_or_else(missing)?;
        rows.push(Row::judged(
            2,
            format!("sliding, {name}: CPU time an event, size/slide 10 or 100 / 1"),
            format!("{} ns for 1, 10, 100", ns.map(number).join(", ")),
            &[ratios[0].max(ratios[1])],
            GOAL,
        ));
    }
    if rows.is_empty() {
        return Err(missing());
    }
    Ok(rows)
}

fn sessions(bench: &Bench) -> Vec<Row> {
    rows_or(2, "sessions", || {
        let more: &[&str] = bench.pick(&["--quick"], &["--runs=1"]);
        let call = Call::new("windows_ratio", ["--part=sessions"].iter().chain(more));
        judge_sessions(&bench.run(&call)?)
    })
}

/// What an event costs with the most sessions open beside the fewest, without what it costs the
/// loop more.
fn judge_sessions(said: &Figures) -> Result<Vec<Row>, Verdict> {
    let all = said.list("sessions").ok_or_else(missing)?;
    let open: Vec<&Figures> = all
        .iter()
        .filter(|row| row.text("case").is_some_and(|case| case.ends_with(" open")))
        .collect();
    let figure = |row: &Figures, path| row.number(path).ok_or_else(missing);
    let (Some(few), Some(many)) = (open.first(), open.last()) else {
        return Err(missing());
    };
    let [job_few, job_many] = [
        figure(few, "ns_of_the_event")?,
        figure(many, "ns_of_the_event")?,
    ];
    let [loop_few, loop_many] = [
        figure(few, "loop_ns_of_the_event")?,
        figure(many, "loop_ns_of_the_event")?,
    ];
    let misses = (loop_many - loop_few).max(0.0);
    let name = |row: &Figures| row.text("case").unwrap_or_default().to_owned();
    Ok(vec![Row::judged(
        2,
        format!(
            "sessions: CPU time an event, {} / {}, less what the loop pays more",
            name(many),
            name(few)
        ),
        format!(
            "job {} and {} ns, loop {} and {} ns",
            number(job_few),
            number(job_many),
            number(loop_few),
            number(loop_many)
        ),
        &[(job_many - misses) / job_few],
        GOAL,
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: Result<Vec<Row>, Verdict>, expect: &[(f64, Verdict)]) {
        let rows = rows.unwrap();
        assert_eq!(rows.len(), expect.len());
        for (row, (value, verdict)) in rows.iter().zip(expect) {
            assert!((row.value.unwrap().median - value).abs() < 1e-9, "{row:?}");
            assert_eq!(row.verdict, *verdict);
        }
    }

    #[test]
    fn the_worse_of_the_wider_windows_counts() {
        let row = |name: &str, slides: u32, ratio: f64| {
            format!(
                r#"{{"accumulator": "{name}", "size_by_slide": {slides}, "ratio": {ratio}, "ns_per_event": 50.0}}"#
            )
        };
        let rows = [
            row("count", 1, 1.0),
            row("count", 10, 1.25),
            row("count", 100, 1.1),
            row("max", 1, 1.0),
            row("max", 10, 1.0),
            row("max", 100, 1.15),
        ];
        let said = Figures::parse(&format!(r#"{{"sliding": [{}]}}"#, rows.join(","))).unwrap();
        check(
            judge_sliding(&said),
            &[(1.25, Verdict::Missed), (1.15, Verdict::Reached)],
        );
    }

    #[test]
    fn what_the_loop_pays_more_is_left_out() {
        let row = |case: &str, job: f64, by_hand: f64| {
            format!(
                r#"{{"case": "{case}", "ns_of_the_event": {job}, "loop_ns_of_the_event": {by_hand}}}"#
            )
        };
        for (job, by_hand, ratio, verdict) in [
            (200.0, 120.0, 1.0, Verdict::Reached),
            (260.0, 120.0, 1.6, Verdict::Missed),
            (110.0, 10.0, 1.1, Verdict::Reached),
        ] {
            let rows = [
                row("1000 open", 100.0, 20.0),
                row("100000 open", 120.0, 25.0),
                row("1000000 open", job, by_hand),
                row("hot keys", 900.0, 1.0),
            ];
            let said = Figures::parse(&format!(r#"{{"sessions": [{}]}}"#, rows.join(","))).unwrap();
            check(judge_sessions(&said), &[(ratio, verdict)]);
        }
    }

    #[test]
    fn no_figures_are_no_success() {
        for json in ["{}", r#"{"sliding": [], "sessions": []}"#] {
            let said = Figures::parse(json).unwrap();
            assert_eq!(judge_sliding(&said), Err(missing()));
            assert_eq!(judge_sessions(&said), Err(missing()));
        }
    }
}
