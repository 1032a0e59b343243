//! Keyed state: typed tables in memory, written behind into RocksDB.
//!
//! An operator owns [`Table`](table::Table)s. A record that hits a key in memory costs one hash
//! look-up: no serialisation, no RocksDB call. What a barrier finds changed leaves for RocksDB
//! between later batches, or when it is touched again, whichever comes first; so the barrier
//! itself copies nothing and what is written is the state as of the barrier.

pub mod codec;
mod contract;
pub mod key_group;
pub mod merge;
mod overlay;
pub mod rocks;
pub mod run;
pub(crate) mod slice;
pub(crate) mod slot;
pub mod table;
