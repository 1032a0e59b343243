//! What the runtime and a table agree on, whatever the table holds.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::state::rocks::Store;
use crate::state::run::Run;

/// The name of a table, the version of its values, and where it lives.
#[derive(Clone)]
pub struct TableContext {
    /// The column family: operator id and table name.
    pub column_family: String,
    /// The version that values are stored with.
    pub version: u8,
    /// What stands behind the memory; `None`: nothing, the job keeps no checkpoints.
    pub store: Option<Arc<Store>>,
    /// The key groups of this worker.
    pub groups: Range<u16>,
    /// The namespaces that the checkpoint holds, with about how many rows.
    pub restored: Vec<(i64, u64)>,
    /// Below how many bytes a restored namespace is read back whole, at its first use.
    pub load_whole_bytes: usize,
    /// Below how many bytes the restored namespaces are read back between batches.
    pub warm_bytes: usize,
}

impl TableContext {
    /// A table of the one worker of a job that keeps no checkpoints.
    pub fn in_memory(column_family: &str) -> Self {
        TableContext {
            column_family: column_family.to_owned(),
            version: 1,
            store: None,
            groups: 0..crate::state::key_group::KEY_GROUPS,
            restored: Vec::new(),
            load_whole_bytes: 0,
            warm_bytes: 0,
        }
    }
}

/// What the runtime does with the tables of an operator, whatever they hold.
pub trait StateTable {
    /// The barrier: what is dirty becomes frozen. Copies nothing.
    fn freeze(&mut self);

    /// Hands over frozen rows, at most about `rows` of them. True when none is left.
    ///
    /// # Errors
    /// When a value cannot be serialised.
    fn drain(&mut self, rows: usize) -> Result<bool>;

    /// Takes what was handed over since the last call.
    fn take_runs(&mut self) -> Vec<Run>;

    /// Takes of that what will not grow any more, if it is worth it.
    fn take_full_runs(&mut self) -> Vec<Run>;

    /// What was handed over at the earliest barrier that is not settled yet is part of a
    /// checkpoint now; `written`: and in RocksDB, with all that came before it.
    fn settle(&mut self, written: bool);

    /// Reads back up to `rows` of the restored rows that nobody has asked for yet. True when there
    /// are no more.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    fn warm(&mut self, rows: usize) -> Result<bool>;

    /// Evicts rows until at least `bytes` are freed, or nothing more can be.
    ///
    /// # Errors
    /// When a value cannot be serialised or RocksDB fails.
    fn evict(&mut self, bytes: usize) -> Result<usize>;

    /// The memory that the table takes.
    fn bytes(&self) -> usize;

    /// The column family, the version, and the namespaces with rows as of the last freeze.
    fn inventory(&self) -> Inventory;
}

/// What a table holds, for the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The column family.
    pub column_family: String,
    /// The version of the values.
    pub version: u8,
    /// Namespaces and about how many rows each holds on this worker.
    pub namespaces: Vec<(i64, u64)>,
}
