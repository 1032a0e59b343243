//! The three results of the flights job, computed a second time: read everything, sort, group.
//! Shares no code with the engine.
//!
//! Event time is the actual departure: `time_hour` + `minute` + `dep_delay` minutes, in ms since
//! the epoch. Rows without a `dep_delay` (cancelled flights) are skipped and counted.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole module and uses a part of it"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The longest pause within a session of an aircraft, inclusive.
pub const AIRCRAFT_GAP_MS: i64 = 24 * HOUR_MS;

/// Departures per origin in tumbling windows of one hour.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Hourly {
    /// Airport of departure.
    pub origin: String,
    /// First instant of the window.
    pub window_start_ms: i64,
    /// First instant behind it.
    pub window_end_ms: i64,
    /// How many departed.
    pub flights: u64,
    /// Sum of the delays divided by their number.
    pub mean_delay_min: f64,
    /// The greatest delay.
    pub max_delay_min: i64,
    /// The 99th percentile of the delays: an estimate in the job's results.
    pub p99_delay_min: f64,
}

/// Departures per carrier in windows of three hours, every 30 minutes.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Carrier {
    /// Two-letter code.
    pub carrier: String,
    /// First instant of the window.
    pub window_start_ms: i64,
    /// First instant behind it.
    pub window_end_ms: i64,
    /// How many departed.
    pub flights: u64,
    /// Sum of the delays divided by their number.
    pub mean_delay_min: f64,
}

/// A spell of activity of one aircraft: departures at most [`AIRCRAFT_GAP_MS`] apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Aircraft {
    /// Registration.
    pub tailnum: String,
    /// First departure.
    pub start_ms: i64,
    /// Last departure.
    pub last_ms: i64,
    /// How many departures.
    pub flights: u64,
    /// Sum of the distances.
    pub miles: i64,
}

/// A row of the hourly result with the exact order statistics around its percentile.
#[derive(Clone, Debug, PartialEq)]
pub struct HourlyExpected {
    /// The row; its `p99_delay_min` is `p99_low`.
    pub row: Hourly,
    /// The delay at rank `floor(0.99 * (n - 1))`, counted from 0 in ascending order.
    pub p99_low: i64,
    /// The delay at rank `ceil(0.99 * (n - 1))`.
    pub p99_high: i64,
}

impl HourlyExpected {
    /// Whether a row of the job agrees: equal in everything but the percentile, which is compared
    /// by [`p99_agrees`].
    pub fn agrees(&self, job: &Hourly) -> bool {
        let exact_part = Hourly {
            p99_delay_min: self.row.p99_delay_min,
            ..job.clone()
        };
        exact_part == self.row && p99_agrees(job.p99_delay_min, self.p99_low, self.p99_high)
    }
}

/// Whether an estimate of relative accuracy 1 % can stand for a percentile between two neighbours.
pub fn p99_agrees(engine_value: f64, exact_low: i64, exact_high: i64) -> bool {
    /// For the rounding of logarithms and powers, and for the estimate of 0.
    const EPSILON: f64 = 1e-6;
    let (low, high) = (exact_low as f64, exact_high as f64);
    let least = low - 0.01 * low.abs() - EPSILON;
    let most = high + 0.01 * high.abs() + EPSILON;
    (least..=most).contains(&engine_value)
}

/// Everything that the job has to bring out, each list sorted by its key and then by time.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// By origin and window start.
    pub hourly: Vec<HourlyExpected>,
    /// By carrier and window start.
    pub carriers: Vec<Carrier>,
    /// By tailnum and start.
    pub aircraft: Vec<Aircraft>,
    /// Rows in the file, without the header.
    pub rows: u64,
    /// Rows without a `dep_delay`.
    pub skipped: u64,
    /// Rows with a `dep_delay` but without a `tailnum`: in no session of an aircraft.
    pub without_tailnum: u64,
    /// How far a departure lies behind the latest one above it in the file, at most: the smallest
    /// out-of-orderness bound that makes nothing late.
    pub disorder_ms: i64,
}

#[derive(Deserialize)]
struct Row {
    dep_delay: String,
    carrier: String,
    tailnum: String,
    origin: String,
    distance: i64,
    minute: i64,
    time_hour: String,
}

struct Departure {
    time: i64,
    delay: i64,
    row: Row,
}

/// Computes the results of a gzipped file.
///
/// # Errors
/// The file cannot be read, or a row is not what it should be; with the number of the row.
pub fn expected(path: &Path) -> Result<Expected, Box<dyn Error>> {
    let (departures, skipped) = read(path)?;
    let tailless = |departure: &&Departure| !has_tailnum(departure);
    Ok(Expected {
        hourly: hourly(&departures),
        carriers: carriers(&departures),
        aircraft: aircraft(&departures),
        rows: departures.len() as u64 + skipped,
        skipped,
        without_tailnum: departures.iter().filter(tailless).count() as u64,
        disorder_ms: disorder(&departures),
    })
}

