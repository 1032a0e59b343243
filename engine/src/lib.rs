//! How a Millstream job runs.

pub mod data;
pub mod error;
pub mod graph;
pub mod state;
pub mod testing;
pub mod time;
