//! The exchange and a chain of stateless steps as figures: CPU time a record, sides by turns.

use clap::Parser;
use millstream_benches::parts::{chain, hop};
use millstream_benches::{cpu_seconds, median};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// Measures a hop through the exchange, and five stateless steps beside one fused loop.
#[derive(Parser, Debug)]
struct Cli {
    /// Records of each turn; with many the start of a job does not count
    #[arg(long, default_value_t = 20_000_000)]
    records: u64,

    /// How often each side runs
    #[arg(long, default_value_t = 7)]
    turns: usize,
}

/// Medians of CPU time a record in nanoseconds, and of the ratios of each turn.
#[derive(Debug, Serialize)]
struct Figures {
    records: u64,
    turns: usize,
    exchange_1_ns: f64,
    exchange_2_ns: f64,
    chain_job_ns: f64,
    chain_loop_ns: f64,
    chain_ratio: f64,
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    let records = cli.records.max(1);
    let rounds = records.div_ceil(hop::BATCH);
    let exchanged = |targets: usize| {
        let mut round = hop::hops(targets);
        cost(rounds * hop::BATCH, || {
            (0..rounds).try_for_each(|_| round())?;
            Ok(())
        })
    };
    let job = chain::job(records);
    let settings = chain::settings();
    let mut turns: [Vec<f64>; 5] = Default::default();
    for _ in 0..cli.turns.max(1) {
        let one = exchanged(1)?;
        let two = exchanged(2)?;
        let in_job = cost(records, || {
            job.run(&settings)?;
            Ok(())
        })?;
        let in_loop = cost(records, || {
            chain::fused(records);
            Ok(())
        })?;
        let figures = [one, two, in_job, in_loop, in_job / in_loop];
        for (all, figure) in turns.iter_mut().zip(figures) {
            all.push(figure);
        }
    }
    let [one, two, in_job, in_loop, ratio] = turns.map(|mut values| median(&mut values));
    let figures = Figures {
        records,
        turns: cli.turns.max(1),
        exchange_1_ns: one,
        exchange_2_ns: two,
        chain_job_ns: in_job,
        chain_loop_ns: in_loop,
        chain_ratio: ratio,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// The CPU time of all threads in nanoseconds a record.
fn cost(records: u64, run: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let before = cpu_seconds();
    run()?;
    Ok((cpu_seconds() - before) * 1e9 / records as f64)
}
