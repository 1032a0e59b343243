//! The end of a run of steps at a sink: records are encoded here, on the worker, and written by
//! a thread beside it.

use std::sync::Arc;
use std::time::Duration;

use crate::data::{Data, Origin, Progress};
use crate::error::{Error, Result};
use crate::graph::operator::Barrier;
use crate::graph::sink::Sink;
use crate::runtime::chain::At;
use crate::runtime::terminal::Terminal;
use crate::runtime::writer::WriterQueue;
use crate::time::clock::Clock;

/// Encodes records into chunks for a writer.
pub struct SinkTerminal<T: Data, S: Sink<T>> {
    sink: Arc<S>,
    chunk: S::Chunk,
    queue: WriterQueue<S::Chunk>,
    failure: Option<Error>,
    number: usize,
    clock: Clock,
    flush_us: u64,
    /// When the oldest of those pending were seen to wait.
    pending_since_us: Option<u64>,
    pending: u64,
    sent: u64,
}

const CHUNK_BYTES: usize = 64 << 10;

impl<T: Data, S: Sink<T>> SinkTerminal<T, S> {
    /// The worker's end of sink `number`. What it gathers waits for `flush_interval` at most.
    pub fn new(
        number: usize,
        sink: Arc<S>,
        queue: WriterQueue<S::Chunk>,
        clock: Clock,
        flush_interval: Duration,
    ) -> Self {
        SinkTerminal {
            sink,
            chunk: S::Chunk::default(),
            queue,
            failure: None,
            number,
            clock,
            flush_us: u64::try_from(flush_interval.as_micros()).unwrap_or(u64::MAX),
            pending_since_us: None,
            pending: 0,
            sent: 0,
        }
    }

    fn send(&mut self) {
        self.pending_since_us = None;
        if self.pending > 0 {
            self.sent += self.pending;
            self.pending = 0;
            let chunk = std::mem::take(&mut self.chunk);
            let bytes = self.sink.chunk_bytes(&chunk);
            self.queue.chunk(chunk, bytes);
        }
    }
}

impl<T: Data, S: Sink<T>> Terminal<T> for SinkTerminal<T, S> {
    #[inline(always)]
    fn accept(&mut self, item: T, at: At) {
        match self.sink.encode(item, at.time, &mut self.chunk) {
            // Nobody lives to see 2^64 records.
            Ok(()) => self.pending = self.pending.wrapping_add(1),
            Err(e) => {
                self.failure.get_or_insert(e);
            }
        }
    }

    fn finish(&mut self, _origin: Option<Origin>, _progress: Progress) -> Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure.at(format!("sink `{}`", self.queue.id())));
        }
        if self.sink.chunk_bytes(&self.chunk) >= CHUNK_BYTES {
            self.send();
        }
        self.flush();
        Ok(())
    }

    fn flush(&mut self) -> Option<u64> {
        if self.pending == 0 {
            return None;
        }
        let now = self.clock.monotonic_us();
        let since = *self.pending_since_us.get_or_insert(now);
        let left = self.flush_us.saturating_sub(now.saturating_sub(since));
        if left == 0 {
            self.send();
            return None;
        }
        Some(left)
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.send();
        self.queue.prepare(barrier);
        Ok(())
    }

    fn has_credit(&self) -> bool {
        self.queue.has_credit()
    }

    fn written(&self) -> Option<(usize, u64)> {
        Some((self.number, self.sent))
    }
}
