//! What a Millstream user writes with.

pub mod accumulator;
pub mod job;
pub mod keyed;
pub mod stream;
