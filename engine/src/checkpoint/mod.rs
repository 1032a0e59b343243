//! Exactly once: the commit protocol, on one page.
//!
//! An *epoch* is what lies between two barriers. Sources cut it; barriers travel in band; every
//! node passes them on when they have come in on all its inputs. The checkpoint of epoch `n` is
//! what the job was at barrier `n`: positions, watermarks, state, prepared output.
//!
//! 1. Writers make what they have written so far durable, not visible ([`Writer::prepare`]).
//! 2. Workers hand over what has changed, as of the barrier. It becomes a file of [`changes`]
//!    beside the last whole checkpoint of this process, which the manifest names together with
//!    those before it. When those have become many, RocksDB is told of the youngest of each row,
//!    and saved whole, as hard links ([`CheckpointDir::seal`]). Until the links or the file exist,
//!    nothing that changed after the barrier reaches RocksDB ([`StateTable::settle`]).
//! 3. The manifest is renamed into place ([`CheckpointDir::commit`]): **the one commit point**.
//! 4. Writers make the epoch visible ([`Writer::commit`]).
//! 5. What is older is removed ([`CheckpointDir::collect_garbage`]).
//!
//! | crash in | on disk | the next start |
//! |---|---|---|
//! | 1, 2 | prepared output and a state directory or a file of changes that no manifest names | goes on from `n - 1`: sinks drop what no checkpoint lists, positions go back |
//! | 3 | the manifest of `n` is there or not | as above, or as below: nothing of `n` was visible yet |
//! | 4 | some of the epoch is visible | [`Sink::recover`] repeats the commit; it is idempotent |
//! | 5 | something old is left | the next checkpoint removes it |
//!
//! A start links the whole checkpoint's files and lays the changes over them, the youngest of each
//! row; RocksDB is told of them while the job runs. Its first checkpoint has a directory of its own,
//! in which RocksDB's files stand anew, so a file of changes that no manifest names is never written
//! again, and goes with its directory.
//!
//! What decides stands in one place: the newest manifest. What is damaged or missing is refused
//! by name; nothing is ever taken for a fresh start.
//!
//! [`Writer::prepare`]: crate::graph::sink::Writer::prepare
//! [`Writer::commit`]: crate::graph::sink::Writer::commit
//! [`Sink::recover`]: crate::graph::sink::Sink::recover
//! [`StateTable::settle`]: crate::state::table::StateTable::settle
//! [`CheckpointDir::seal`]: directory::CheckpointDir::seal
//! [`CheckpointDir::commit`]: directory::CheckpointDir::commit
//! [`CheckpointDir::collect_garbage`]: directory::CheckpointDir::collect_garbage

pub mod changes;
pub mod coordinator;
pub mod directory;
mod envelope;
pub mod fail_points;
mod files;
pub mod manifest;

pub use envelope::FORMAT_VERSION;
