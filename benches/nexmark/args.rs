//! The flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use millstream::cli::parse_duration;
use serde::Serialize;

use crate::input::{EVENTS_MAX, Input, RATE_MAX, SPLITS_MAX};

/// The most worker threads.
const WORKERS_MAX: u64 = 1024;

/// Runs a Nexmark query on made events and says what it cost.
///
/// The last line on stdout is a JSON object: what ran, seconds on the clock and of CPU time of all
/// threads, rows and their checksum, the highest resident memory. Counts may be written with
/// underscores.
#[derive(Clone, Debug, Parser)]
#[command(name = "nexmark")]
pub(crate) struct Args {
    /// The query to run
    #[arg(long, value_enum)]
    pub(crate) query: Query,

    /// How many events to read
    #[arg(long, value_name = "N", default_value = "20_000_000", value_parser = events)]
    pub(crate) events: u64,

    /// Worker threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = workers)]
    pub(crate) workers: u64,

    /// How many splits the events are dealt out to [default: one for each worker]
    #[arg(long, value_name = "N", value_parser = splits)]
    splits: Option<u64>,

    /// Events per second of event time (they are read as fast as they can be)
    #[arg(long, value_name = "N", default_value = "100_000", value_parser = rate)]
    rate: u64,

    /// Let events of a split come up to this many milliseconds of event time late
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    pub(crate) shuffle_ms: u64,

    /// Give events their long strings
    #[arg(long)]
    wide: bool,

    /// What runs the query. The loop is one thread that reads one split, keeps its state in
    /// memory and makes no checkpoints, whatever the other flags say
    #[arg(long, value_enum, default_value_t = Engine::Millstream)]
    pub(crate) engine: Engine,

    /// Where the state lies
    #[arg(long, value_enum, default_value_t = State::Rocksdb)]
    pub(crate) state: State,

    /// Keep checkpoints in this directory [default: make none]
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint_dir: Option<PathBuf>,

    /// Time between checkpoints, such as 1s or 100ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) checkpoint_interval: Duration,

    /// Write the rows into this directory, as JSON lines [default: only count them]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// The queries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Query {
    /// Every event
    Q0,
    /// Bids, the price in another currency
    Q1,
    /// Bids in some auctions
    Q2,
    /// The auctions with most bids in 10 s, every 2 s
    Q5,
    /// The highest bids of 10 s
    Q7,
    /// Sessions of bids per bidder
    Q11,
    /// Bids per bidder in 10 s of processing time
    Q12,
    /// Bids, bidders and auctions per day
    Q15,
    /// Prices per auction and day
    Q17,
    /// The last bid of each bidder in each auction
    Q18,
    /// The ten highest bids of each auction
    Q19,
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => std::fmt::Debug::fmt(self, f),
        }
    }
}

/// What runs a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// A job of Millstream's
    Millstream,
    /// A loop written by hand
    Loop,
}

/// Where state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// In RocksDB, behind a cache
    Rocksdb,
    /// In memory alone
    Memory,
}

impl Args {
    /// What is read.
    pub(crate) fn input(&self) -> Input {
        Input {
            events: self.events,
            rate: self.rate,
            wide: self.wide,
            splits: self.splits.unwrap_or(self.workers),
            shuffle_ms: self.shuffle_ms,
        }
    }
}

fn events(text: &str) -> Result<u64, String> {
    count(text, 0, EVENTS_MAX)
}

fn workers(text: &str) -> Result<u64, String> {
    count(text, 1, WORKERS_MAX)
}

fn splits(text: &str) -> Result<u64, String> {
    count(text, 1, SPLITS_MAX)
}

fn rate(text: &str) -> Result<u64, String> {
    count(text, 1, RATE_MAX)
}

fn milliseconds(text: &str) -> Result<u64, String> {
    count(text, 0, u64::MAX)
}

/// Reads a count such as `20_000_000`.
fn count(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    match digits.parse() {
        Ok(count) if (min..=max).contains(&count) => Ok(count),
        _ => Err(format!(
            "`{text}` is not a whole number from {min} to {max}, such as 1000000 or 1_000_000"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("nexmark").chain(words.split_whitespace()))
    }

    #[test]
    fn counts_may_have_underscores_and_splits_follow_workers() {
        let args = parse("--query q11 --events 1_000 --workers 4 --wide").unwrap();
        let input = args.input();
        assert_eq!(args.query.to_string(), "q11");
        assert_eq!((input.events, input.splits, input.wide), (1000, 4, true));
        assert_eq!((input.rate, input.shuffle_ms), (100_000, 0));
        assert_eq!(parse("--query q0 --splits 7").unwrap().input().splits, 7);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (words, expect) in [
            (
                "--query q3",
                "q0, q1, q2, q5, q7, q11, q12, q15, q17, q18, q19",
            ),
            ("--events 5", "--query"),
            ("--query q0 --splits 0", "from 1 to 65536"),
            ("--query q0 --workers 0", "from 1 to 1024"),
            ("--query q0 --events many", "`many` is not a whole number"),
            ("--query q0 --rate 0", "from 1 to 1000000000"),
            ("--query q0 --engine flow", "millstream, loop"),
            ("--query q0 --state disk", "rocksdb, memory"),
            ("--query q0 --checkpoint-interval soon", "1s, 500ms"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(expect), "{words}: {error}");
        }
    }
}
