//! The rows that the job writes.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a step takes its records by value"
)]

use millstream::Timestamp;
use millstream::window::{CountWindow, SessionWindow, TimeWindow, Windowed};
use serde::Serialize;

/// A window that is cut by time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ByTime {
    key: u32,
    start_ms: Timestamp,
    end_ms: Timestamp,
    count: u64,
    sum: i128,
    max: i64,
}

impl ByTime {
    /// A row of a result.
    pub(crate) fn of(result: Windowed<u32, TimeWindow, (u64, i128, i64)>) -> Self {
        ByTime {
            key: result.key,
            start_ms: result.window.start,
            end_ms: result.window.end,
            count: result.value.0,
            sum: result.value.1,
            max: result.value.2,
        }
    }
}

/// A session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Visit {
    user: u32,
    start_ms: Timestamp,
    last_ms: Timestamp,
    end_ms: Timestamp,
    count: u64,
    sum: i128,
}

impl Visit {
    /// A row of a result.
    pub(crate) fn of(result: Windowed<u32, SessionWindow, (u64, i128)>) -> Self {
        Visit {
            user: result.key,
            start_ms: result.window.start,
            last_ms: result.window.last,
            end_ms: result.window.end,
            count: result.value.0,
            sum: result.value.1,
        }
    }
}

/// A window that is cut by a count.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ByCount {
    split: u32,
    key: u32,
    number: u64,
    records: u64,
    start_ms: Timestamp,
    last_ms: Timestamp,
    sum: i128,
}

impl ByCount {
    /// A row of a result.
    pub(crate) fn of(result: Windowed<(u32, u32), CountWindow, i128>) -> Self {
        ByCount {
            split: result.key.0,
            key: result.key.1,
            number: result.window.number,
            records: result.window.records,
            start_ms: result.window.start,
            last_ms: result.window.last,
            sum: result.value,
        }
    }
}

/// A running aggregate, as of one record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SoFar {
    split: u32,
    key: u32,
    count: u64,
    sum: i128,
}

impl SoFar {
    /// A row of a result.
    pub(crate) fn of(((split, key), (count, sum)): ((u32, u32), (u64, i128))) -> Self {
        SoFar {
            split,
            key,
            count,
            sum,
        }
    }
}
