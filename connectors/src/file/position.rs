//! A place in a file, with what proves that the file is still the same one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use millstream_engine::error::{Error, Result};

/// How much of a file's beginning is hashed.
const HEAD_BYTES: u64 = 4096;

/// A place between two rows of a file. The file may be copied or moved, and it may grow; it may
/// not shrink, nor begin otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// Bytes from the beginning, after decompression.
    pub offset: u64,
    /// The line that begins here, from 1.
    pub line: u64,
    /// How many rows have been read or skipped.
    pub records: u64,
    /// The file's length on disk when it was opened.
    pub length: u64,
    /// The xxh3 hash of the file's first 4 KiB on disk, or of all of it if it was shorter.
    pub head: u64,
}

/// The beginning of a file, as it stands on disk.
pub(crate) struct Head {
    bytes: Vec<u8>,
    /// The file's length.
    pub(crate) length: u64,
}

impl Head {
    pub(crate) fn read(file: &mut File, path: &Path) -> Result<Self> {
        let failed = |cause| Error::io(format!("cannot read `{}`", path.display()), cause);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(
                Error::config(format!("`{}` is not a file", path.display())).remedy(
                    "a source that can be read again needs a regular file, not a pipe or a device",
                ),
            );
        }
        let mut bytes = Vec::new();
        file.take(HEAD_BYTES)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(Head {
            length: metadata.len().max(bytes.len() as u64),
            bytes,
        })
    }

    pub(crate) fn is_gzip(&self) -> bool {
        self.bytes.starts_with(&[0x1f, 0x8b])
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash_of(self.length)
    }

    /// The hash as it was when the file had `length` bytes.
    fn hash_of(&self, length: u64) -> u64 {
        let upto = length.min(HEAD_BYTES) as usize;
        xxh3_64(self.bytes.get(..upto).unwrap_or(&self.bytes))
    }

    /// Refuses a position that was taken in another file, or before this one was cut.
    pub(crate) fn check(&self, position: &FilePosition, path: &Path) -> Result<()> {
        if self.length < position.length {
            return Err(changed(
                path,
                &format!("at least {} bytes", position.length),
                &format!("{} bytes", self.length),
            ));
        }
        let (expected, found) = (position.head, self.hash_of(position.length));
        if expected != found {
            let bytes = position.length.min(HEAD_BYTES);
            return Err(changed(
                path,
                &format!("a file whose first {bytes} bytes have the hash {expected:016x}"),
                &format!("{found:016x}"),
            ));
        }
        Ok(())
    }
}

/// The file is not the one that the checkpoint was taken in.
pub(crate) fn changed(path: &Path, expected: &str, found: &str) -> Error {
    Error::checkpoint(format!(
        "file `{}` has changed since the checkpoint was taken: expected {expected}, found {found}",
        path.display()
    ))
    .remedy("put the file back as it was, or start again from the beginning with `--fresh`")
}
