//! Parts of a job that are measured alone, by criterion and by programs alike.

pub mod chain;
pub mod hop;
