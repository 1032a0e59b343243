//! Sliding windows of 1, 10 and 100 slides, at one slide.

use std::sync::Arc;

use millstream::accumulator::Accumulator;
use millstream::prelude::*;
use millstream_benches::median;
use serde::Serialize;

use crate::measure::{Meter, PerEvent, run as run_job};
use crate::{Cli, Failure};

/// Time, key, value.
type Reading = (i64, u64, i64);

const OVERLAPS: [u32; 3] = [1, 10, 100];
const SLIDE: Duration = Duration::from_secs(1);
/// Events in a millisecond of event time. A slice of the denser stream holds four times the
/// events and about as many keys: the two show what an event and what a result costs.
const DENSITIES: [u64; 2] = [20, 80];

/// One accumulator at one size of the window.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    accumulator: String,
    size_by_slide: u32,
    /// At 20 events a millisecond, the whole job.
    ns_per_event: f64,
    /// The whole job's cost per event beside that of windows of one slide.
    ratio: f64,
    /// The same at 80 events a millisecond, where there are fewer results.
    dense_ns_per_event: f64,
    dense_ratio: f64,
    results_per_event: f64,
    /// Without what a job costs that does nothing with the events, and without the results.
    ns_of_the_event: f64,
    ns_of_a_result: f64,
}

/// A sketch takes the memory of a hundred counts: they run with a twentieth of the keys and of the
/// slide, so that a slice still has as many events of each key.
const SKETCH_SCALE: u32 = 20;

fn reading(n: u64, keys: u64, per_ms: u64) -> Reading {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    ((n / per_ms) as i64, mixed % keys, (mixed % 1009) as i64)
}

/// The source of one run, and its meter: from when windows of 100 slides are full.
fn source(
    cli: &Cli,
    scale: u32,
    per_ms: u64,
) -> (Arc<Meter>, u64, impl Fn(u64) -> Reading + Clone + use<>) {
    let warm = 101 * (SLIDE / scale).as_millis() as u64 * per_ms;
    let events = cli.events * per_ms / DENSITIES[0].max(per_ms / 2);
    let meter = Meter::between(warm, warm + events - 1);
    let (keys, seen) = ((cli.keys / u64::from(scale)).max(1), meter.clone());
    let make = move |n| {
        seen.event(n);
        reading(n, keys, per_ms)
    };
    (meter, warm + events, make)
}

fn nothing(cli: &Cli, scale: u32, per_ms: u64) -> Result<PerEvent, Failure> {
    let (meter, events, make) = source(cli, scale, per_ms);
    let job = Job::new("nothing");
    let source = generator::generate(events, 1, make).event_time(|r: &Reading| r.0, Lag::NONE);
    job.source("readings", source)
        .filter(|_| false)
        .to("out", memory::sink());
    run_job(cli, &job)?;
    Ok(meter.per_event())
}

fn windows<A>(
    cli: &Cli,
    accumulator: A,
    (scale, overlap): (u32, u32),
    per_ms: u64,
) -> Result<PerEvent, Failure>
where
    A: Accumulator<Reading>,
{
    let (meter, events, make) = source(cli, scale, per_ms);
    let job = Job::new("windows");
    let source = generator::generate(events, 1, make).event_time(|r: &Reading| r.0, Lag::NONE);
    let seen = meter.clone();
    job.source("readings", source)
        .key_by(|r| r.1)
        .window(Sliding::of(SLIDE / scale * overlap, SLIDE / scale))
        .aggregate("windows", accumulator)
        .results
        .filter(move |_| {
            seen.result();
            false
        })
        .to("out", memory::sink());
    run_job(cli, &job)?;
    Ok(meter.per_event())
}

/// Medians of the runs: by density, the job without windows and that with windows of each size.
struct Measured {
    nothing: [f64; 2],
    ns: [[f64; 3]; 2],
    results: [[f64; 3]; 2],
}

