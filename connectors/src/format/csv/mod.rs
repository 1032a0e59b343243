//! Rows of comma separated values: [`rows`] cuts bytes into rows and cells, [`record`] makes
//! records of them. [`cut`] guesses where rows end, and [`batch`] makes records of what stands
//! between two such places, so that several threads can decode one file.

pub mod batch;
mod cell;
pub mod cut;
pub mod fault;
pub mod record;
pub mod rows;
mod unknown;

/// The greatest row, in bytes of input with its line end: what is longer is a bad row. It bounds
/// what a quote that is never closed can swallow into memory.
pub const MAX_ROW_BYTES: u64 = 1 << 20;
