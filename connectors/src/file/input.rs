//! The bytes of a file, decompressed.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use millstream_engine::error::{Error, Result};

use super::position::changed;

/// How much is passed over at once on the way to an offset.
const SKIPPED_BYTES: u64 = 256 * 1024;

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

    /// How many bytes have been read from the disk.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Reads behind the first `kept` bytes of `block`, until there are `bytes` more or the file
    /// ends. If there are fewer, it has ended.
    pub(crate) fn fill(&mut self, block: &mut Vec<u8>, kept: usize, bytes: usize) -> Result<()> {
        block.resize(kept + bytes, 0);
        let mut filled = kept;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = match &mut self.bytes {
                Bytes::Plain(file) => file.read(rest),
                Bytes::Gzip(file) => file.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(self.failed(self.offset + (filled - kept) as u64, cause));
                }
            }
        }
        block.truncate(filled);
        self.offset += (filled - kept) as u64;
        Ok(())
    }

    /// Goes on to `offset`: by seeking, or by reading and forgetting what stands before it.
    /// Stops early, and returns false, when it is no longer `wanted`.
    pub(crate) fn skip_to(&mut self, offset: u64, wanted: impl Fn() -> bool) -> Result<bool> {
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
            if !wanted() {
                return Ok(false);
            }
            let missing = offset - self.offset;
            let bytes = missing.min(SKIPPED_BYTES) as usize;
            self.fill(&mut block, 0, bytes)?;
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