fn measure<A>(cli: &Cli, scale: u32, accumulator: &impl Fn() -> A) -> Result<Measured, Failure>
where
    A: Accumulator<Reading>,
{
    let mut measured = Measured {
        nothing: [0.0; 2],
        ns: [[0.0; 3]; 2],
        results: [[0.0; 3]; 2],
    };
    for (d, &per_ms) in DENSITIES.iter().enumerate() {
        let mut none = Vec::new();
        let mut ns: [Vec<f64>; 3] = Default::default();
        for _ in 0..cli.runs.max(1) {
            none.push(nothing(cli, scale, per_ms)?.ns);
            for (o, &overlap) in OVERLAPS.iter().enumerate() {
                let per_event = windows(cli, accumulator(), (scale, overlap), per_ms)?;
                ns[o].push(per_event.ns);
                measured.results[d][o] = per_event.results;
            }
        }
        measured.nothing[d] = median(&mut none);
        measured.ns[d] = ns.map(|mut ns| median(&mut ns));
    }
    Ok(measured)
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn rows<A>(
    cli: &Cli,
    (name, scale): (&str, u32),
    accumulator: impl Fn() -> A,
    rows: &mut Vec<Row>,
) -> Result<(), Failure>
where
    A: Accumulator<Reading>,
{
    if !name.contains(&cli.only) {
        return Ok(());
    }
    let m = measure(cli, scale, &accumulator)?;
    for (o, &overlap) in OVERLAPS.iter().enumerate() {
        let [thin, dense] = [0, 1].map(|d| m.ns[d][o] - m.nothing[d]);
        let [many, few] = [0, 1].map(|d| m.results[d][o]);
        let of_a_result = (thin - dense) / (many - few);
        let row = Row {
            accumulator: name.to_owned(),
            size_by_slide: overlap,
            ns_per_event: m.ns[0][o],
            ratio: m.ns[0][o] / m.ns[0][0],
            dense_ns_per_event: m.ns[1][o],
            dense_ratio: m.ns[1][o] / m.ns[1][0],
            results_per_event: many,
            ns_of_the_event: dense - of_a_result * few,
            ns_of_a_result: of_a_result,
        };
        println!(
            "{name:>10} {overlap:>4}: {:6.1} ns an event, ratio {:.2}; dense {:6.1} ns, ratio {:.2}; {:.3} results an event; the event {:5.1} ns, a result {:6.1} ns (nothing {:.1})",
            row.ns_per_event,
            row.ratio,
            row.dense_ns_per_event,
            row.dense_ratio,
            row.results_per_event,
            row.ns_of_the_event,
            row.ns_of_a_result,
            m.nothing[0],
        );
        rows.push(row);
    }
    Ok(())
}

/// All accumulators.
pub(crate) fn run(cli: &Cli) -> Result<Vec<Row>, Failure> {
    let mut all = Vec::new();
    rows(cli, ("count", 1), count, &mut all)?;
    rows(cli, ("sum", 1), || sum(|r: &Reading| r.2), &mut all)?;
    rows(cli, ("min", 1), || min(|r: &Reading| r.2), &mut all)?;
    rows(cli, ("max", 1), || max(|r: &Reading| r.2), &mut all)?;
    rows(cli, ("mean", 1), || mean(|r: &Reading| r.2), &mut all)?;
    let three = || (count(), mean(|r: &Reading| r.2), max(|r: &Reading| r.2));
    rows(cli, ("tuple", 1), three, &mut all)?;
    let bits = || {
        custom(
            0u64,
            |bits: &mut u64, r: Reading| *bits |= 1 << (r.2 % 64),
            |bits: &mut u64, other: &u64| *bits |= other,
        )
    };
    rows(cli, ("custom", 1), bits, &mut all)?;
    rows(
        cli,
        ("quantile", SKETCH_SCALE),
        || quantile(0.9, |r: &Reading| r.2 as f64),
        &mut all,
    )?;
    Ok(all)
}
