//! The csv source against the bare loop of the csv crate, on one big file: rows per CPU-second and
//! per second on the wall clock, plain and compressed.
//!
//! The sides take turns in one process. The CPU time is that of all threads: those that read
//! ahead, decompress and decode are in it. Both sides have to come to the same sum.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use millstream::engine::data::Data;
use millstream::engine::graph::source::{Emit, Read, Reader, Waker};
use millstream::engine::time::clock::Clock;
use millstream::prelude::*;
use millstream_benches::{cpu_seconds, median};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// Compares the csv source with a loop over the csv crate's `ByteRecord`s, with serde.
#[derive(Parser, Debug)]
struct Cli {
    /// How many rows to read
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,

    /// How often each side runs
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// What the rows look like
    #[arg(long, value_enum, default_value_t = Shape::All)]
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Eight columns of numbers and text, all of them read
    All,
    /// The same, each cell in quotes, every tenth text with a line end in it
    Quoted,
    /// Nineteen columns of numbers, five of them read
    Some,
}

#[derive(Clone, Debug, Deserialize)]
struct Trip {
    id: u64,
    minute: i64,
    driver: u32,
    city: String,
    fare: f64,
    tip: Option<f64>,
    note: String,
    paid: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Some5 {
    c2: i64,
    c5: i64,
    c9: f64,
    c12: u32,
    c18: i64,
}

/// A number of a record that both sides add up.
trait Summed {
    fn part(&self) -> f64;
}

impl Summed for Trip {
    fn part(&self) -> f64 {
        let text = self.city.len() + self.note.len();
        let numbers = self.id + self.minute.unsigned_abs() + u64::from(self.driver) + text as u64;
        numbers as f64 + self.fare + self.tip.unwrap_or(0.5) + f64::from(u8::from(self.paid))
    }
}

impl Summed for Some5 {
    fn part(&self) -> f64 {
        (self.c2 + self.c5 + i64::from(self.c12) + self.c18) as f64 + self.c9
    }
}

fn write_rows(out: &mut impl Write, shape: Shape, rows: u64) -> std::io::Result<()> {
    const CITIES: [&str; 5] = ["Lisbon", "Porto", "Sao Paulo", "Wien", "New York City"];
    if shape == Shape::Some {
        let names: Vec<String> = (0..19).map(|c| format!("c{c}")).collect();
        writeln!(out, "{}", names.join(","))?;
        for row in 0..rows {
            let cells: Vec<String> = (0..19)
                .map(|c| ((row * 31 + c * 17) % 5000).to_string())
                .collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        return out.flush();
    }
    writeln!(out, "id,minute,driver,city,fare,tip,note,paid")?;
    for row in 0..rows {
        let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let city = CITIES[(mixed % 5) as usize];
        let fare = format!("{}.{:02}", mixed % 90 + 3, mixed % 100);
        let tip = if mixed % 3 == 0 {
            String::new()
        } else {
            format!("{}.5", mixed % 7)
        };
        let line_end = if row % 10 == 0 { "\n" } else { " " };
        let (minute, driver, paid) = (1_700_000_000 + row, mixed % 50_000, mixed % 2 == 0);
        if shape == Shape::Quoted {
            writeln!(
                out,
                "\"{row}\",\"{minute}\",\"{driver}\",\"{city}\",\"{fare}\",\"{tip}\",\"ride,{line_end}no. {mixed}\",\"{paid}\""
            )?;
        } else {
            writeln!(
                out,
                "{row},{minute},{driver},{city},{fare},{tip},ride no. {mixed},{paid}"
            )?;
        }
    }
    out.flush()
}

/// What one reading came to.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    rows: u64,
    sum: f64,
    cpu_secs: f64,
    wall_secs: f64,
}

fn measured(read: impl FnOnce() -> Result<(u64, f64), Failure>) -> Result<Reading, Failure> {
    let clock = Clock::system();
    let (cpu, wall) = (cpu_seconds(), clock.monotonic_us());
    let (rows, sum) = read()?;
    Ok(Reading {
        rows,
        sum,
        cpu_secs: cpu_seconds() - cpu,
        wall_secs: (clock.monotonic_us() - wall) as f64 / 1e6,
    })
}

struct Sum {
    rows: u64,
    sum: f64,
}

impl<T: Summed> Emit<T> for Sum {
    fn emit(&mut self, record: T) -> bool {
        self.rows += 1;
        self.sum += record.part();
        true
    }

