//! A sink that keeps what is written, with the same promise as one that writes files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use millstream_engine::data::{Data, Timestamp};
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};

/// A sink that keeps records in memory. Clones show the same records, so a test keeps one; they
/// outlive the job, so that it can be started again and go on.
///
/// ```
/// use millstream_connectors::memory;
///
/// let out = memory::sink::<u64>();
/// // run a job that writes to `out.clone()`
/// assert_eq!(out.rows(), Vec::<u64>::new());
/// ```
pub fn sink<T: Data>() -> MemorySink<T> {
    MemorySink(Arc::new(Mutex::new(Store {
        logs: BTreeMap::new(),
        visible: Vec::new(),
    })))
}

/// A sink in memory: see [`sink`].
#[derive(Debug)]
pub struct MemorySink<T>(Arc<Mutex<Store<T>>>);

impl<T> Clone for MemorySink<T> {
    fn clone(&self) -> Self {
        MemorySink(self.0.clone())
    }
}

#[derive(Debug)]
struct Store<T> {
    /// What each writer has written, by its index.
    logs: BTreeMap<usize, Log<T>>,
    /// What is committed, in the order of the commits.
    visible: Vec<(Timestamp, T)>,
}

#[derive(Debug)]
struct Log<T> {
    rows: Vec<(Timestamp, T)>,
    /// How many of the rows are visible.
    committed: usize,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Log {
            rows: Vec::new(),
            committed: 0,
        }
    }
}

impl<T: Data> MemorySink<T> {
    /// The committed records, in the order of their commits.
    pub fn rows(&self) -> Vec<T> {
        self.lock()
            .visible
            .iter()
            .map(|(_, row)| row.clone())
            .collect()
    }

    /// The committed records with their event times.
    pub fn timed_rows(&self) -> Vec<(Timestamp, T)> {
        self.lock().visible.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Store<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Data> Store<T> {
    fn commit(&mut self, pending: &MemoryPending) -> Result<()> {
        let log = self.logs.entry(pending.writer).or_default();
        let prepared = usize::try_from(pending.rows).unwrap_or(usize::MAX);
        if prepared > log.rows.len() {
            return Err(Error::checkpoint(format!(
                "the sink in memory has {} rows of writer {}, the checkpoint promises {prepared}",
                log.rows.len(),
                pending.writer
            ))
            .remedy("a sink in memory lives as long as its process: start with `--fresh`"));
        }
        if prepared > log.committed {
            self.visible
                .extend(log.rows.iter().take(prepared).skip(log.committed).cloned());
            log.committed = prepared;
        }
        Ok(())
    }

    fn restore(&mut self, pending: &[MemoryPending]) -> Result<()> {
        for pending in pending {
            self.commit(pending)?;
            let committed = self
                .logs
                .get(&pending.writer)
                .map_or(0, |log| log.committed as u64);
            if committed > pending.rows {
                return Err(Error::checkpoint(format!(
                    "writer {} of the sink in memory has committed {committed} rows, more than the {} of the checkpoint",
                    pending.writer, pending.rows
                ))
                .remedy("go on from the newest checkpoint"));
            }
        }
        for log in self.logs.values_mut() {
            log.rows.truncate(log.committed);
        }
        Ok(())
    }
}

impl<T: Data> Sink<T> for MemorySink<T> {
    type Chunk = Vec<(Timestamp, T)>;
    type Writer = MemoryWriter<T>;

    fn encode(&self, record: T, time: Timestamp, chunk: &mut Self::Chunk) -> Result<()> {
        chunk.push((time, record));
        Ok(())
    }

    fn chunk_bytes(&self, chunk: &Self::Chunk) -> usize {
        chunk.len() * size_of::<(Timestamp, T)>()
    }

    fn recover(&self, start: &SinkStart<'_, MemoryPending>) -> Result<()> {
        let mut store = self.lock();
        match start {
            SinkStart::Restored { pending, .. } => return store.restore(pending),
            SinkStart::First if !store.visible.is_empty() => {
                return Err(Error::config(format!(
                    "the sink in memory holds {} rows of an earlier run, but there is no checkpoint to go on from",
                    store.visible.len()
                ))
                .remedy("start with `--fresh`, or make a new sink"));
            }
            SinkStart::First | SinkStart::Fresh => {
                store.logs.clear();
                store.visible.clear();
            }
        }
        Ok(())
    }

    fn open(&self, slot: WriterSlot, _restored: Option<MemoryPending>) -> Result<MemoryWriter<T>> {
        Ok(MemoryWriter {
            sink: self.clone(),
            writer: slot.index,
        })
    }
}

/// How many rows a writer has prepared since it was first opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPending {
    writer: usize,
    rows: u64,
}

/// Keeps what one worker writes.
#[derive(Debug)]
pub struct MemoryWriter<T> {
    sink: MemorySink<T>,
    writer: usize,
}

impl<T: Data> Writer for MemoryWriter<T> {
    type Chunk = Vec<(Timestamp, T)>;
    type Pending = MemoryPending;

    fn write(&mut self, chunk: Self::Chunk) -> Result<()> {
        self.sink
            .lock()
            .logs
            .entry(self.writer)
            .or_default()
            .rows
            .extend(chunk);
        Ok(())
    }

    fn prepare(&mut self, _epoch: u64, _last: bool) -> Result<MemoryPending> {
        let rows = self
            .sink
            .lock()
            .logs
            .get(&self.writer)
            .map_or(0, |log| log.rows.len() as u64);
        Ok(MemoryPending {
            writer: self.writer,
            rows,
        })
    }

    fn commit(&mut self, pending: &MemoryPending) -> Result<()> {
        self.sink.lock().commit(pending)
    }
}

#[cfg(test)]
mod tests {
    use millstream_engine::error::ErrorKind;

    use super::*;
    use crate::conformance::{Outside, check_sink};

    struct Memory(MemorySink<u64>);

    impl Outside for Memory {
        type Record = u64;
        type Sink = MemorySink<u64>;

        fn sink(&self) -> MemorySink<u64> {
            self.0.clone()
        }

        fn record(&self, n: u64) -> u64 {
            n
        }

        fn visible(&self) -> Result<Vec<u64>> {
            Ok(self.0.rows())
        }
    }

    #[test]
    fn keeps_the_laws_of_sinks() {
        check_sink(|| Memory(sink())).unwrap();
    }

    #[test]
    fn rows_carry_their_event_time() {
        let out = sink();
        let mut writer = Sink::<&str>::open(&out, WriterSlot { index: 0, of: 1 }, None).unwrap();
        writer.write(vec![(5, "a")]).unwrap();
        let pending = writer.prepare(1, false).unwrap();
        writer.commit(&pending).unwrap();
        assert_eq!(out.timed_rows(), [(5, "a")]);
    }

    #[test]
    fn another_processs_checkpoint_is_refused() {
        let out = sink::<u64>();
        let pending = [MemoryPending { writer: 0, rows: 3 }];
        let start = SinkStart::Restored {
            pending: &pending,
            writers: 1,
        };
        assert_eq!(
            out.recover(&start).unwrap_err().kind(),
            ErrorKind::Checkpoint
        );
    }
}
