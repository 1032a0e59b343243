//! The recomputation of the flights job held against figures that a script in another language
//! worked out of the same file, and against a file small enough to do by hand.

#![expect(clippy::expect_used, reason = "helpers of tests may panic")]

mod flights_oracle;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use flights_oracle::{
    Aircraft, Carrier, Expected, Hourly, HourlyExpected, expected, p99_agrees, utc_ms,
};

fn january() -> Expected {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights-2013-01.csv.gz");
    expected(&data).expect("the data of the examples")
}

#[test]
fn every_row_is_counted() {
    let january = january();
    assert_eq!((january.rows, january.skipped), (27_004, 521));
    assert_eq!(january.without_tailnum, 0);
    assert_eq!(january.disorder_ms, 24 * 3_600_000);

    let hourly: u64 = january.hourly.iter().map(|hour| hour.row.flights).sum();
    assert_eq!((january.hourly.len(), hourly), (1_763, 26_483));
    let carriers: u64 = january.carriers.iter().map(|window| window.flights).sum();
    assert_eq!((january.carriers.len(), carriers), (13_864, 6 * 26_483));
    let aircraft: u64 = january.aircraft.iter().map(|spell| spell.flights).sum();
    assert_eq!((january.aircraft.len(), aircraft), (13_867, 26_483));
    let miles: i64 = january.aircraft.iter().map(|spell| spell.miles).sum();
    assert_eq!(miles, 26_859_611);
}

#[test]
fn results_are_sorted() {
    let january = january();
    let rows: Vec<&Hourly> = january.hourly.iter().map(|hour| &hour.row).collect();
    assert!(rows.is_sorted());
    assert!(january.carriers.is_sorted());
    assert!(january.aircraft.is_sorted());
}

#[test]
fn hours_of_january() {
    let january = january();
    let hour = |origin: &str, start: i64| -> &HourlyExpected {
        let mut hours = january.hourly.iter();
        let found =
            hours.find(|hour| hour.row.origin == origin && hour.row.window_start_ms == start);
        found.expect("an hour with departures")
    };
    assert_eq!(january.hourly[0].row.window_start_ms, 1_357_034_400_000);

    let first = hour("EWR", 1_357_034_400_000);
    assert_eq!(first.row.window_end_ms, 1_357_038_000_000);
    assert_eq!((first.row.flights, first.row.max_delay_min), (5, 2));
    assert_eq!(first.row.mean_delay_min, -2.0);

    let busiest = hour("JFK", 1_359_666_000_000);
    assert_eq!((busiest.row.flights, busiest.row.max_delay_min), (34, 117));
    assert_eq!(busiest.row.mean_delay_min, 348.0 / 34.0);
    assert_eq!((busiest.p99_low, busiest.p99_high), (58, 117));

    let worst = hour("JFK", 1_357_815_600_000);
    assert_eq!((worst.row.flights, worst.row.max_delay_min), (15, 1301));
    assert_eq!(worst.row.mean_delay_min, 1279.0 / 15.0);
    assert_eq!((worst.p99_low, worst.p99_high), (8, 1301));
}

#[test]
fn carriers_and_aircraft_of_january() {
    let january = january();
    let busiest = Carrier {
        carrier: "UA".to_owned(),
        window_start_ms: 1_359_372_600_000,
        window_end_ms: 1_359_372_600_000 + 3 * 3_600_000,
        flights: 46,
        mean_delay_min: 279.0 / 46.0,
    };
    assert!(january.carriers.contains(&busiest));
    let most = january.carriers.iter().map(|window| window.flights).max();
    assert_eq!(most, Some(46));

    let longest = Aircraft {
        tailnum: "N713MQ".to_owned(),
        start_ms: 1_357_078_740_000,
        last_ms: 1_359_224_400_000,
        flights: 58,
        miles: 29_254,
    };
    assert!(january.aircraft.contains(&longest));
    let most = january.aircraft.iter().map(|spell| spell.flights).max();
    assert_eq!(most, Some(58));
}

fn write_csv(dir: &Path, rows: &[&str]) -> PathBuf {
    let path = dir.join("flights.csv.gz");
    let file = File::create(&path).expect("a new file");
    let mut gzip = GzEncoder::new(file, Compression::fast());
    writeln!(
        gzip,
        "dep_delay,carrier,tailnum,origin,distance,minute,time_hour"
    )
    .expect("write");
    for row in rows {
        writeln!(gzip, "{row}").expect("write");
    }
    gzip.finish().expect("finish");
    path
}

/// 2013-01-01T00:00:00Z.
const NEW_YEAR_MS: i64 = 1_356_998_400_000;
const MINUTE_MS: i64 = 60_000;

