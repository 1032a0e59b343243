//! The same three results from a plain loop: the csv crate, serde, hash maps, one thread, no
//! checkpoints. What is over is written out as the loop goes, so the maps stay small.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use hashbrown::HashMap;
use millstream_benches::time::days_of;
use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use super::Failure;

const HOUR: i64 = 3_600_000;
const SLIDE: i64 = HOUR / 2;
const SPAN: i64 = 3 * HOUR;
const GAP: i64 = 24 * HOUR;
/// How far rows stand ahead of their neighbours at most.
const OUT_OF_ORDER: i64 = 25 * HOUR;
/// How many rows are read between two looks at what is over.
const ROWS_BETWEEN: u64 = 8192;

#[derive(Deserialize)]
struct Row<'a> {
    dep_delay: &'a str,
    carrier: &'a str,
    tailnum: &'a str,
    origin: &'a str,
    distance: i64,
    minute: i64,
    time_hour: &'a str,
}

type Code = [u8; 6];

struct Hour {
    count: u64,
    sum: i64,
    max: i64,
    sketch: DDSketch,
}

#[derive(Default)]
struct ThreeHours {
    count: u64,
    sum: i64,
}

struct Trip {
    start: i64,
    last: i64,
    count: u64,
    miles: i64,
}

#[derive(Serialize)]
struct HourLine<'a> {
    origin: &'a str,
    window_start_ms: i64,
    window_end_ms: i64,
    flights: u64,
    mean_delay_min: f64,
    max_delay_min: i64,
    p99_delay_min: f64,
}

#[derive(Serialize)]
struct CarrierLine<'a> {
    carrier: &'a str,
    window_start_ms: i64,
    window_end_ms: i64,
    flights: u64,
    mean_delay_min: f64,
}

#[derive(Serialize)]
struct TripLine<'a> {
    tailnum: &'a str,
    start_ms: i64,
    last_ms: i64,
    flights: u64,
    miles: i64,
}

struct State {
    hours: HashMap<(i64, Code), Hour>,
    carriers: HashMap<(i64, Code), ThreeHours>,
    trips: HashMap<Code, Vec<Trip>>,
    out: [BufWriter<File>; 3],
}

/// Reads `input` and writes the results into folders of `output`.
pub(crate) fn run(input: &Path, output: &Path) -> Result<(), Failure> {
    let file = |result: &str| -> Result<BufWriter<File>, Failure> {
        let folder = output.join(result);
        std::fs::create_dir_all(&folder)?;
        Ok(BufWriter::with_capacity(
            1 << 16,
            File::create(folder.join("lines.jsonl"))?,
        ))
    };
    let mut state = State {
        hours: HashMap::new(),
        carriers: HashMap::new(),
        trips: HashMap::new(),
        out: [file("hourly")?, file("carriers")?, file("aircraft")?],
    };
    let mut reader = csv::ReaderBuilder::new()
        .buffer_capacity(1 << 18)
        .from_path(input)?;
    let headers = reader.headers()?.clone();
    let mut record = csv::StringRecord::new();
    let mut latest = i64::MIN;
    let mut rows = 0;
    while reader.read_record(&mut record)? {
        let row: Row<'_> = record.deserialize(Some(&headers))?;
        if let Some(time) = state.add(&row) {
            latest = latest.max(time);
        }
        rows += 1;
        if rows % ROWS_BETWEEN == 0 {
            state.write_until(latest.saturating_sub(OUT_OF_ORDER))?;
        }
    }
    state.write_until(i64::MAX)?;
    for out in &mut state.out {
        out.flush()?;
    }
    Ok(())
}

