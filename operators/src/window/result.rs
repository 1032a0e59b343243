//! What windows give: results with their bounds, their pane, and late records.

use millstream_engine::data::Timestamp;
use serde::{Deserialize, Serialize};

/// The result of one key's window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Windowed<K, W, R> {
    /// The key.
    pub key: K,
    /// The window's bounds.
    pub window: W,
    /// Which of the window's results it is.
    pub pane: Pane,
    /// Whether it is new, or takes back one that was given before.
    pub change: Change,
    /// The result.
    pub value: R,
}

/// Which of the results of one key's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pane {
    /// When it came, seen from the window's end.
    pub timing: Timing,
    /// How many results of this key's window came before.
    pub number: u32,
}

/// When a result comes, seen from the window's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Timing {
    /// Before it, because the user asked for it.
    Early,
    /// When the watermark passed it.
    OnTime,
    /// After it, because of a record that came late but within the allowed lateness.
    Late,
}

/// Whether a result is new or takes one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// New. A later pane of the same window replaces an earlier one.
    Insert,
    /// Takes back the result with these bounds, this pane and this value: its session has
    /// changed its bounds (rule W5).
    Retract,
}

/// The bounds of a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    /// Its first instant.
    pub start: Timestamp,
    /// Its first instant no more.
    pub end: Timestamp,
}

/// The bounds of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionWindow {
    /// The time of its first record.
    pub start: Timestamp,
    /// The time of its last record.
    pub last: Timestamp,
    /// Its first instant no more: the last record's time, plus the gap, plus 1 (rule W4).
    pub end: Timestamp,
}

/// What is in a window that is cut by a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CountWindow {
    /// How many windows of this key came before.
    pub number: u64,
    /// How many records are in it.
    pub records: u64,
    /// The least event time in it.
    pub start: Timestamp,
    /// The greatest event time in it.
    pub last: Timestamp,
}

/// A record that came too late for every window it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Late<K, T> {
    /// Its key.
    pub key: K,
    /// Its event time.
    pub time: Timestamp,
    /// The record.
    pub record: T,
}

/// What of a record travels to a window.
#[derive(Clone, Debug)]
pub struct WindowInput<I, T> {
    /// What the accumulator needs.
    pub input: I,
    /// How many records it was combined from.
    pub records: u32,
    /// The record, if somebody reads the late ones.
    pub whole: Option<Box<T>>,
}
