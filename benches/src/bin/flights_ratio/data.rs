//! The input: a month of flights over and over, each time 31 days later.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use millstream_benches::time::{days_of, days_to_text};

use super::Failure;

const DAYS: i64 = 31;

/// Writes `rows` rows to `to`. Returns how many there are.
pub(crate) fn repeat(month: &Path, to: &Path, rows: u64) -> Result<u64, Failure> {
    let file = File::open(month).map_err(|e| {
        format!(
            "{}: {e}; run from the root of the repository",
            month.display()
        )
    })?;
    let mut lines = BufReader::new(GzDecoder::new(file)).lines();
    let header = lines.next().ok_or("the month is empty")??;
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    let mut out = BufWriter::new(File::create(to)?);
    writeln!(out, "{header}")?;
    let mut written = 0;
    for repetition in 0.. {
        for line in &lines {
            if written == rows {
                out.flush()?;
                return Ok(written);
            }
            // The last column is the scheduled hour, such as 2013-01-01T10:00:00Z.
            let (others, hour) = line.rsplit_once(',').ok_or("a row without columns")?;
            let (day, time) = hour.split_once('T').ok_or("a row without an hour")?;
            let day = days_of(day).ok_or("an hour without a date")? + repetition * DAYS;
            writeln!(out, "{others},{}T{time}", days_to_text(day))?;
            written += 1;
        }
        if lines.is_empty() {
            return Err("the month has no rows".into());
        }
    }
    Ok(written)
}
