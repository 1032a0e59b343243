//! The flags that every job binary has, and running a job with them: a progress bar, signals, a
//! summary.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use millstream_engine::error::{Error, Result};
use millstream_engine::runtime::control::Counted;
use millstream_engine::runtime::report::{Outcome, Report};
use millstream_engine::runtime::supervisor::{Environment, Stopper};
use millstream_engine::settings::Settings;
use millstream_operators::job::Job;

use crate::signals::stop_on_signals;

/// How a job runs: to be flattened into the flags of a job binary.
///
/// ```
/// use clap::Parser;
/// use millstream::cli::JobArgs;
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     job: JobArgs,
/// }
///
/// let cli = Cli::parse_from(["my-job", "--workers", "2", "--checkpoint-interval", "500ms"]);
/// assert_eq!(cli.job.settings().workers, 2);
/// ```
#[derive(Args, Clone, Debug)]
pub struct JobArgs {
    /// Keep checkpoints in this directory and go on from the newest one
    #[arg(long, value_name = "DIR")]
    pub checkpoint_dir: Option<PathBuf>,

    /// Time between checkpoints, such as 1s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub checkpoint_interval: Duration,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub workers: usize,

    /// Start over: remove this job's checkpoints and earlier output
    #[arg(long)]
    pub fresh: bool,

    /// Read at most this many rows a second
    #[arg(long, value_name = "ROWS_PER_S")]
    pub throttle: Option<u64>,

    /// Memory for state, caches and queues, such as 512MiB [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<usize>,

    /// The most records that are read at a time
    #[arg(long, value_name = "ROWS", default_value_t = Settings::default().batch_records)]
    pub batch: usize,

    /// How long a result may wait before it is written on, such as 1ms
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_duration)]
    pub flush_interval: Duration,

    /// Print neither progress nor summary
    #[arg(long)]
    pub quiet: bool,
}

impl JobArgs {
    /// The settings that the flags say.
    pub fn settings(&self) -> Settings {
        Settings {
            workers: self.workers,
            checkpoint_dir: self.checkpoint_dir.clone(),
            checkpoint_interval: self.checkpoint_interval,
            fresh: self.fresh,
            batch_records: self.batch,
            flush_interval: self.flush_interval,
            memory_bytes: self.memory.unwrap_or(0),
            throttle_rows_per_s: self.throttle,
            ..Settings::default()
        }
    }

    /// Runs a job: shows how far it is, stops it on SIGINT and SIGTERM with a last checkpoint,
    /// and prints a summary to stderr.
    ///
    /// # Errors
    /// As [`Job::run_in`].
    pub fn run(&self, job: &Job) -> Result<Report> {
        let stopper = Stopper::default();
        stop_on_signals(stopper.clone())?;
        let mut progress = (!self.quiet).then(Progress::new);
        let environment = Environment {
            stopper,
            observe: Box::new(|counted| {
                if let Some(progress) = &mut progress {
                    progress.show(counted);
                }
            }),
            ..Environment::default()
        };
        let report = job.run_in(&self.settings(), environment)?;
        if let Some(progress) = progress {
            progress.bar.finish_and_clear();
            summary(&report, &mut std::io::stderr())
                .map_err(|e| Error::io("cannot print the summary", e))?;
        }
        Ok(report)
    }
}

/// What `main` returns: the error on stderr and exit code 1, or 0.
#[expect(
    clippy::print_stderr,
    reason = "this is what a program says when it fails"
)]
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Progress {
    bar: ProgressBar,
    drawn: u32,
}

/// The supervisor tells more often than a person can read.
const DRAW_EVERY: u32 = 16;

impl Progress {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let template = "{wide_bar} {percent:>3}% {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress { bar, drawn: 0 }
    }

    fn show(&mut self, counted: &Counted) {
        self.drawn = self.drawn.wrapping_add(1);
        if !self.drawn.is_multiple_of(DRAW_EVERY) {
            return;
        }
        self.bar.set_length(counted.total.max(1));
        self.bar.set_position(counted.done);
        self.bar.set_message(format!(
            "{} rows, {} of {}, {} checkpoints",
            HumanCount(counted.read),
            HumanBytes(counted.done),
            HumanBytes(counted.total),
            counted.checkpoints
        ));
    }
}

/// Prints how a run went.
///
/// # Errors
/// When `out` cannot be written.
pub fn summary(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    match report.outcome {
        Outcome::AlreadyComplete => {
            writeln!(
                out,
                "This job is complete: its checkpoint says that all input was read."
            )?;
            writeln!(out, "To run it again from the beginning, use --fresh.")?;
        }
        Outcome::Stopped => writeln!(
            out,
            "Stopped at a checkpoint; the next start goes on from here."
        )?,
        Outcome::Completed => {}
    }
    if let Some(epoch) = report
        .resumed_from
        .filter(|_| report.outcome != Outcome::AlreadyComplete)
    {
        writeln!(out, "Went on from checkpoint {epoch}.")?;
    }
    writeln!(
        out,
        "rows read    {:>12}",
        HumanCount(report.source_total("read")).to_string()
    )?;
    writeln!(
        out,
        "  skipped    {:>12}",
        HumanCount(report.source_total("skipped")).to_string()
    )?;
    writeln!(
        out,
        "  late       {:>12}",
        HumanCount(report.operator_total("late")).to_string()
    )?;
    for (id, written) in &report.sinks {
        writeln!(
            out,
            "results      {:>12}  {id}",
            HumanCount(*written).to_string()
        )?;
    }
    writeln!(out, "checkpoints  {:>12}", report.checkpoints)?;
    let seconds = report.elapsed.as_secs_f64();
    if report.read_now > 0 && seconds > 0.0 {
        let rate = (report.read_now as f64 / seconds) as u64;
        writeln!(
            out,
            "rows/s       {:>12}  ({seconds:.2} s, {} workers)",
            HumanCount(rate).to_string(),
            report.workers
        )?;
    }
    Ok(())
}

/// Reads a time such as `1s`, `500ms`, `2m`, `1h`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let number: u64 = number
        .parse()
        .map_err(|_| expected(text, "a time such as 1s, 500ms or 2m"))?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" | "min" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    };
    duration
        .filter(|d| !d.is_zero())
        .ok_or_else(|| expected(text, "a time such as 1s, 500ms or 2m, longer than 0"))
}

/// Reads a size such as `512MiB`, `2GiB`, `100kB`, `4096`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let number: usize = number
        .parse()
        .map_err(|_| expected(text, "a size such as 512MiB"))?;
    let factor: usize = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(expected(text, "a size in B, kB, MB, GB, KiB, MiB or GiB")),
    };
    let bytes = number
        .checked_mul(factor)
        .ok_or_else(|| expected(text, "a size that fits"))?;
    if bytes < MEMORY_BYTES_MIN {
        return Err(expected(text, "at least 16MiB"));
    }
    Ok(bytes)
}

const MEMORY_BYTES_MIN: usize = 16 << 20;

fn split_unit(text: &str) -> (&str, &str) {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..at], text[at..].trim())
}

fn expected(text: &str, what: &str) -> String {
    format!("`{text}` is not {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_as_people_write_them() {
        for (text, ms) in [
            ("1s", 1000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "1",
            "0s",
            "1 fortnight",
            "-1s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("1GB", 1_000_000_000),
            ("16777216", 16 << 20),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1", "1 parsec", "99999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
