//! The thread beside a worker that writes to a sink.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::error::{Error, Result};
use crate::graph::operator::{Barrier, BarrierKind};
use crate::graph::sink::Writer;
use crate::runtime::build::NodeBuilder;
use crate::runtime::channel::Bell;
use crate::runtime::event::{Event, Failure};
use crate::runtime::failure::panic_message;
use crate::state::codec;

/// How much may wait for a writer.
const QUEUE_BYTES: usize = 4 << 20;

enum Command<C> {
    Chunk(C, usize),
    Prepare(Barrier),
    Commit(u64),
}

/// A worker's end of the queue to a writer. It is bounded in bytes by the credit that the
/// worker asks for before it makes more.
pub struct WriterQueue<C> {
    id: Arc<str>,
    commands: Sender<Command<C>>,
    bytes: Arc<AtomicUsize>,
}

impl<C> WriterQueue<C> {
    /// The sink's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn chunk(&self, chunk: C, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The receiver is only gone when the job has failed, which has been reported.
        let _ = self.commands.send(Command::Chunk(chunk, bytes));
    }

    pub(crate) fn prepare(&self, barrier: Barrier) {
        let _ = self.commands.send(Command::Prepare(barrier));
    }

    pub(crate) fn has_credit(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < QUEUE_BYTES
    }
}

/// Starts the thread of a writer; `sink` is the sink's number in the plan.
///
/// # Errors
/// When the thread cannot be started.
pub fn start<W: Writer>(
    builder: &NodeBuilder<'_>,
    id: &str,
    sink: usize,
    writer: W,
) -> Result<WriterQueue<W::Chunk>> {
    let (commands, inbox) = unbounded();
    let bytes = Arc::new(AtomicUsize::new(0));
    let thread = WriterThread {
        id: id.to_owned(),
        sink,
        index: builder.worker,
        writer,
        prepared: VecDeque::new(),
        bytes: bytes.clone(),
        bell: builder.bell(),
        events: builder.events(),
    };
    let handle = std::thread::Builder::new()
        .name(format!("{id}-{}", builder.worker))
        .spawn(move || thread.run(&inbox))
        .map_err(|e| Error::io(format!("no thread for sink `{id}`"), e))?;
    let commit = commands.clone();
    builder.hub().on_commit(move |epoch| {
        let _ = commit.send(Command::Commit(epoch));
    });
    builder
        .hub()
        .writers
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .push(handle);
    Ok(WriterQueue {
        id: id.into(),
        commands,
        bytes,
    })
}

struct WriterThread<W: Writer> {
    id: String,
    sink: usize,
    index: usize,
    writer: W,
    /// Epochs prepared and not committed yet.
    prepared: VecDeque<(u64, W::Pending)>,
    bytes: Arc<AtomicUsize>,
    bell: Bell,
    events: Sender<Event>,
}

impl<W: Writer> WriterThread<W> {
    fn run(mut self, inbox: &Receiver<Command<W::Chunk>>) {
        for command in inbox {
            let done = catch_unwind(AssertUnwindSafe(|| self.obey(command)));
            let error = match done {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(panic) => {
                    Error::user(format!("the writer panicked: {}", panic_message(&*panic)))
                }
            };
            let error = error.at(format!("sink `{}`, writer {}", self.id, self.index));
            let _ = self.events.send(Event::Failed(Box::new(Failure {
                error,
                record: None,
            })));
            return;
        }
    }

    fn obey(&mut self, command: Command<W::Chunk>) -> Result<()> {
        match command {
            Command::Chunk(chunk, bytes) => {
                self.writer.write(chunk)?;
                let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                if before >= QUEUE_BYTES && before - bytes < QUEUE_BYTES {
                    self.bell.ring();
                }
            }
            Command::Prepare(barrier) => {
                let epoch = barrier.epoch;
                let pending = self
                    .writer
                    .prepare(epoch, barrier.kind == BarrierKind::Last)?;
                let bytes = codec::encode(&pending)?;
                self.prepared.push_back((epoch, pending));
                let _ = self.events.send(Event::Prepared {
                    sink: self.sink,
                    writer: self.index,
                    epoch,
                    pending: bytes,
                });
            }
            Command::Commit(epoch) => {
                let Some((prepared, pending)) = self.prepared.pop_front() else {
                    return Err(Error::internal(format!(
                        "commit of epoch {epoch}, which was not prepared"
                    )));
                };
                if prepared != epoch {
                    return Err(Error::internal(format!(
                        "commit of epoch {epoch} where {prepared} is due"
                    )));
                }
                self.writer.commit(&pending)?;
                let _ = self.events.send(Event::SinkCommitted {
                    sink: self.sink,
                    writer: self.index,
                    epoch,
                });
            }
        }
        Ok(())
    }
}
