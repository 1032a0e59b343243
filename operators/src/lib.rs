//! What a Millstream user writes with.

pub mod accumulator;
pub mod job;
pub mod keyed;
mod running;
pub mod stream;
pub mod window;
