//! A row of the file, and what of it the job needs.

use millstream::Timestamp;
use serde::{Deserialize, Serialize};

/// A short code, kept in place: an airport, a carrier, a tail number.
pub(crate) type Code = [u8; 6];

/// The columns of the file that the job reads.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    dep_delay: String,
    carrier: String,
    tailnum: String,
    origin: String,
    distance: i64,
    minute: i64,
    time_hour: String,
}

impl Row {
    /// Event time: the scheduled departure plus the delay. A cancelled flight has none.
    pub(crate) fn departed_ms(&self) -> Option<Timestamp> {
        let delay_min: i64 = self.dep_delay.parse().ok()?;
        Some(utc_ms(&self.time_hour)? + (self.minute + delay_min) * 60_000)
    }
}

/// A flight that left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Departure {
    /// Airport.
    pub(crate) origin: Code,
    /// Carrier.
    pub(crate) carrier: Code,
    /// The aircraft, if it is known.
    pub(crate) tailnum: Option<Code>,
    /// How late it left, in minutes.
    pub(crate) delay_min: i64,
    /// How far it goes, in miles.
    pub(crate) distance: i64,
}

impl Departure {
    /// A row that has a delay.
    pub(crate) fn of(row: Row) -> Option<Departure> {
        Some(Departure {
            origin: code(&row.origin)?,
            carrier: code(&row.carrier)?,
            tailnum: match row.tailnum.as_str() {
                "" | "NA" => None,
                tailnum => Some(code(tailnum)?),
            },
            delay_min: row.dep_delay.parse().ok()?,
            distance: row.distance,
        })
    }
}

fn code(text: &str) -> Option<Code> {
    let mut code = Code::default();
    code.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(code)
}

/// A code as text.
pub(crate) fn text(code: Code) -> String {
    String::from_utf8_lossy(&code)
        .trim_end_matches('\0')
        .to_owned()
}

/// Milliseconds since the epoch of a time such as `2013-01-01T10:00:00Z`.
fn utc_ms(text: &str) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    if text.len() != 20 || !text.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days since 1970-01-01 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}
