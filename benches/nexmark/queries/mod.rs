//! The queries as jobs of Millstream's.

mod q0;
mod q1;
mod q11;
mod q12;
mod q15;
mod q17;
mod q18;
mod q19;
mod q2;
mod q5;
mod q7;

use millstream::engine::runtime::chain::Pipe;
use millstream::file;
use millstream::prelude::*;

use crate::args::{Args, Query, State};
use crate::event::Event;
use crate::outcome::{Meter, Outcome};
use crate::rows::Row;
use crate::source::Nexmark;
use crate::tally_sink::TallySink;

/// Runs a query as a job.
///
/// # Errors
/// Those of the job.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let job = Job::new(&format!("nexmark-{}", args.query));
    let source = Nexmark::new(args.input())?;
    let lag = Lag::millis(args.shuffle_ms);
    let events = job.source("events", source.event_time(Event::ts, lag));
    let out = Out {
        args,
        tally: TallySink::default(),
    };
    match args.query {
        Query::Q0 => out.write(q0::query(events)),
        Query::Q1 => out.write(q1::query(events)),
        Query::Q2 => out.write(q2::query(events)),
        Query::Q5 => out.write(q5::query(events)),
        Query::Q7 => out.write(q7::query(events)),
        Query::Q11 => out.write(q11::query(events)),
        Query::Q12 => out.write(q12::query(events)),
        Query::Q15 => out.write(q15::query(events)),
        Query::Q17 => out.write(q17::query(events)),
        Query::Q18 => out.write(q18::query(events)),
        Query::Q19 => out.write(q19::query(events)),
    }
    let temporary = tempfile::tempdir()
        .map_err(|e| Error::io("cannot make a folder for the checkpoints", e))?;
    let settings = Settings {
        workers: usize::try_from(args.workers).unwrap_or(usize::MAX),
        checkpoint_dir: match (args.state, &args.checkpoint_dir) {
            (State::Memory, _) => None,
            (State::Rocksdb, Some(dir)) => Some(dir.clone()),
            (State::Rocksdb, None) => Some(temporary.path().to_owned()),
        },
        checkpoint_interval: args.checkpoint_interval,
        ..Settings::default()
    };
    let meter = Meter::start();
    let report = job.run(&settings)?;
    Ok(meter.job(args, out.tally.total(), report.checkpoints))
}

/// Where rows go: they are counted, and written if there is a folder for them.
struct Out<'a> {
    args: &'a Args,
    tally: TallySink,
}

impl Out<'_> {
    fn write<R>(&self, rows: Stream<'_, R, impl Pipe<Item = R>>)
    where
        R: Row + Clone + std::fmt::Debug + Send + 'static,
    {
        match &self.args.output {
            None => rows.to("tally", self.tally.clone()),
            Some(folder) => {
                let rows = rows.shared();
                rows.to("tally", self.tally.clone());
                rows.to("rows", file::jsonl(folder));
            }
        }
    }
}