impl State {
    fn add(&mut self, row: &Row<'_>) -> Option<i64> {
        let delay: i64 = row.dep_delay.parse().ok()?;
        let time = utc_ms(row.time_hour)? + (row.minute + delay) * 60_000;
        let (origin, carrier) = (code(row.origin)?, code(row.carrier)?);

        let hour = time - time.rem_euclid(HOUR);
        let hour = self.hours.entry((hour, origin)).or_insert_with(|| Hour {
            count: 0,
            sum: 0,
            max: i64::MIN,
            sketch: DDSketch::new(Config::defaults()),
        });
        hour.count += 1;
        hour.sum += delay;
        hour.max = hour.max.max(delay);
        hour.sketch.add(delay as f64);

        let mut start = time - time.rem_euclid(SLIDE);
        while start > time - SPAN {
            let window = self.carriers.entry((start, carrier)).or_default();
            window.count += 1;
            window.sum += delay;
            start -= SLIDE;
        }

        if !matches!(row.tailnum, "" | "NA") {
            let trips = self.trips.entry(code(row.tailnum)?).or_default();
            add_trip(trips, time, row.distance);
        }
        Some(time)
    }

    /// Writes what no row can belong to any more, in the order of time and key.
    fn write_until(&mut self, time: i64) -> Result<(), Failure> {
        let [hours, carriers, aircraft] = &mut self.out;

        let over = self.hours.extract_if(|(start, _), _| start + HOUR <= time);
        let mut over: Vec<_> = over.collect();
        over.sort_unstable_by_key(|(key, _)| *key);
        for ((start, origin), hour) in over {
            let line = HourLine {
                origin: text(&origin),
                window_start_ms: start,
                window_end_ms: start + HOUR,
                flights: hour.count,
                mean_delay_min: hour.sum as f64 / hour.count as f64,
                max_delay_min: hour.max,
                p99_delay_min: hour.sketch.quantile(0.99)?.unwrap_or(f64::NAN),
            };
            write_line(hours, &line)?;
        }

        let over = self
            .carriers
            .extract_if(|(start, _), _| start + SPAN <= time);
        let mut over: Vec<_> = over.collect();
        over.sort_unstable_by_key(|(key, _)| *key);
        for ((start, carrier), window) in over {
            let line = CarrierLine {
                carrier: text(&carrier),
                window_start_ms: start,
                window_end_ms: start + SPAN,
                flights: window.count,
                mean_delay_min: window.sum as f64 / window.count as f64,
            };
            write_line(carriers, &line)?;
        }

        let mut over = Vec::new();
        for (tailnum, trips) in &mut self.trips {
            let ended = trips.extract_if(.., |trip| trip.last + GAP < time);
            over.extend(ended.map(|trip| (*tailnum, trip)));
        }
        over.sort_unstable_by_key(|(tailnum, trip)| (trip.last, *tailnum));
        for (tailnum, trip) in over {
            let line = TripLine {
                tailnum: text(&tailnum),
                start_ms: trip.start,
                last_ms: trip.last,
                flights: trip.count,
                miles: trip.miles,
            };
            write_line(aircraft, &line)?;
        }
        Ok(())
    }
}

fn add_trip(trips: &mut Vec<Trip>, time: i64, miles: i64) {
    let near = |trip: &Trip| time <= trip.last + GAP && trip.start <= time + GAP;
    if let [only] = trips.as_mut_slice()
        && near(only)
    {
        only.start = only.start.min(time);
        only.last = only.last.max(time);
        only.count += 1;
        only.miles += miles;
        return;
    }
    let mut grown = Trip {
        start: time,
        last: time,
        count: 1,
        miles,
    };
    trips.retain(|trip| {
        if !near(trip) {
            return true;
        }
        grown.start = grown.start.min(trip.start);
        grown.last = grown.last.max(trip.last);
        grown.count += trip.count;
        grown.miles += trip.miles;
        false
    });
    trips.push(grown);
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn code(text: &str) -> Option<Code> {
    let mut code = Code::default();
    code.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(code)
}

fn text(code: &Code) -> &str {
    std::str::from_utf8(code)
        .unwrap_or_default()
        .trim_end_matches('\0')
}

/// Milliseconds since the epoch of a time such as `2013-01-01T10:00:00Z`.
fn utc_ms(text: &str) -> Option<i64> {
    let days = days_of(text.get(..10)?)?;
    let number = |at: usize| text.get(at..at + 2)?.parse::<i64>().ok();
    Some((((days * 24 + number(11)?) * 60 + number(14)?) * 60 + number(17)?) * 1000)
}
