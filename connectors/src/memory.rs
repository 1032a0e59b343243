//! Sources and sinks in memory, for tests of whole jobs: a recovery test is a list of records
//! with [`Item::Crash`] and [`Item::Pause`] between them.

mod sink;
mod source;

pub use self::sink::{MemoryPending, MemorySink, MemoryWriter, sink};
pub use self::source::{Item, MemoryReader, MemorySource, PauseGate, records, source};
