//! Stub.
#![allow(missing_docs)]
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub job: String,
    pub epoch: u64,
    pub finished: bool,
    pub key_groups: u16,
    pub sources: BTreeMap<String, SourceEntry>,
    pub operators: BTreeMap<String, OperatorEntry>,
    pub sinks: BTreeMap<String, SinkEntry>,
    pub state: StateEntry,
    pub created_ms: i64,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceEntry {
    pub splits: BTreeMap<String, SplitEntry>,
    pub counters: BTreeMap<String, u64>,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitEntry {
    pub position: Option<Vec<u8>>,
    pub records: u64,
    pub watermark: Option<i64>,
    pub max_time: Option<i64>,
    pub finished: bool,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    pub kind: String,
    pub version: u32,
    pub watermark: Option<i64>,
    pub tables: BTreeMap<String, TableEntry>,
    pub counters: BTreeMap<String, u64>,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableEntry {
    pub column_family: String,
    pub version: u32,
    pub namespaces: Vec<NamespaceEntry>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamespaceEntry {
    pub namespace: i64,
    pub rows: u64,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkEntry {
    pub pending: Vec<Vec<u8>>,
    pub counters: BTreeMap<String, u64>,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateEntry {
    pub directory: String,
    pub files: Vec<FileEntry>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub len: u64,
    pub crc32: u32,
}
