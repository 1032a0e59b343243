//! The flights job: used by the example, by its tests and by the benchmarks.

pub(crate) mod record;
pub(crate) mod results;
mod table;

use std::path::PathBuf;

use clap::Parser;
use millstream::prelude::*;

use record::Departure;
use results::{Aircraft, Carrier, Hourly};

/// Delays of flights: by hour and airport, by carrier over three hours, by day of an aircraft.
#[derive(Parser, Clone, Debug)]
#[command(name = "flights", version, about)]
pub(crate) struct Args {
    /// The flights: a csv or csv.gz file, a folder of them, or a pattern
    #[arg(
        long,
        value_name = "FILE",
        default_value = "examples/data/flights-2013-01.csv.gz"
    )]
    pub(crate) input: PathBuf,

    /// Where the results go: hourly/, carriers/ and aircraft/, as JSON lines
    #[arg(long, value_name = "DIR", default_value = "out/flights")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) job: JobArgs,
}

/// No flight stands more than 24 hours ahead of its neighbours in the data: see its README.
const OUT_OF_ORDER: Lag = Lag::hours(25);

/// Builds the job.
pub(crate) fn job(args: &Args) -> Job {
    let job = Job::new("flights");
    let departures = job
        .source(
            "flights",
            file::csv::<record::Row>(&args.input)
                .event_time(record::Row::departed_ms, OUT_OF_ORDER),
        )
        .filter_map(Departure::of)
        .shared();

    departures
        .key_by(|d| d.origin)
        .window(Tumbling::of(Duration::from_secs(3600)))
        .aggregate(
            "delay-by-hour",
            (
                count(),
                mean(|d: &Departure| d.delay_min),
                max(|d: &Departure| d.delay_min),
                quantile(0.99, |d: &Departure| d.delay_min as f64),
            ),
        )
        .results
        .map(Hourly::of)
        .to("hourly", file::jsonl(args.output.join("hourly")));

    departures
        .key_by(|d| d.carrier)
        .window(Sliding::of(
            Duration::from_secs(3 * 3600),
            Duration::from_secs(1800),
        ))
        .aggregate(
            "delay-by-carrier",
            (count(), mean(|d: &Departure| d.delay_min)),
        )
        .results
        .map(Carrier::of)
        .to("carriers", file::jsonl(args.output.join("carriers")));

    departures
        .filter(|d| d.tailnum.is_some())
        .key_by(|d| d.tailnum)
        .window(Session::gap(Duration::from_secs(24 * 3600)))
        .aggregate(
            "days-of-aircraft",
            (count(), sum(|d: &Departure| d.distance)),
        )
        .results
        .map(Aircraft::of)
        .to("aircraft", file::jsonl(args.output.join("aircraft")));
    job
}

/// Builds and runs the job.
///
/// # Errors
/// As the job.
pub(crate) fn run(args: &Args) -> Result<Report> {
    args.job.run(&job(args))
}

/// Shows the first rows of one result.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn show(args: &Args) -> Result<()> {
    if args.job.quiet {
        return Ok(());
    }
    table::print(&args.output.join("hourly"))
}
