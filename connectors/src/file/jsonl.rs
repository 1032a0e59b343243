//! Writes JSON lines to part files, exactly once.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use millstream_engine::data::{Data, Timestamp};
use millstream_engine::error::Result;
use millstream_engine::graph::sink::{Sink, SinkStart, WriterSlot};
use millstream_engine::time::clock::Clock;

use super::part::{Folder, PartsPending};
use super::part_writer::{PartWriter, Roll};
use super::recovery;
use crate::format::line::{Json, LineFormat};

/// The engine sends a chunk on when it has 64 KiB; a batch more may be in it then.
const CHUNK_ROOM_BYTES: usize = 128 << 10;

/// Writes each record as one line of JSON to files in the folder `dir`, exactly once.
///
/// Each worker writes a file of its own, named `part-<worker>-<number>.jsonl`. A file gets this
/// name when it is complete and its records are committed; until then its name begins with a
/// dot. So whoever reads the folder sees whole files, and each record once. A part is complete
/// when it has [`roll_bytes`](JsonLines::roll_bytes), is older than
/// [`roll_after`](JsonLines::roll_after), or the input has ended.
///
/// Complete parts are not to be moved or changed before the next checkpoint has been taken.
///
/// ```
/// use std::time::Duration;
/// use millstream_connectors::file;
///
/// let out = file::jsonl("out/delays").roll_after(Duration::from_secs(30));
/// ```
pub fn jsonl(dir: impl Into<PathBuf>) -> JsonLines {
    JsonLines {
        folder: Folder::new(dir.into()),
        roll: Roll {
            bytes: 128 << 20,
            after: Duration::from_secs(300),
            clock: Clock::system(),
        },
    }
}

/// A sink of JSON lines: see [`jsonl`].
#[derive(Clone, Debug)]
pub struct JsonLines {
    folder: Folder,
    roll: Roll,
}

impl JsonLines {
    /// A part of this many bytes is complete; 128 MiB if nothing is said. It ends with an epoch,
    /// so it may become greater by what one epoch writes.
    #[must_use]
    pub fn roll_bytes(mut self, bytes: u64) -> Self {
        self.roll.bytes = bytes;
        self
    }

    /// A part of this age is complete; 5 minutes if nothing is said. Ages begin anew when the job
    /// is started again.
    #[must_use]
    pub fn roll_after(mut self, age: Duration) -> Self {
        self.roll.after = age;
        self
    }

    /// The clock that ages are taken by; the machine's if nothing is said.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.roll.clock = clock;
        self
    }
}

impl<T: Serialize + Data> Sink<T> for JsonLines {
    type Chunk = Vec<u8>;
    type Writer = PartWriter;

    fn encode(&self, record: T, _time: Timestamp, chunk: &mut Vec<u8>) -> Result<()> {
        if chunk.capacity() == 0 {
            chunk.reserve_exact(CHUNK_ROOM_BYTES);
        }
        Json.append(&record, chunk)
    }

    fn chunk_bytes(&self, chunk: &Vec<u8>) -> usize {
        chunk.len()
    }

    fn recover(&self, start: &SinkStart<'_, PartsPending>) -> Result<()> {
        recovery::recover(&self.folder, start)
    }

    fn open(&self, slot: WriterSlot, restored: Option<PartsPending>) -> Result<PartWriter> {
        let (finals, _) = self.folder.parts()?;
        let mine = finals.iter().filter(|part| part.writer == slot.index);
        let taken = mine.map(|part| part.seq).max();
        PartWriter::open(
            self.folder.clone(),
            self.roll.clone(),
            slot.index,
            restored,
            taken,
        )
    }

    fn directory(&self) -> Option<PathBuf> {
        Some(self.folder.path().to_path_buf())
    }
}
