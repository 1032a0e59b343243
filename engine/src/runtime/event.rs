//! What workers, writers and the store report to the supervisor: one closed list.

use crate::checkpoint::manifest::StateEntry;
use crate::data::{Origin, Timestamp};
use crate::error::Error;
use crate::graph::plan::{EdgeId, NodeId};
use crate::runtime::chain::SourceSnapshot;
use crate::state::run::Run;
use crate::state::table::Inventory;

/// A report to the supervisor.
#[derive(Debug)]
pub enum Event {
    /// Every node of a worker has passed a barrier.
    Barrier {
        /// The worker.
        worker: usize,
        /// The epoch.
        epoch: u64,
        /// What the nodes found.
        nodes: Vec<NodeSnapshot>,
    },
    /// The state of a worker as of a barrier has been handed over.
    Flushed {
        /// The worker.
        worker: usize,
        /// The epoch.
        epoch: u64,
        /// The state.
        runs: Vec<Run>,
    },
    /// The sources of a worker have ended and all their records are on their way.
    Exhausted {
        /// The worker.
        worker: usize,
    },
    /// A writer has made an epoch durable.
    Prepared {
        /// The sink's number.
        sink: usize,
        /// The writer's number.
        writer: usize,
        /// The epoch.
        epoch: u64,
        /// What its commit needs.
        pending: Vec<u8>,
    },
    /// A writer has made an epoch visible.
    SinkCommitted {
        /// The sink's number.
        sink: usize,
        /// The writer's number.
        writer: usize,
        /// The epoch.
        epoch: u64,
    },
    /// A part of a worker's state as of the barrier, ahead of the rest.
    HandedOver {
        /// What is to be written.
        runs: Vec<Run>,
        /// The memory that it takes.
        bytes: usize,
    },
    /// The state of an epoch is saved, but not committed.
    StateSealed {
        /// The epoch.
        epoch: u64,
        /// Its files.
        state: StateEntry,
    },
    /// The manifest of an epoch is durable: the epoch is committed.
    Committed {
        /// The epoch.
        epoch: u64,
    },
    /// Earlier epochs are removed.
    CollectedGarbage {
        /// The epoch before which all is removed.
        epoch: u64,
    },
    /// The job cannot go on.
    Failed(Box<Failure>),
    /// A worker has ended.
    Ended {
        /// The worker.
        worker: usize,
    },
}

/// Why a job cannot go on.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// The record that was being handled, as far as it came from a source.
    pub record: Option<(Origin, u32)>,
}

/// What a node found at a barrier.
#[derive(Debug, Default)]
pub struct NodeSnapshot {
    /// Which node.
    pub node: NodeId,
    /// Positions, if it reads a source.
    pub source: Option<SourceSnapshot>,
    /// State, if it is an operator.
    pub operator: Option<OperatorSnapshot>,
    /// How many records it has put into an exchange since the start of the process.
    pub sent: Option<(EdgeId, u64)>,
    /// How many records it has handed to which sink since the start of the process.
    pub written: Option<(usize, u64)>,
}

/// What an operator holds at a barrier.
#[derive(Debug)]
pub struct OperatorSnapshot {
    /// Its watermark.
    pub watermark: Timestamp,
    /// Its tables.
    pub tables: Vec<Inventory>,
    /// What it has counted since the start of the process.
    pub counters: Vec<(&'static str, u64)>,
    /// How many records it has taken out of an exchange since the start of the process.
    pub received: (EdgeId, u64),
}
