//! The graph of a job: sources, operators, sinks and the edges between them.

pub mod operator;
pub mod plan;
pub mod sink;
pub mod source;
