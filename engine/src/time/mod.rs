//! Time: the clock and watermarks.

pub mod clock;
