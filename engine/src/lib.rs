//! How a Millstream job runs: the engine. It names no operator and no connector.
//!
//! A module uses only what stands to its left:
//! `error, id, data -> time -> state -> graph -> checkpoint -> runtime -> testing`.
//!
//! - [`error`], [`id`], [`data`]: errors by what the caller must do; ids; records and batches
//! - [`time`]: the clock, the only reader of the wall clock
//! - [`state`]: keyed tables in memory, written behind into RocksDB
//! - [`graph`]: what a source, an operator and a sink are; the plan of a job
//! - [`checkpoint`]: exactly once: the commit protocol on one page
//! - [`runtime`]: workers, queues, fused chains, writers, the supervisor
//! - [`testing`]: one operator driven by hand
//! - [`settings`]: the knobs
//!
//! What it does not do: it knows no window and no file format, it draws no random numbers, and
//! nothing in it but connectors waits.

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
