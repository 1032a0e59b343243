//! What one checkpoint says: positions, watermarks, state files, prepared output. Its rename is
//! the commit point.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::envelope;
use crate::error::Result;
use crate::state::codec;

const MAGIC: [u8; 8] = *b"MILLMANI";

/// One checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The job's name.
    pub job: String,
    /// The epoch that ends with it.
    pub epoch: u64,
    /// The input has ended: nothing follows.
    pub finished: bool,
    /// How many key groups keys are dealt into.
    pub key_groups: u16,
    /// By source id.
    pub sources: BTreeMap<String, SourceEntry>,
    /// By operator id.
    pub operators: BTreeMap<String, OperatorEntry>,
    /// By sink id.
    pub sinks: BTreeMap<String, SinkEntry>,
    /// Where the state's files are.
    pub state: StateEntry,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: i64,
}

/// A source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// By split name.
    pub splits: BTreeMap<String, SplitEntry>,
    /// Totals since the job's first start.
    pub counters: BTreeMap<String, u64>,
}

/// How far a split is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitEntry {
    /// The reader's position, as it encodes it.
    pub position: Option<Vec<u8>>,
    /// Records handed on or skipped since its beginning.
    pub records: u64,
    /// Its watermark; `None`: none yet.
    pub watermark: Option<i64>,
    /// The highest event time seen.
    pub max_time: Option<i64>,
    /// It has ended.
    pub finished: bool,
}

/// An operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// What kind of operator it is.
    pub kind: String,
    /// The version of its layout.
    pub version: u32,
    /// Its watermark; `None`: none yet.
    pub watermark: Option<i64>,
    /// By table name.
    pub tables: BTreeMap<String, TableEntry>,
    /// Totals since the job's first start.
    pub counters: BTreeMap<String, u64>,
}

/// A table of an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its column family in the state store.
    pub column_family: String,
    /// The version of its values.
    pub version: u32,
    /// Its namespaces.
    pub namespaces: Vec<NamespaceEntry>,
}

/// A namespace of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamespaceEntry {
    /// The namespace.
    pub namespace: i64,
    /// About how many rows it holds.
    pub rows: u64,
}

/// A sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkEntry {
    /// What its writers have prepared, by writer, as they encode it.
    pub pending: Vec<Vec<u8>>,
    /// Totals since the job's first start.
    pub counters: BTreeMap<String, u64>,
}

/// The files of the state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Their directory within the checkpoint directory.
    pub directory: String,
    /// Those of RocksDB, by name.
    pub files: Vec<FileEntry>,
    /// What has changed since RocksDB was saved, the oldest first.
    pub changes: Vec<FileEntry>,
}

/// A file of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The checksum of its content.
    pub crc32: u32,
}

impl Manifest {
    /// Its bytes, in their envelope.
    ///
    /// # Errors
    /// Never for a manifest that fits into memory.
    pub fn encode(&self) -> Result<Vec<u8>> {
        Ok(envelope::seal(MAGIC, &codec::encode(self)?))
    }

    /// Reads a manifest back.
    ///
    /// # Errors
    /// When it is damaged or of another format version: what was expected, what was found.
    pub fn decode(bytes: &[u8]) -> Result<Manifest> {
        codec::decode(envelope::open(MAGIC, bytes)?)
    }
}
