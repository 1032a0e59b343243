//! Shows records on standard output, at least once.
//!
//! An epoch's lines are kept until it is committed, and stored with its checkpoint meanwhile: so
//! no line is lost, and what is shown belongs to a checkpoint that exists. A job that is started
//! again cannot know whether the lines of the last epoch were shown, and shows them again. An
//! epoch of more than 4 MiB is shown before it is committed, so its lines may come again after a
//! crash, too.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use millstream_engine::data::{Data, Timestamp};
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};

use crate::format::line::{DebugText, Json, LineFormat};

/// How many bytes of an epoch are kept until it is committed.
const KEPT_BYTES: usize = 4 << 20;

/// Shows each record as `{:?}` does.
pub fn debug() -> Stdout<DebugText> {
    Stdout::new(DebugText, io::stdout())
}

/// Shows each record as one line of JSON.
pub fn json() -> Stdout<Json> {
    Stdout::new(Json, io::stdout())
}

type Output = Arc<Mutex<dyn Write + Send>>;

/// A sink that shows records: see [`debug`] and [`json`].
#[derive(Clone)]
pub struct Stdout<F> {
    format: F,
    output: Output,
}

impl<F> Stdout<F> {
    fn new(format: F, output: impl Write + Send + 'static) -> Self {
        Stdout {
            format,
            output: Arc::new(Mutex::new(output)),
        }
    }
}

impl<F: std::fmt::Debug> std::fmt::Debug for Stdout<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stdout").field(&self.format).finish()
    }
}

fn show(output: &Output, lines: &[u8]) -> Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output
        .write_all(lines)
        .and_then(|()| output.flush())
        .map_err(|cause| Error::io("cannot write to standard output", cause))
}

impl<T: Data, F: LineFormat<T>> Sink<T> for Stdout<F> {
    type Chunk = Vec<u8>;
    type Writer = StdoutWriter;

    fn encode(&self, record: T, _time: Timestamp, chunk: &mut Vec<u8>) -> Result<()> {
        self.format.append(&record, chunk)
    }

    fn chunk_bytes(&self, chunk: &Vec<u8>) -> usize {
        chunk.len()
    }

    fn recover(&self, start: &SinkStart<'_, StdoutPending>) -> Result<()> {
        if let SinkStart::Restored { pending, .. } = start {
            pending
                .iter()
                .try_for_each(|p| show(&self.output, p.lines.as_bytes()))?;
        }
        Ok(())
    }

    fn open(&self, _slot: WriterSlot, _restored: Option<StdoutPending>) -> Result<StdoutWriter> {
        Ok(StdoutWriter {
            output: self.output.clone(),
            lines: Vec::new(),
        })
    }
}

/// Lines that are shown when their epoch is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdoutPending {
    lines: String,
}

/// Shows what one worker sends.
pub struct StdoutWriter {
    output: Output,
    lines: Vec<u8>,
}

impl Writer for StdoutWriter {
    type Chunk = Vec<u8>;
    type Pending = StdoutPending;

    fn write(&mut self, chunk: Vec<u8>) -> Result<()> {
        self.lines.extend(chunk);
        if self.lines.len() > KEPT_BYTES {
            show(&self.output, &self.lines)?;
            self.lines.clear();
        }
        Ok(())
    }

    fn prepare(&mut self, _epoch: u64, _last: bool) -> Result<StdoutPending> {
        let lines = String::from_utf8(std::mem::take(&mut self.lines)).map_err(|cause| {
            Error::internal("a line for standard output is not UTF-8").caused_by(cause)
        })?;
        Ok(StdoutPending { lines })
    }

    fn commit(&mut self, pending: &StdoutPending) -> Result<()> {
        show(&self.output, pending.lines.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn shows(&self, expect: &str) {
            assert_eq!(
                String::from_utf8(self.0.lock().unwrap().clone()).unwrap(),
                expect
            );
        }
    }

    fn write<F: LineFormat<(u8, String)>>(sink: &Stdout<F>, writer: &mut StdoutWriter, n: u8) {
        let mut chunk = Vec::new();
        sink.encode((n, "a\nb".to_string()), 0, &mut chunk).unwrap();
        writer.write(chunk).unwrap();
    }

    fn open<F: LineFormat<(u8, String)>>(sink: &Stdout<F>) -> StdoutWriter {
        Sink::<(u8, String)>::open(sink, WriterSlot { index: 0, of: 1 }, None).unwrap()
    }

    #[test]
    fn lines_are_shown_by_the_commit_of_their_epoch() {
        let screen = Screen::default();
        let sink = Stdout::new(DebugText, screen.clone());
        let mut writer = open(&sink);
        write(&sink, &mut writer, 1);
        let one = writer.prepare(1, false).unwrap();
        write(&sink, &mut writer, 2);
        let two = writer.prepare(2, false).unwrap();
        screen.shows("");
        writer.commit(&one).unwrap();
        screen.shows("(1, \"a\\nb\")\n");
        writer.commit(&two).unwrap();
        screen.shows("(1, \"a\\nb\")\n(2, \"a\\nb\")\n");
    }

    #[test]
    fn lines_that_a_checkpoint_holds_are_shown_after_a_crash() {
        let screen = Screen::default();
        let sink = Stdout::new(Json, screen.clone());
        let mut writer = open(&sink);
        write(&sink, &mut writer, 1);
        let pending = [writer.prepare(1, false).unwrap()];
        write(&sink, &mut writer, 2);
        drop(writer);
        let start = SinkStart::Restored {
            pending: &pending,
            writers: 1,
        };
        Sink::<(u8, String)>::recover(&sink, &start).unwrap();
        screen.shows("[1,\"a\\nb\"]\n");
    }

    #[test]
    fn a_great_epoch_is_not_kept() {
        let screen = Screen::default();
        let sink = Stdout::new(Json, screen.clone());
        let mut writer = open(&sink);
        writer.write(vec![b'x'; KEPT_BYTES + 1]).unwrap();
        assert_eq!(screen.0.lock().unwrap().len(), KEPT_BYTES + 1);
        assert_eq!(writer.prepare(1, false).unwrap().lines, "");
    }
}
