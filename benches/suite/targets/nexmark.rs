//! Nexmark: the results of every query, and target 1.

use millstream_benches::expected::{self, Expected};
use millstream_benches::median;

use crate::measure::{Call, Figures};
use crate::row::{Goal, Row, Verdict};
use crate::table::number;
use crate::targets::{Bench, Part, numbers, quotients, rows_or};

/// A query, and what share of the loop's events per CPU-second it has to reach.
struct Query {
    name: &'static str,
    goal: f64,
    /// Its rows depend on when it runs, its checksum does not.
    has_own_clock: bool,
}

const fn stateless(name: &'static str) -> Query {
    Query {
        name,
        goal: 0.9,
        has_own_clock: false,
    }
}

const fn stateful(name: &'static str) -> Query {
    Query {
        name,
        goal: 1.0,
        has_own_clock: false,
    }
}

const QUERIES: [Query; 11] = [
    stateless("q0"),
    stateless("q1"),
    stateless("q2"),
    stateful("q5"),
    stateful("q7"),
    stateful("q11"),
    Query {
        has_own_clock: true,
        ..stateful("q12")
    },
    stateful("q15"),
    stateful("q17"),
    stateful("q18"),
    stateful("q19"),
];

const TWO_WORKERS_GOAL: f64 = 1.8;
/// How far out of order the shuffled events come.
const SHUFFLE_MS: &str = "2000";

/// The checks and the ratios of every query.
pub(crate) fn parts() -> Vec<Part> {
    let checks = QUERIES.iter().map(|query| Part {
        name: format!("check-{}", query.name),
        target: 0,
        run: Box::new(|bench| check(bench, query)),
    });
    let ratios = QUERIES.iter().map(|query| Part {
        name: query.name.to_owned(),
        target: 1,
        run: Box::new(|bench| ratio(bench, query)),
    });
    let intervals = Part {
        name: "intervals".to_owned(),
        target: 3,
        run: Box::new(intervals),
    };
    checks.chain(ratios).chain([intervals]).collect()
}

fn call(query: &Query, events: u64) -> Call {
    Call::new("nexmark", ["--query", query.name]).with("--events", events.to_string())
}

/// Millstream's side: state in RocksDB, exactly once, checkpoints as often as told.
fn millstream(query: &Query, events: u64, workers: &str, interval: &str) -> Call {
    let mut call = call(query, events)
        .with("--engine", "millstream")
        .with("--workers", workers)
        .with("--splits", workers)
        .with("--state", "rocksdb")
        .with("--checkpoint-interval", interval);
    call.has_checkpoints = true;
    call
}

fn plain_loop(query: &Query, events: u64) -> Call {
    call(query, events).with("--engine", "loop")
}

// ---- results ------------------------------------------------------------------------------------

/// Rows and checksums for the loop and for 1, 2 and 4 workers, in order and shuffled.
fn check(bench: &Bench, query: &Query) -> Vec<Row> {
    let events = bench.pick(1_000_000, 10_000_000);
    let millions = events / 1_000_000;
    let what = format!("{} at {millions} M: rows and checksum", query.name);
    rows_or(0, &what, || {
        let expected = expected_of(query, events)?;
        let mut runs = 0;
        for shuffle in [None, Some(SHUFFLE_MS)] {
            for side in ["loop", "1", "2", "4"] {
                let mut call = match side {
                    "loop" => plain_loop(query, events),
                    workers => call(query, events)
                        .with("--workers", workers)
                        .with("--splits", "4"),
                };
                if let Some(bound_ms) = shuffle {
                    call = call.with("--shuffle-ms", bound_ms);
                }
                let figures = bench.run(&call).map_err(hanging_is_wrong)?;
                holds(query, expected, &figures)
                    .map_err(|why| Verdict::Wrong(format!("`{call}`: {why}")))?;
                runs += 1;
            }
        }
        let figures = format!("loop, 1, 2, 4 workers, in order and shuffled: {runs} runs");
        Ok(vec![
            Row::verdict(0, &what, Verdict::Right).with_figures(figures),
        ])
    })
}

/// Each of these runs takes seconds: one that does not end is no matter of speed.
fn hanging_is_wrong(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::TooSlow(why) => Verdict::Wrong(why),
        other => other,
    }
}

