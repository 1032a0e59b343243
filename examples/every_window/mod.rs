//! The job: used by the example and by its tests.

pub(crate) mod event;
mod rows;

use std::path::PathBuf;

use clap::Parser;
use millstream::prelude::*;

use event::{DISORDER_MS, Event, SPLITS};
use rows::{ByCount, ByTime, SoFar, Visit};

/// Every kind of window over generated records.
#[derive(Parser, Clone, Debug)]
#[command(name = "every_window", version, about)]
pub(crate) struct Args {
    /// Where the results go: a folder of JSON lines for each kind of window
    #[arg(long, value_name = "DIR", default_value = "out/every_window")]
    pub(crate) output: PathBuf,

    /// How many records are made
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) records: u64,

    #[command(flatten)]
    pub(crate) job: JobArgs,
}

/// Small parts, so that results become visible while the job runs.
const PART_BYTES: u64 = 16 << 10;

/// Builds the job.
pub(crate) fn job(args: &Args) -> Job {
    let records = args.records;
    let job = Job::new("every_window");
    let source = generator::generate(records, SPLITS, move |number| Event::of(number, records));
    let events = job
        .source(
            "events",
            source.event_time(|e: &Event| e.time_ms, Lag::millis(DISORDER_MS as u64)),
        )
        .shared();
    let output = |name: &str| file::jsonl(args.output.join(name)).roll_bytes(PART_BYTES);
    let by_time = || (count(), sum(|e: &Event| e.value), max(|e: &Event| e.value));
    let seconds = Duration::from_secs;

    events
        .key_by(|e| e.user % 10)
        .window(Tumbling::of(seconds(10)))
        .aggregate("tumbling", by_time())
        .results
        .map(ByTime::of)
        .to("tumbling", output("tumbling"));

    events
        .key_by(|e| e.user % 8)
        .window(Sliding::of(seconds(10), seconds(3)))
        .aggregate("sliding", by_time())
        .results
        .map(ByTime::of)
        .to("sliding", output("sliding"));

    events
        .key_by(|e| e.user)
        .window(Session::gap(seconds(2)))
        .aggregate("session", (count(), sum(|e: &Event| e.value)))
        .results
        .map(Visit::of)
        .to("session", output("session"));

    // What goes by arrival is only the same each time among the records of one split.
    let lane = |e: &Event| (e.split, e.user % 10);

    events
        .key_by(lane)
        .window(Count::of(100).emit_partial())
        .aggregate("count_tumbling", sum(|e: &Event| e.value))
        .results
        .map(ByCount::of)
        .to("count_tumbling", output("count_tumbling"));

    events
        .key_by(lane)
        .window(Count::of(250).every(100).emit_partial())
        .aggregate("count_sliding", sum(|e: &Event| e.value))
        .results
        .map(ByCount::of)
        .to("count_sliding", output("count_sliding"));

    events
        .key_by(lane)
        .aggregate("running", (count(), sum(|e: &Event| e.value)))
        .filter(|(_, (count, _))| count.is_multiple_of(1000))
        .map(SoFar::of)
        .to("running", output("running"));
    job
}
