//! Sessions, by how many are open.

use std::sync::Arc;

use millstream::prelude::*;
use millstream_benches::median;
use serde::Serialize;

use crate::measure::{Meter, PerEvent, run as run_job};
use crate::plain;
use crate::{Cli, Failure};

/// Time, key.
pub(crate) type Visit = (i64, u64);

/// Events in a millisecond of event time.
const PER_MS: u64 = 100;

/// One number of open sessions.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    case: String,
    /// The most that were open at a time in the loop.
    open: u64,
    ns_per_event: f64,
    /// Without what a job costs that does nothing with the events.
    ns_of_the_event: f64,
    loop_ns_per_event: f64,
    loop_ns_of_the_event: f64,
    /// The loop's cost per event beside the job's, both with making the events.
    ratio: f64,
    results_per_event: f64,
}

/// Where events come from: how many to skip, how many to measure, the gap, and each event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    /// Sessions of four events in blocks of this many keys; the events of a block come in another
    /// order each time, so that no memory is nearer than another.
    Open { block: u64 },
    /// Three quarters of the events have one of the keys, which changes; the others one of a
    /// thousand.
    Hot,
    /// Each event is the one of its session.
    Alone { open: u64 },
}

impl Case {
    fn open(about: u64) -> Case {
        Case::Open {
            block: (about / 5).next_power_of_two().max(1),
        }
    }

    fn name(&self) -> String {
        match self {
            Case::Open { block } => format!("{} open", block * 5),
            Case::Hot => "hot keys".into(),
            Case::Alone { open } => format!("{open} of one event"),
        }
    }

    pub(crate) fn gap_ms(&self) -> i64 {
        match self {
            // Two blocks of events, and four events come for each session.
            Case::Open { block } => (2 * 4 * block).div_ceil(PER_MS) as i64,
            Case::Hot => 10_000,
            Case::Alone { open } => (open / PER_MS) as i64,
        }
    }

    fn warm(&self) -> u64 {
        match self {
            Case::Open { block } => 7 * 4 * block,
            Case::Hot => 2_000_000,
            Case::Alone { open } => 3 * open,
        }
    }

    pub(crate) fn visit(&self, n: u64) -> Visit {
        let time = (n / PER_MS) as i64;
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let key = match self {
            Case::Open { block } => {
                let (of_all, turn) = (n / 4, n % 4);
                let (in_block, place) = (of_all / block, of_all % block);
                // Odd multipliers: each is another order of the block.
                let place = place.wrapping_mul(2 * turn + 0x9e37_79b1) % block;
                (in_block + 8 - turn) * block + place
            }
            Case::Hot if !mixed.is_multiple_of(4) => 5_000_000 + n / 5000,
            Case::Hot => n / 5000 + mixed % 1000,
            Case::Alone { .. } => n,
        };
        (time, key.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

/// The events of one run, and its meter.
fn events(case: Case) -> (Arc<Meter>, u64, impl Fn(u64) -> Visit + Clone + use<>) {
    let events = case.warm().max(2_000_000);
    let meter = Meter::between(case.warm(), case.warm() + events - 1);
    let seen = meter.clone();
    let make = move |n| {
        seen.event(n);
        case.visit(n)
    };
    (meter, case.warm() + events, make)
}

fn nothing(cli: &Cli, case: Case) -> Result<PerEvent, Failure> {
    let (meter, events, make) = events(case);
    let job = Job::new("nothing");
    let source = generator::generate(events, 1, make).event_time(|v: &Visit| v.0, Lag::NONE);
    job.source("visits", source)
        .filter(|_| false)
        .to("out", memory::sink());
    run_job(cli, &job)?;
    Ok(meter.per_event())
}

fn windows(cli: &Cli, case: Case) -> Result<PerEvent, Failure> {
    let (meter, events, make) = events(case);
    let job = Job::new("sessions");
    let source = generator::generate(events, 1, make).event_time(|v: &Visit| v.0, Lag::NONE);
    let seen = meter.clone();
    job.source("visits", source)
        .key_by(|v| v.1)
        .window(Session::gap(Duration::from_millis(case.gap_ms() as u64)))
        .aggregate("sessions", count())
        .results
        .filter(move |_| {
            seen.result();
            false
        })
        .to("out", memory::sink());
    run_job(cli, &job)?;
    Ok(meter.per_event())
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn row(cli: &Cli, case: Case) -> Result<Row, Failure> {
    let (mut none, mut job, mut by_hand, mut bare) = (vec![], vec![], vec![], vec![]);
    let (mut results, mut open) = (0.0, 0);
    for _ in 0..cli.runs.max(1) {
        none.push(nothing(cli, case)?.ns);
        let sessions = windows(cli, case)?;
        job.push(sessions.ns);
        results = sessions.results;
        let (meter, count, make) = events(case);
        open = plain::sessions(count, &make, case.gap_ms(), || meter.result());
        let counted = meter.per_event();
        by_hand.push(counted.ns);
        if (counted.results - results).abs() > 0.01 {
            let (job, by_hand) = (results, counted.results);
            return Err(format!("results an event: the job {job}, the loop {by_hand}").into());
        }
        let (meter, count, make) = events(case);
        plain::nothing(count, &make);
        bare.push(meter.per_event().ns);
    }
    let [none, job, by_hand, bare] = [none, job, by_hand, bare].map(|mut ns| median(&mut ns));
    let row = Row {
        case: case.name(),
        open,
        ns_per_event: job,
        ns_of_the_event: job - none,
        loop_ns_per_event: by_hand,
        loop_ns_of_the_event: by_hand - bare,
        ratio: by_hand / job,
        results_per_event: results,
    };
    println!(
        "{:>22}: job {job:6.1} ns an event, {:6.1} of them for the session; loop {by_hand:6.1} and {:6.1}; loop / job {:.2}; {open} open at most; {results:.3} results an event",
        row.case, row.ns_of_the_event, row.loop_ns_of_the_event, row.ratio,
    );
    Ok(row)
}

/// All numbers of open sessions.
pub(crate) fn run(cli: &Cli) -> Result<Vec<Row>, Failure> {
    let mut cases = vec![Case::Hot];
    cases.extend(cli.open.iter().map(|&open| Case::open(open)));
    cases.extend(cli.open.iter().map(|&open| Case::Alone { open }));
    cases.retain(|case| case.name().contains(&cli.only));
    cases.into_iter().map(|case| row(cli, case)).collect()
}
