//! Bytes to records and back, without any IO.

pub mod csv;
pub mod line;