fn read(path: &Path) -> Result<(Vec<Departure>, u64), Box<dyn Error>> {
    let mut departures = Vec::new();
    let mut skipped = 0;
    let mut file = csv::Reader::from_reader(GzDecoder::new(File::open(path)?));
    for (number, row) in file.deserialize().enumerate() {
        let row: Row = row?;
        if row.dep_delay == "NA" {
            skipped += 1;
            continue;
        }
        let delay: i64 = row
            .dep_delay
            .parse()
            .map_err(|_| format!("row {}: dep_delay {}", number + 1, row.dep_delay))?;
        let hour = utc_ms(&row.time_hour)
            .ok_or_else(|| format!("row {}: time_hour {}", number + 1, row.time_hour))?;
        departures.push(Departure {
            time: hour + (row.minute + delay) * MINUTE_MS,
            delay,
            row,
        });
    }
    Ok((departures, skipped))
}

/// `2013-01-01T10:00:00Z` in ms since the epoch; `None` for anything of another form, and for dates
/// before 1970.
pub fn utc_ms(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let date: Vec<i64> = date.split('-').flat_map(str::parse).collect();
    let time: Vec<i64> = time.split(':').flat_map(str::parse).collect();
    let (&[year, month, day], &[hour, minute, second]) = (&date[..], &time[..]) else {
        return None;
    };
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || !(0..24).contains(&hour)
        || !(0..60).contains(&minute)
        || !(0..60).contains(&second)
    {
        return None;
    }
    let years: i64 = (1970..year)
        .map(|year| {
            (1..=12)
                .map(|month| days_in_month(year, month))
                .sum::<i64>()
        })
        .sum();
    let months: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
    let days = years + months + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The starts of all windows that contain `time`, by trying every multiple of `slide` around it.
fn starts(time: i64, size: i64, slide: i64) -> Vec<i64> {
    let nearest = time / slide;
    let reach = size / slide + 1;
    (nearest - reach..=nearest + reach)
        .map(|multiple| multiple * slide)
        .filter(|start| *start <= time && time < start + size)
        .collect()
}

/// The delays of each key and window start, sorted.
fn delays<'a>(
    departures: &'a [Departure],
    key: impl Fn(&'a Row) -> &'a str,
    size: i64,
    slide: i64,
) -> BTreeMap<(&'a str, i64), Vec<i64>> {
    let mut windows: BTreeMap<(&str, i64), Vec<i64>> = BTreeMap::new();
    for departure in departures {
        for start in starts(departure.time, size, slide) {
            let window = windows.entry((key(&departure.row), start)).or_default();
            window.push(departure.delay);
        }
    }
    windows
        .values_mut()
        .for_each(|delays| delays.sort_unstable());
    windows
}

fn mean(values: &[i64]) -> f64 {
    values.iter().sum::<i64>() as f64 / values.len() as f64
}

fn hourly(departures: &[Departure]) -> Vec<HourlyExpected> {
    delays(departures, |row| &row.origin, HOUR_MS, HOUR_MS)
        .into_iter()
        .map(|((origin, start), delays)| {
            let (p99_low, p99_high) = neighbours(&delays);
            HourlyExpected {
                row: Hourly {
                    origin: origin.to_owned(),
                    window_start_ms: start,
                    window_end_ms: start + HOUR_MS,
                    flights: delays.len() as u64,
                    mean_delay_min: mean(&delays),
                    max_delay_min: delays[delays.len() - 1],
                    p99_delay_min: p99_low as f64,
                },
                p99_low,
                p99_high,
            }
        })
        .collect()
}

/// The values below and above rank `0.99 * (n - 1)`, in whole numbers so that nothing is rounded.
fn neighbours(sorted: &[i64]) -> (i64, i64) {
    let hundredths = 99 * (sorted.len() - 1);
    (sorted[hundredths / 100], sorted[hundredths.div_ceil(100)])
}

fn carriers(departures: &[Departure]) -> Vec<Carrier> {
    let size = 3 * HOUR_MS;
    delays(departures, |row| &row.carrier, size, 30 * MINUTE_MS)
        .into_iter()
        .map(|((carrier, start), delays)| Carrier {
            carrier: carrier.to_owned(),
            window_start_ms: start,
            window_end_ms: start + size,
            flights: delays.len() as u64,
            mean_delay_min: mean(&delays),
        })
        .collect()
}

fn has_tailnum(departure: &Departure) -> bool {
    !matches!(departure.row.tailnum.as_str(), "" | "NA")
}

fn aircraft(departures: &[Departure]) -> Vec<Aircraft> {
    let mut sorted: Vec<&Departure> = departures.iter().filter(|d| has_tailnum(d)).collect();
    sorted.sort_by_key(|departure| (&departure.row.tailnum, departure.time));
    let mut sessions: Vec<Aircraft> = Vec::new();
    for departure in sorted {
        let Row {
            tailnum, distance, ..
        } = &departure.row;
        match sessions.last_mut() {
            Some(open)
                if open.tailnum == *tailnum && departure.time - open.last_ms <= AIRCRAFT_GAP_MS =>
            {
                open.last_ms = departure.time;
                open.flights += 1;
                open.miles += distance;
            }
            _ => sessions.push(Aircraft {
                tailnum: tailnum.clone(),
                start_ms: departure.time,
                last_ms: departure.time,
                flights: 1,
                miles: *distance,
            }),
        }
    }
    sessions
}

fn disorder(departures: &[Departure]) -> i64 {
    let mut highest = i64::MIN;
    let mut disorder = 0;
    for departure in departures {
        highest = highest.max(departure.time);
        disorder = disorder.max(highest - departure.time);
    }
    disorder
}
