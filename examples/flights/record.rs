//! A row of the file, and what of it the job needs.

use millstream::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A short code, kept in place: an airport, a carrier, a tail number.
pub(crate) type Code = [u8; 6];

/// The columns of the file that the job reads.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Row {
    /// In minutes. A cancelled flight has none.
    #[serde(deserialize_with = "delay")]
    dep_delay: Option<i64>,
    #[serde(deserialize_with = "code")]
    carrier: Code,
    #[serde(deserialize_with = "code_if_known")]
    tailnum: Option<Code>,
    #[serde(deserialize_with = "code")]
    origin: Code,
    distance: i64,
    minute: i64,
    /// The hour of the scheduled departure.
    #[serde(deserialize_with = "utc")]
    time_hour: Timestamp,
}

impl Row {
    /// Event time: the scheduled departure plus the delay. A cancelled flight has none.
    pub(crate) fn departed_ms(&self) -> Option<Timestamp> {
        Some(self.time_hour + (self.minute + self.dep_delay?) * 60_000)
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
            origin: row.origin,
            carrier: row.carrier,
            tailnum: row.tailnum,
            delay_min: row.dep_delay?,
            distance: row.distance,
        })
    }
}

/// The text of a cell, if it is known.
fn known<'de, D: Deserializer<'de>>(cell: D) -> Result<Option<&'de str>, D::Error> {
    let text = <&str>::deserialize(cell)?;
    Ok((!matches!(text, "" | "NA")).then_some(text))
}

fn delay<'de, D: Deserializer<'de>>(cell: D) -> Result<Option<i64>, D::Error> {
    let minutes = known(cell)?.map(str::parse).transpose();
    minutes.map_err(D::Error::custom)
}

fn code_if_known<'de, D: Deserializer<'de>>(cell: D) -> Result<Option<Code>, D::Error> {
    known(cell)?.map(code_of).transpose()
}

fn code<'de, D: Deserializer<'de>>(cell: D) -> Result<Code, D::Error> {
    code_of(<&str>::deserialize(cell)?)
}

fn utc<'de, D: Deserializer<'de>>(cell: D) -> Result<Timestamp, D::Error> {
    let text = <&str>::deserialize(cell)?;
    utc_ms(text).ok_or_else(|| D::Error::custom("not a time such as 2013-01-01T10:00:00Z"))
}

fn code_of<E: serde::de::Error>(text: &str) -> Result<Code, E> {
    let mut code = Code::default();
    match code.get_mut(..text.len()) {
        Some(place) => place.copy_from_slice(text.as_bytes()),
        None => return Err(E::custom("a code has at most 6 characters")),
    }
    Ok(code)
}

/// Writes a code as text.
pub(crate) fn as_text<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    let text = std::str::from_utf8(code).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(text.trim_end_matches('\0'))
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