/// What the table says; `None` for a query that it does not know.
fn expected_of(query: &Query, events: u64) -> Result<Option<Expected>, Verdict> {
    let table = expected::table().map_err(|e| Verdict::Wrong(format!("the table: {e}")))?;
    if query.has_own_clock {
        // Every bid is counted once, in whatever window: q11 sums the same bids.
        return Ok(table.get("q11").and_then(|q| q.over(events)));
    }
    match table.get(query.name).and_then(|q| q.over(events)) {
        Some(expected) => Ok(Some(expected)),
        None => Err(Verdict::NotRun(format!(
            "no result of {events} events in the table"
        ))),
    }
}

fn holds(query: &Query, expected: Option<Expected>, figures: &Figures) -> Result<(), String> {
    let Some(expected) = expected else {
        return Err("the table has no such query".to_owned());
    };
    let got = result_of(figures)?;
    if got.checksum != expected.checksum || (got.rows != expected.rows && !query.has_own_clock) {
        return Err(format!("{got:?} where {expected:?} is right"));
    }
    Ok(())
}

fn result_of(figures: &Figures) -> Result<Expected, String> {
    match (figures.whole("rows"), figures.whole("checksum")) {
        (Some(rows), Some(checksum)) => Ok(Expected { rows, checksum }),
        _ => Err("no `rows` and `checksum` in what it prints".to_owned()),
    }
}

/// All runs of a query have to agree, also where the table does not reach.
fn agree<'a>(query: &Query, runs: impl IntoIterator<Item = &'a Figures>) -> Result<(), Verdict> {
    let mut first = None;
    for figures in runs {
        let result = result_of(figures).map_err(Verdict::Wrong)?;
        let first = *first.get_or_insert(result);
        holds(query, Some(first), figures)
            .map_err(|why| Verdict::Wrong(format!("{} runs differ: {why}", query.name)))?;
    }
    Ok(())
}

// ---- speed --------------------------------------------------------------------------------------

/// Events per CPU-second beside the loop, and what a second worker brings.
fn ratio(bench: &Bench, query: &Query) -> Vec<Row> {
    let events = bench.pick(4_000_000, 20_000_000);
    let what = format!("{}: events per CPU-second, job / loop", query.name);
    rows_or(1, &what, || {
        let [plain, one, two] = bench.by_turns(&[
            plain_loop(query, events),
            millstream(query, events, "1", "1s"),
            millstream(query, events, "2", "1s"),
        ])?;
        agree(query, plain.iter().chain(&one).chain(&two))?;
        let (plain_cpu, one_cpu) = (numbers(&plain, "cpu_secs")?, numbers(&one, "cpu_secs")?);
        let (one_secs, two_secs) = (numbers(&one, "secs")?, numbers(&two, "secs")?);
        let rate = |secs: &[f64]| number(events as f64 / 1e6 / median(&mut secs.to_vec()));
        let cost = format!("{} / {} M/s", rate(&one_cpu), rate(&plain_cpu));
        let speed = format!("{} / {} M/s", rate(&two_secs), rate(&one_secs));
        Ok(vec![
            Row::judged(
                1,
                &what,
                cost,
                &quotients(&plain_cpu, &one_cpu),
                Goal::AtLeast(query.goal),
            ),
            Row::judged(
                1,
                format!("{}: wall-clock rate, 2 workers / 1", query.name),
                speed,
                &quotients(&one_secs, &two_secs),
                Goal::AtLeast(TWO_WORKERS_GOAL),
            ),
        ])
    })
}

/// What checkpoints ten times as often cost a query with much state that changes.
fn intervals(bench: &Bench) -> Vec<Row> {
    let query = &stateful("q17");
    let events = bench.pick(4_000_000, 20_000_000);
    let what = "q17: CPU time, checkpoints every 100 ms / 1 s";
    rows_or(3, what, || {
        let [rare, often] = bench.by_turns(&[
            millstream(query, events, "1", "1s"),
            millstream(query, events, "1", "100ms"),
        ])?;
        agree(query, rare.iter().chain(&often))?;
        let (rare, often) = (numbers(&rare, "cpu_secs")?, numbers(&often, "cpu_secs")?);
        let secs = |values: &[f64]| number(median(&mut values.to_vec()));
        let figures = format!("{} / {} CPU s", secs(&often), secs(&rare));
        Ok(vec![Row::judged(
            3,
            what,
            figures,
            &quotients(&often, &rare),
            Goal::None,
        )])
    })
}
