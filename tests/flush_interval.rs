//! Results do not wait for a full chunk or for a checkpoint before their sink's writer has them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};
use millstream::engine::graph::source::{Emit, Read, Reader, Waker};
use millstream::prelude::*;
use millstream::{Environment, Outcome, Stopper};

const HANGS_AFTER: Duration = Duration::from_secs(60);
const NEVER: Duration = Duration::from_secs(3600);

/// One record, and then silence.
struct One;

struct OneReader(u64);

impl Source for One {
    type Record = u64;
    type Reader = OneReader;

    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["0".to_owned()])
    }

    fn open(&self, _split: &str, position: Option<u64>, _waker: Waker) -> Result<OneReader> {
        Ok(OneReader(position.unwrap_or(0)))
    }

    fn is_bounded(&self) -> bool {
        false
    }
}

impl Reader for OneReader {
    type Record = u64;
    type Position = u64;

    fn read<E: Emit<u64>>(&mut self, emit: &mut E) -> Result<Read> {
        if self.0 == 0 {
            self.0 = 1;
            emit.emit(7);
        }
        Ok(Read::Wait)
    }

    fn position(&self) -> u64 {
        self.0
    }
}

/// Tells of each chunk that reaches its writer.
#[derive(Clone)]
struct Told(Arc<Mutex<Sender<Vec<u64>>>>);

impl Sink<u64> for Told {
    type Chunk = Vec<u64>;
    type Writer = Told;

    fn encode(&self, record: u64, _time: i64, chunk: &mut Vec<u64>) -> Result<()> {
        chunk.push(record);
        Ok(())
    }

    fn chunk_bytes(&self, chunk: &Vec<u64>) -> usize {
        size_of_val(chunk.as_slice())
    }

    fn recover(&self, _start: &SinkStart<'_, ()>) -> Result<()> {
        Ok(())
    }

    fn open(&self, _slot: WriterSlot, _restored: Option<()>) -> Result<Told> {
        Ok(self.clone())
    }
}

impl Writer for Told {
    type Chunk = Vec<u64>;
    type Pending = ();

    fn write(&mut self, chunk: Vec<u64>) -> Result<()> {
        self.0.lock().unwrap().send(chunk).unwrap();
        Ok(())
    }

    fn prepare(&mut self, _epoch: u64, _last: bool) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self, _pending: &()) -> Result<()> {
        Ok(())
    }
}

/// Starts a job whose input falls silent; what its writer is told, and how to end it.
fn start(flush_interval: Duration) -> (Receiver<Vec<u64>>, impl FnOnce() -> Outcome) {
    let (tell, told) = channel();
    let stopper = Stopper::default();
    let environment_stopper = stopper.clone();
    let run = std::thread::spawn(move || {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            workers: 1,
            checkpoint_dir: Some(dir.path().join("checkpoints")),
            checkpoint_interval: NEVER,
            memory_bytes: 64 << 20,
            flush_interval,
            ..Settings::default()
        };
        let job = Job::new("one");
        job.source("one", One.event_time(|n| *n as i64, Lag::NONE))
            .to("told", Told(Arc::new(Mutex::new(tell))));
        let environment = Environment {
            stopper: environment_stopper,
            ..Environment::default()
        };
        job.run_in(&settings, environment).unwrap().outcome
    });
    let end = move || {
        stopper.stop();
        run.join().unwrap()
    };
    (told, end)
}

#[test]
fn a_result_reaches_its_writer_although_nothing_follows_it() {
    let (told, end) = start(Duration::from_millis(5));
    assert_eq!(told.recv_timeout(HANGS_AFTER), Ok(vec![7]));
    assert_eq!(end(), Outcome::Stopped);
}

#[test]
fn a_result_waits_for_others_as_long_as_it_may() {
    let (told, end) = start(NEVER);
    let early = told.recv_timeout(Duration::from_millis(200));
    assert_eq!(early, Err(RecvTimeoutError::Timeout));
    assert_eq!(end(), Outcome::Stopped);
    assert_eq!(
        told.recv_timeout(HANGS_AFTER),
        Ok(vec![7]),
        "the last epoch's"
    );
}