#[test]
fn a_file_done_by_hand() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = write_csv(
        dir.path(),
        &[
            "10,AA,N1,EWR,100,5,2013-01-01T10:00:00Z",  // 10:15
            "-5,AA,N1,EWR,200,0,2013-01-01T10:00:00Z",  // 09:55, behind the first
            "NA,AA,N1,EWR,400,0,2013-01-01T10:00:00Z",  // cancelled
            "15,BB,,EWR,800,0,2013-01-01T10:00:00Z",    // 10:15
            "0,BB,NA,JFK,1600,0,2013-01-01T11:00:00Z",  // 11:00
            "0,AA,N1,EWR,3200,15,2013-01-02T10:00:00Z", // a day after the first: the same spell
            "1,AA,N1,EWR,6400,15,2013-01-03T10:00:00Z", // a day and a minute: the next one
        ],
    );
    let computed = expected(&path).expect("well-formed rows");

    assert_eq!(
        (computed.rows, computed.skipped, computed.without_tailnum),
        (7, 1, 2)
    );
    assert_eq!(computed.disorder_ms, 20 * MINUTE_MS);

    let hours: Vec<(&str, i64, u64, f64, i64, i64, i64)> = computed
        .hourly
        .iter()
        .map(|hour| {
            let row = &hour.row;
            let start = (row.window_start_ms - NEW_YEAR_MS) / (60 * MINUTE_MS);
            let (low, high) = (hour.p99_low, hour.p99_high);
            let (mean, max) = (row.mean_delay_min, row.max_delay_min);
            (
                row.origin.as_str(),
                start,
                row.flights,
                mean,
                max,
                low,
                high,
            )
        })
        .collect();
    assert_eq!(
        hours,
        [
            ("EWR", 9, 1, -5.0, -5, -5, -5),
            ("EWR", 10, 2, 12.5, 15, 10, 15),
            ("EWR", 34, 1, 0.0, 0, 0, 0),
            ("EWR", 58, 1, 1.0, 1, 1, 1),
            ("JFK", 11, 1, 0.0, 0, 0, 0),
        ]
    );

    // BB departs at 10:15 and 11:00: windows that start from 07:30 to 11:00.
    let carriers: Vec<(i64, u64, f64)> = computed
        .carriers
        .iter()
        .filter(|window| window.carrier == "BB")
        .map(|window| {
            let start = (window.window_start_ms - NEW_YEAR_MS) / MINUTE_MS;
            (start, window.flights, window.mean_delay_min)
        })
        .collect();
    assert_eq!(
        carriers,
        [
            (450, 1, 15.0),
            (480, 1, 15.0),
            (510, 2, 7.5),
            (540, 2, 7.5),
            (570, 2, 7.5),
            (600, 2, 7.5),
            (630, 1, 0.0),
            (660, 1, 0.0),
        ]
    );

    let spell = |start: i64, last: i64, flights, miles| Aircraft {
        tailnum: "N1".to_owned(),
        start_ms: NEW_YEAR_MS + start * MINUTE_MS,
        last_ms: NEW_YEAR_MS + last * MINUTE_MS,
        flights,
        miles,
    };
    assert_eq!(
        computed.aircraft,
        [
            spell(595, 615 + 1440, 3, 3500),
            spell(615 + 2881, 615 + 2881, 1, 6400)
        ]
    );
}

#[test]
fn a_broken_row_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let good = "10,AA,N1,EWR,100,5,2013-01-01T10:00:00Z";
    let cases = [
        (
            "x,AA,N1,EWR,100,5,2013-01-01T10:00:00Z",
            "row 2: dep_delay x",
        ),
        (
            "1,AA,N1,EWR,100,5,2013-02-30T10:00:00Z",
            "row 2: time_hour 2013-02-30",
        ),
        ("1,AA,N1,EWR,NA,5,2013-01-01T10:00:00Z", "line: 3"),
    ];
    for (bad, message) in cases {
        let path = write_csv(dir.path(), &[good, bad]);
        let error = expected(&path).expect_err(bad).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn utc_of_dates() {
    let cases = [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1970-01-02T00:00:01Z", Some(86_401_000)),
        ("2000-02-29T23:59:59Z", Some(951_868_799_000)),
        ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
        ("2013-01-01T00:00:00Z", Some(NEW_YEAR_MS)),
        ("2013-02-01T04:00:00Z", Some(1_359_691_200_000)),
        ("2100-03-01T00:00:00Z", Some(4_107_542_400_000)),
        ("2013-02-29T00:00:00Z", None),
        ("2013-13-01T00:00:00Z", None),
        ("2013-01-01T24:00:00Z", None),
        ("2013-01-01T10:00:00", None),
        ("2013-01-01 10:00:00Z", None),
        ("2013-01-xxT10:00:00Z", None),
        ("NA", None),
    ];
    for (text, ms) in cases {
        assert_eq!(utc_ms(text), ms, "{text}");
    }
}

#[test]
fn p99_tolerance() {
    let cases = [
        (100.0, 100, 100, true),
        (101.0, 100, 100, true),
        (99.0, 100, 100, true),
        (101.1, 100, 100, false),
        (98.9, 100, 100, false),
        (57.42, 58, 117, true),
        (118.17, 58, 117, true),
        (57.4, 58, 117, false),
        (118.2, 58, 117, false),
        (-10.1, -10, -10, true),
        (-9.9, -10, -10, true),
        (-10.2, -10, -10, false),
        (-9.8, -10, -10, false),
        (0.0, 0, 0, true),
        (1e-9, 0, 0, true),
        (0.01, 0, 0, false),
        (f64::NAN, 0, 0, false),
    ];
    for (value, low, high, agrees) in cases {
        assert_eq!(
            p99_agrees(value, low, high),
            agrees,
            "{value} of {low}..{high}"
        );
    }
}

#[test]
fn rows_agree_up_to_the_percentile() {
    let january = january();
    let worst = january
        .hourly
        .iter()
        .max_by_key(|hour| hour.row.max_delay_min);
    let worst = worst.expect("hours");
    let job = Hourly {
        p99_delay_min: 8.05,
        ..worst.row.clone()
    };
    assert!(worst.agrees(&job));
    let estimates_too_low = Hourly {
        p99_delay_min: 7.0,
        ..job.clone()
    };
    assert!(!worst.agrees(&estimates_too_low));
    let one_flight_more = Hourly {
        flights: job.flights + 1,
        ..job.clone()
    };
    assert!(!worst.agrees(&one_flight_more));
    let another_mean = Hourly {
        mean_delay_min: job.mean_delay_min.next_up(),
        ..job
    };
    assert!(!worst.agrees(&another_mean));
}
