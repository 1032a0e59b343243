//! How a Millstream job runs.

pub mod checkpoint;
pub mod data;
pub mod error;
pub mod graph;
pub mod id;
pub mod runtime;
pub mod settings;
pub mod state;
pub mod testing;
pub mod time;
