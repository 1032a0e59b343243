//! The rows that the job writes.

use millstream::Timestamp;
use millstream::window::{SessionWindow, TimeWindow, Windowed};
use serde::Serialize;

use super::record::{Code, as_text};

/// Departures of one airport in one hour.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hourly {
    #[serde(serialize_with = "as_text")]
    origin: Code,
    window_start_ms: Timestamp,
    window_end_ms: Timestamp,
    flights: u64,
    mean_delay_min: f64,
    max_delay_min: i64,
    p99_delay_min: f64,
}

impl Hourly {
    /// A row of a result.
    #[expect(clippy::needless_pass_by_value, reason = "a step is given its record")]
    pub(crate) fn of(result: Windowed<Code, TimeWindow, (u64, f64, i64, f64)>) -> Self {
        let (flights, mean, max, p99) = result.value;
        Hourly {
            origin: result.key,
            window_start_ms: result.window.start,
            window_end_ms: result.window.end,
            flights,
            mean_delay_min: mean,
            max_delay_min: max,
            p99_delay_min: p99,
        }
    }
}

/// Departures of one carrier in three hours.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Carrier {
    #[serde(serialize_with = "as_text")]
    carrier: Code,
    window_start_ms: Timestamp,
    window_end_ms: Timestamp,
    flights: u64,
    mean_delay_min: f64,
}

impl Carrier {
    /// A row of a result.
    #[expect(clippy::needless_pass_by_value, reason = "a step is given its record")]
    pub(crate) fn of(result: Windowed<Code, TimeWindow, (u64, f64)>) -> Self {
        Carrier {
            carrier: result.key,
            window_start_ms: result.window.start,
            window_end_ms: result.window.end,
            flights: result.value.0,
            mean_delay_min: result.value.1,
        }
    }
}

/// Flights of one aircraft that follow each other within a day.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Aircraft {
    #[serde(serialize_with = "as_text")]
    tailnum: Code,
    start_ms: Timestamp,
    last_ms: Timestamp,
    flights: u64,
    miles: i128,
}

impl Aircraft {
    /// A row of a result.
    #[expect(clippy::needless_pass_by_value, reason = "a step is given its record")]
    pub(crate) fn of(result: Windowed<Option<Code>, SessionWindow, (u64, i128)>) -> Self {
        Aircraft {
            tailnum: result.key.unwrap_or_default(),
            start_ms: result.window.start,
            last_ms: result.window.last,
            flights: result.value.0,
            miles: result.value.1,
        }
    }
}
