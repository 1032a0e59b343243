//! How bytes come into a Millstream job and go out of it.

pub mod conformance;
pub mod file;
pub mod format;
