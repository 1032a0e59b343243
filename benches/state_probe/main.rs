//! What keyed state costs: stalls at checkpoints, short epochs, state beyond memory, recovery.
//!
//! Every command runs its sides in processes of their own, by turns, and ends with one line of
//! JSON on stdout. How a run goes is in `side.rs`.

mod child;
mod keys;
mod recovery;
mod side;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use keys::{Distribution, Keys};
use side::{Figures, Plan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// Measures keyed state
#[derive(Parser, Debug)]
struct Cli {
    #[command(subcommand)]
    probe: Probe,
}

#[derive(Subcommand, Debug)]
enum Probe {
    /// Checkpoints of much state: how long workers stand still, what throughput they cost
    Stall {
        /// The state: rows of 104 bytes
        #[arg(long, default_value_t = 1024)]
        state_mib: u64,
        /// How much of it changes between two checkpoints
        #[arg(long, default_value_t = 0.1)]
        dirty: f64,
        /// The time from one checkpoint to the next in milliseconds
        #[arg(long, default_value_t = 1000)]
        interval_ms: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Short epochs: what checkpoints ten times a second cost beside one a second
    Epochs {
        /// The rows of the state
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
        /// How many of them change in an epoch
        #[arg(long, default_value_t = 10_000)]
        dirty: u64,
        /// The shorter time between checkpoints in milliseconds
        #[arg(long, default_value_t = 100)]
        short_ms: u64,
        #[command(flatten)]
        common: Common,
    },
    /// State that does not fit into memory, beside the same state in memory
    LargerThanMemory {
        /// Numbers with a count each
        #[arg(long, default_value_t = 100_000_000)]
        keys: u64,
        /// What the job is told to use at most
        #[arg(long, default_value = "512MiB", value_parser = size)]
        memory: usize,
        /// How often which key comes
        #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
        distribution: Distribution,
        #[command(flatten)]
        common: Common,
    },
    /// The time from `kill -9` and a new start to the first output
    Recovery {
        /// The state: rows of 104 bytes
        #[arg(long, default_value_t = 1024)]
        state_mib: u64,
        #[command(flatten)]
        common: Common,
    },
    /// One side of a comparison
    #[command(hide = true)]
    Side { plan: String },
    /// One life of the job that is killed
    #[command(hide = true)]
    RecoveryChild { plan: String },
}

#[derive(Args, Debug)]
struct Common {
    /// Worker threads
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How many seconds each run is measured, after its state is built
    #[arg(long, default_value_t = 10)]
    secs: u64,
    /// How many seconds it runs before that
    #[arg(long, default_value_t = 3)]
    warm: u64,
    /// How often each side runs
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// The folder for checkpoints
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

const ROW_BYTES: u64 = 104;
const IN_MEMORY: usize = 16 << 30;

impl Common {
    fn plan(&self, keys: Keys, wide: bool) -> Plan {
        Plan {
            keys,
            wide,
            workers: self.workers,
            memory_bytes: IN_MEMORY,
            checkpoints: Some(self.dir.clone()),
            interval: Duration::from_secs(1),
            warm: Duration::from_secs(self.warm),
            measure: Duration::from_secs(self.secs),
        }
    }
}

/// The sides of a comparison and what one costs beside the other, in percent.
#[derive(Debug, Serialize)]
struct Compared {
    probe: &'static str,
    base: Figures,
    tested: Figures,
    /// How much fewer events a second.
    wall_loss_percent: f64,
    /// How much more CPU time an event.
    cpu_more_percent: f64,
    /// Events a second, tested to base.
    rate_ratio: f64,
    budget_mib: Option<f64>,
    rss_to_budget: Option<f64>,
}

fn compared(probe: &'static str, sides: &[Figures]) -> Result<Compared, Failure> {
    let [base, tested] = *sides else {
        return Err("a comparison has two sides".into());
    };
    let rate_ratio = tested.events_per_sec / base.events_per_sec;
    Ok(Compared {
        probe,
        base,
        tested,
        wall_loss_percent: (1.0 - rate_ratio) * 100.0,
        cpu_more_percent: (tested.cpu_ns_per_event / base.cpu_ns_per_event - 1.0) * 100.0,
        rate_ratio,
        budget_mib: None,
        rss_to_budget: None,
    })
}

fn main() -> Result<(), Failure> {
    match Cli::parse().probe {
        Probe::Stall {
            state_mib,
            dirty,
            interval_ms,
            common,
        } => {
            let all = (state_mib << 20) / ROW_BYTES;
            let keys = Keys {
                all,
                drawn: (all as f64 * dirty) as u64,
                distribution: Distribution::Uniform,
            };
            let mut tested = common.plan(keys, true);
            tested.interval = Duration::from_millis(interval_ms);
            let base = Plan {
                checkpoints: None,
                ..tested.clone()
            };
            print(&compared(
                "stall",
                &child::by_turns(&[base, tested], common.runs)?,
            )?)
        }
        Probe::Epochs {
            keys: all,
            dirty: drawn,
            short_ms,
            common,
        } => {
            let distribution = Distribution::Uniform;
            let base = common.plan(
                Keys {
                    all,
                    drawn,
                    distribution,
                },
                false,
            );
            let tested = Plan {
                interval: Duration::from_millis(short_ms),
                ..base.clone()
            };
            print(&compared(
                "epochs",
                &child::by_turns(&[base, tested], common.runs)?,
            )?)
        }
        Probe::LargerThanMemory {
            keys: all,
            memory,
            distribution,
            common,
        } => {
            let keys = Keys {
                all,
                drawn: all,
                distribution,
            };
            let base = common.plan(keys, false);
            let tested = Plan {
                memory_bytes: memory,
                ..base.clone()
            };
            let sides = child::by_turns(&[base, tested], common.runs)?;
            let mut result = compared("larger-than-memory", &sides)?;
            let budget_mib = memory as f64 / f64::from(1 << 20);
            result.budget_mib = Some(budget_mib);
            result.rss_to_budget = Some(result.tested.peak_rss_mib / budget_mib);
            print(&result)
        }
        Probe::Recovery { state_mib, common } => {
            let all = (state_mib << 20) / ROW_BYTES;
            let keys = Keys {
                all,
                drawn: all / 10,
                distribution: Distribution::Uniform,
            };
            let folder = tempfile::tempdir_in(&common.dir)?;
            let plan = Plan {
                checkpoints: Some(folder.path().join("checkpoints")),
                ..common.plan(keys, true)
            };
            print(&recovery::measure(&plan, state_mib)?)
        }
        Probe::Side { plan } => print(&side::run(&serde_json::from_str(&plan)?)?),
        Probe::RecoveryChild { plan } => recovery::run_child(&serde_json::from_str(&plan)?),
    }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn print(result: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}

/// A number of bytes, as `512MiB`, `2GiB` or plain.
fn size(text: &str) -> Result<usize, String> {
    let (number, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    number
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| format!("`{text}` is no size: say 512MiB or 2GiB"))
}
