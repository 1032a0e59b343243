//! Reads a file, and decompresses it, on a thread of its own, a few blocks ahead of the worker.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use flate2::read::MultiGzDecoder;

use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::Waker;

use super::position::changed;

/// The size of a block.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;
/// How many blocks may wait for the worker.
const BLOCKS_AHEAD: usize = 4;

/// A file as it is on disk, or what it holds compressed.
pub(crate) struct Input {
    path: PathBuf,
    bytes: Bytes,
    /// Offset of the next byte, after decompression.
    offset: u64,
    /// Bytes read from the disk.
    taken: Arc<AtomicU64>,
}

enum Bytes {
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<Counted>>),
}

struct Counted {
    file: File,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Input {
    /// Begins at the start of `file`.
    pub(crate) fn new(mut file: File, path: &Path, gzip: bool) -> Result<Self> {
        file.seek(SeekFrom::Start(0))
            .map_err(|cause| Error::io(format!("cannot seek in `{}`", path.display()), cause))?;
        let taken = Arc::new(AtomicU64::new(0));
        let file = Counted {
            file,
            taken: taken.clone(),
        };
        Ok(Input {
            path: path.to_path_buf(),
            bytes: if gzip {
                Bytes::Gzip(Box::new(MultiGzDecoder::new(file)))
            } else {
                Bytes::Plain(file)
            },
            offset: 0,
            taken,
        })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads until `block` is full or the file ends. A block that is not full is the last.
    pub(crate) fn fill(&mut self, block: &mut Vec<u8>, bytes: usize) -> Result<()> {
        block.resize(bytes, 0);
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = match &mut self.bytes {
                Bytes::Plain(file) => file.read(rest),
                Bytes::Gzip(file) => file.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed(self.offset + filled as u64, cause)),
            }
        }
        block.truncate(filled);
        self.offset += filled as u64;
        Ok(())
    }

    /// Goes on to `offset`: by seeking, or by reading and forgetting what stands before it.
    /// Stops early, and returns false, when nobody waits any more.
    fn skip_to(&mut self, offset: u64, wanted: &Weak<()>) -> Result<bool> {
        if let Bytes::Plain(input) = &mut self.bytes {
            let at = input.file.seek(SeekFrom::Start(offset));
            at.map_err(|cause| {
                Error::io(format!("cannot seek in `{}`", self.path.display()), cause)
            })?;
            self.taken.store(offset, Ordering::Relaxed);
            self.offset = offset;
            return Ok(true);
        }
        let mut block = Vec::new();
        while self.offset < offset {
            if wanted.strong_count() == 0 {
                return Ok(false);
            }
            let missing = offset - self.offset;
            let bytes = missing.min(BLOCK_BYTES as u64) as usize;
            self.fill(&mut block, bytes)?;
            if block.is_empty() {
                return Err(changed(
                    &self.path,
                    &format!("at least {offset} bytes after decompression"),
                    &format!("{} bytes", self.offset),
                ));
            }
        }
        Ok(true)
    }

    fn failed(&self, offset: u64, cause: std::io::Error) -> Error {
        let path = self.path.display();
        match self.bytes {
            // Reading failed, not decompressing: the system says so with a code.
            Bytes::Gzip(_) if cause.raw_os_error().is_none() => Error::input(format!(
                "the gzip file `{path}` is truncated or damaged: it cannot be decompressed beyond byte {offset} of what it holds"
            ))
            .remedy("fetch the file again, and check it with `gzip -t`"),
            _ => return Error::io(format!("cannot read `{path}` at byte {offset}"), cause),
        }
        .caused_by(cause)
    }
}

/// What the thread hands over.
enum Message {
    Block { data: Vec<u8>, taken: u64 },
    End,
    Failed(Error),
}

/// What there is to read now.
pub(crate) enum Next {
    Block,
    Wait,
    End,
}

/// The worker's end. When it is dropped, the thread ends.
pub(crate) struct ReadAhead {
    messages: Receiver<Message>,
    used: Sender<Vec<u8>>,
    taken: u64,
    ended: bool,
    _wanted: Arc<()>,
}

impl ReadAhead {
    /// Reads `input` from `offset` on.
    pub(crate) fn start(input: Input, offset: u64, waker: Waker) -> Result<Self> {
        let (send, messages) = bounded(BLOCKS_AHEAD);
        let (used, blocks) = bounded(BLOCKS_AHEAD + 2);
        let wanted = Arc::new(());
        let thread = Thread {
            messages: send,
            blocks,
            wanted: Arc::downgrade(&wanted),
            waker,
        };
        std::thread::Builder::new()
            .name("read-ahead".into())
            .spawn(move || thread.run(input, offset))
            .map_err(|cause| Error::io("cannot start a thread to read files", cause))?;
        Ok(ReadAhead {
            messages,
            used,
            taken: 0,
            ended: false,
            _wanted: wanted,
        })
    }

    /// Puts the next block in the place of `block`, which is used up.
    pub(crate) fn next(&mut self, block: &mut Vec<u8>) -> Result<Next> {
        if self.ended {
            return Ok(Next::End);
        }
        match self.messages.try_recv() {
            Ok(Message::Block { data, taken }) => {
                self.taken = taken;
                let old = std::mem::replace(block, data);
                // Nobody takes it back once the thread has ended.
                let _ = self.used.try_send(old);
                Ok(Next::Block)
            }
            Ok(Message::End) => {
                self.ended = true;
                Ok(Next::End)
            }
            Ok(Message::Failed(error)) => Err(error),
            Err(TryRecvError::Empty) => Ok(Next::Wait),
            Err(TryRecvError::Disconnected) => Err(Error::internal(
                "the thread that reads a file ended without saying why",
            )),
        }
    }

    /// How many bytes had been read from the disk when the current block was complete.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }
}

struct Thread {
    messages: Sender<Message>,
    blocks: Receiver<Vec<u8>>,
    wanted: Weak<()>,
    waker: Waker,
}

impl Thread {
    fn run(self, mut input: Input, offset: u64) {
        match input.skip_to(offset, &self.wanted) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.send(Message::Failed(error)).unwrap_or(()),
        }
        loop {
            let mut data = self.blocks.try_recv().unwrap_or_default();
            let message = match input.fill(&mut data, BLOCK_BYTES) {
                Ok(()) if data.is_empty() => Message::End,
                Ok(()) => Message::Block {
                    data,
                    taken: input.taken.load(Ordering::Relaxed),
                },
                Err(error) => Message::Failed(error),
            };
            let last = !matches!(message, Message::Block { .. });
            if self.send(message).is_err() || last {
                return;
            }
        }
    }

    /// Waits for room. An error: nobody waits any more.
    fn send(&self, message: Message) -> Result<(), ()> {
        self.messages.send(message).map_err(|_| ())?;
        self.waker.wake();
        Ok(())
    }
}