    fn skip(&mut self) -> bool {
        true
    }
}

fn read_source<T>(path: &Path, decoders: usize) -> Result<(u64, f64), Failure>
where
    T: DeserializeOwned + Summed + Data,
{
    let source = file::csv::<T>(path).decoders(decoders);
    let reading = std::thread::current();
    let mut sum = Sum { rows: 0, sum: 0.0 };
    for split in Source::splits(&source)? {
        let reading = reading.clone();
        let mut reader = source.open(&split, None, Waker::new(move || reading.unpark()))?;
        loop {
            match reader.read(&mut sum)? {
                Read::End => break,
                Read::Wait => std::thread::park(),
                Read::More => {}
            }
        }
    }
    Ok((sum.rows, sum.sum))
}

fn read_bare<T>(path: &Path) -> Result<(u64, f64), Failure>
where
    T: DeserializeOwned + Summed,
{
    let file = File::open(path)?;
    let input: Box<dyn std::io::Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut reader = csv::ReaderBuilder::new()
        .buffer_capacity(1 << 16)
        .from_reader(input);
    let headers = reader.byte_headers()?.clone();
    let mut record = csv::ByteRecord::new();
    let (mut rows, mut sum) = (0, 0.0);
    while reader.read_byte_record(&mut record)? {
        let row: T = record.deserialize(Some(&headers))?;
        rows += 1;
        sum += row.part();
    }
    Ok((rows, sum))
}

/// Rates of the source in terms of the bare loop's: medians.
#[derive(Debug, Serialize)]
struct Ratios {
    bare_cpu_secs: f64,
    /// With one decoder for each core: what the source does unless told otherwise.
    ours_cpu_secs: f64,
    ratio_cpu: f64,
    /// With one decoder.
    ratio_cpu_1: f64,
    ratio_wall_1: f64,
    /// With two.
    ratio_wall_2: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: u64,
    #[serde(flatten)]
    plain: Ratios,
    gz: Ratios,
}

fn compare<T>(path: &Path, runs: usize) -> Result<Ratios, Failure>
where
    T: DeserializeOwned + Summed + Data,
{
    let mut columns: [Vec<f64>; 6] = Default::default();
    // The first turn warms up the page cache and the allocator.
    for run in 0..=runs.max(1) {
        let bare = measured(|| read_bare::<T>(path))?;
        let one = measured(|| read_source::<T>(path, 1))?;
        let two = measured(|| read_source::<T>(path, 2))?;
        for ours in [one, two] {
            if (ours.rows, ours.sum) != (bare.rows, bare.sum) {
                return Err(format!("the sides differ: {ours:?}, {bare:?}").into());
            }
        }
        if run == 0 {
            continue;
        }
        let figures = [
            bare.cpu_secs,
            two.cpu_secs,
            bare.cpu_secs / two.cpu_secs,
            bare.cpu_secs / one.cpu_secs,
            bare.wall_secs / one.wall_secs,
            bare.wall_secs / two.wall_secs,
        ];
        for (column, figure) in columns.iter_mut().zip(figures) {
            column.push(figure);
        }
    }
    let [
        bare_cpu_secs,
        ours_cpu_secs,
        ratio_cpu,
        ratio_cpu_1,
        ratio_wall_1,
        ratio_wall_2,
    ] = columns.map(|mut column| median(&mut column));
    Ok(Ratios {
        bare_cpu_secs,
        ours_cpu_secs,
        ratio_cpu,
        ratio_cpu_1,
        ratio_wall_1,
        ratio_wall_2,
    })
}

fn write_files(folder: &Path, cli: &Cli) -> Result<(PathBuf, PathBuf), Failure> {
    let (plain, packed) = (folder.join("rows.csv"), folder.join("rows.csv.gz"));
    write_rows(
        &mut BufWriter::new(File::create(&plain)?),
        cli.shape,
        cli.rows,
    )?;
    let mut encoder = GzEncoder::new(File::create(&packed)?, flate2::Compression::default());
    std::io::copy(&mut File::open(&plain)?, &mut encoder)?;
    encoder.finish()?;
    Ok((plain, packed))
}

fn compare_both<T>(cli: &Cli) -> Result<Report, Failure>
where
    T: DeserializeOwned + Summed + Data,
{
    let folder = tempfile::tempdir()?;
    let (plain, packed) = write_files(folder.path(), cli)?;
    Ok(Report {
        rows: cli.rows,
        plain: compare::<T>(&plain, cli.runs)?,
        gz: compare::<T>(&packed, cli.runs)?,
    })
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    let report = match cli.shape {
        Shape::All | Shape::Quoted => compare_both::<Trip>(&cli)?,
        Shape::Some => compare_both::<Some5>(&cli)?,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
