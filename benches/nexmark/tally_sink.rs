//! A sink that counts rows and sums up their checksums, each exactly once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream::engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};
use millstream::{Result, Timestamp};

use crate::rows::Row;
use crate::tally::Tally;

/// Counts rows. Clones show the same count.
#[derive(Clone, Debug, Default)]
pub(crate) struct TallySink(Arc<Mutex<Vec<Tally>>>);

impl TallySink {
    /// What the committed rows come to.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.lock().iter() {
            total += *tally;
        }
        total
    }

    /// By writer: what it has committed.
    fn lock(&self) -> MutexGuard<'_, Vec<Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Row> Sink<R> for TallySink {
    type Chunk = Tally;
    type Writer = TallyWriter;

    #[inline]
    fn encode(&self, row: R, _: Timestamp, chunk: &mut Tally) -> Result<()> {
        chunk.add(&row);
        Ok(())
    }

    /// As if a row took a byte: a chunk is as small after many rows as after one.
    fn chunk_bytes(&self, chunk: &Tally) -> usize {
        usize::try_from(chunk.rows).unwrap_or(usize::MAX)
    }

    fn recover(&self, start: &SinkStart<'_, Tally>) -> Result<()> {
        let mut committed = self.lock();
        committed.clear();
        if let SinkStart::Restored { pending, writers } = start {
            let (kept, orphaned) = pending.split_at((*writers).min(pending.len()));
            committed.extend(kept);
            // What writers counted that are no more, the first one goes on with.
            if let Some(first) = committed.first_mut() {
                for tally in orphaned {
                    *first += *tally;
                }
            }
        }
        Ok(())
    }

    fn open(&self, slot: WriterSlot, _: Option<Tally>) -> Result<TallyWriter> {
        let mut committed = self.lock();
        if committed.len() < slot.of {
            committed.resize(slot.of, Tally::default());
        }
        Ok(TallyWriter {
            tally: committed[slot.index],
            index: slot.index,
            sink: self.clone(),
        })
    }
}

/// Counts the rows of one worker.
#[derive(Debug)]
pub(crate) struct TallyWriter {
    tally: Tally,
    index: usize,
    sink: TallySink,
}

impl Writer for TallyWriter {
    type Chunk = Tally;
    type Pending = Tally;

    fn write(&mut self, chunk: Tally) -> Result<()> {
        self.tally += chunk;
        Ok(())
    }

    fn prepare(&mut self, _: u64, _: bool) -> Result<Tally> {
        Ok(self.tally)
    }

    fn commit(&mut self, pending: &Tally) -> Result<()> {
        self.sink.lock()[self.index] = *pending;
        Ok(())
    }
}
