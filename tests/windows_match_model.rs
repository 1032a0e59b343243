//! Holds the engine against the reference model: random input through whole jobs, whose results,
//! late records and counters have to be those that `docs/time-and-windows.md` prescribes.
//!
//! Tests carry the number of the rule that they are about.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "a test that cannot go on has failed; strategies have long types"
)]

#[path = "windows_match_model/harness.rs"]
mod harness;
mod model;

#[path = "windows_match_model/arrival.rs"]
mod arrival;
#[path = "windows_match_model/graphs.rs"]
mod graphs;
#[path = "windows_match_model/interleavings.rs"]
mod interleavings;
#[path = "windows_match_model/lateness.rs"]
mod lateness;
#[path = "windows_match_model/restarts.rs"]
mod restarts;
#[path = "windows_match_model/time_windows.rs"]
mod time_windows;
