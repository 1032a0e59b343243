//! How a plan runs: workers, queues, writers, and the supervisor over them.
//!
//! - [`job`]: the plan and its parts; what `Job` and `Stream` are made of
//! - [`chain`], [`source_root`], [`port_root`], [`processing_time`], [`terminal`]: fused runs of
//!   stateless steps
//! - [`operator_node`], [`inputs`], [`channel`]: operators and the queues between nodes
//! - [`worker`]: one thread, one loop; [`writer`]: the threads beside it
//! - [`supervisor`]: starts, checkpoints and ends a job

mod budget;
pub mod build;
pub mod chain;
pub mod channel;
pub mod control;
pub mod event;
mod failure;
mod feed;
mod fit;
pub mod inputs;
pub mod job;
mod keeper;
mod ledger;
pub mod node;
pub mod operator_node;
pub mod port_root;
pub mod processing_time;
pub mod report;
pub mod source_root;
pub mod split;
pub mod supervisor;
pub mod terminal;
mod topology;
pub mod worker;
pub mod writer;
