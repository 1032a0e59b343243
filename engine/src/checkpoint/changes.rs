//! The file that holds what one epoch has changed, beside the last whole checkpoint.
//!
//! ```text
//! envelope | for each run, to the end:
//!     column family: length u32, bytes
//!     ranges u32 | for each: from, to: length u32, bytes
//!     rows u64, their bytes u64 | the rows as they stand in memory
//! ```
//! Integers are little-endian. Written anew for each epoch while its rows come in, listed in the
//! epoch's manifest with length and checksum, read back in order: at a restart, and when RocksDB
//! is told.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crc32fast::Hasher;

use crate::checkpoint::envelope::{self, HEADER_BYTES, REMEDY};
use crate::checkpoint::fail_points::reach;
use crate::checkpoint::files::failed;
use crate::error::{Error, Result};
use crate::state::run::Run;

const MAGIC: [u8; 8] = *b"MILLCHNG";
/// No run has more bytes: a damaged length must not make us allocate.
const RUN_BYTES_MAX: u64 = 1 << 32;

/// Such a file while it is written.
#[derive(Debug)]
pub(crate) struct ChangesFile<F> {
    file: F,
    body: Hasher,
    len: u64,
}

impl<F: Write + Seek> ChangesFile<F> {
    /// Begins a file.
    pub(crate) fn begin(mut file: F) -> io::Result<Self> {
        // The header says what is not known yet.
        file.write_all(&[0; HEADER_BYTES])?;
        Ok(ChangesFile {
            file,
            body: Hasher::new(),
            len: 0,
        })
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        HEADER_BYTES as u64 + self.len
    }

    /// Adds a run.
    pub(crate) fn add(&mut self, run: &Run) -> io::Result<()> {
        let mut head = Vec::with_capacity(64);
        push_bytes(run.column_family.as_bytes(), &mut head);
        push_count(run.ranges().len(), &mut head);
        for (from, to) in run.ranges() {
            push_bytes(from, &mut head);
            push_bytes(to, &mut head);
        }
        head.extend_from_slice(&(run.row_count() as u64).to_le_bytes());
        head.extend_from_slice(&(run.row_bytes().len() as u64).to_le_bytes());
        for bytes in [&head, run.row_bytes()] {
            self.file.write_all(bytes)?;
            self.body.update(bytes);
            self.len += bytes.len() as u64;
        }
        Ok(())
    }

    /// Closes the envelope. Returns the file, its length and its checksum.
    pub(crate) fn finish(mut self) -> io::Result<(F, u64, u32)> {
        let len = self.len();
        let mut whole = Hasher::new();
        let header = envelope::header(MAGIC, self.len, self.body.clone().finalize());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        whole.update(&header);
        whole.combine(&self.body);
        Ok((self.file, len, whole.finalize()))
    }
}

fn push_count(count: usize, body: &mut Vec<u8>) {
    // Runs are closed long before 4 GiB.
    body.extend_from_slice(&(count as u32).to_le_bytes());
}

fn push_bytes(bytes: &[u8], body: &mut Vec<u8>) {
    push_count(bytes.len(), body);
    body.extend_from_slice(bytes);
}

/// Reads such a file back, run after run. What `each` has been given counts once all is read: the
/// checksum is known at the end only.
///
/// # Errors
/// When it is damaged or of another format version, and when `each` fails.
pub(crate) fn read(
    path: &Path,
    mut new_run: impl FnMut(&str) -> Run,
    mut each: impl FnMut(Run) -> Result<()>,
) -> Result<()> {
    reach("rec.changes.read")?;
    let file = File::open(path).map_err(failed("open", path))?;
    let len = file.metadata().map_err(failed("look at", path))?.len();
    read_from(file, len, &mut new_run, &mut each).map_err(|e| e.at(path.display()))
}

fn read_from(
    from: impl Read,
    len: u64,
    new_run: &mut impl FnMut(&str) -> Run,
    each: &mut impl FnMut(Run) -> Result<()>,
) -> Result<()> {
    let mut from = BufReader::new(from);
    let mut header = Vec::new();
    let io = |e| Error::io("it cannot be read", e);
    let mut begin = from.by_ref().take(HEADER_BYTES as u64);
    begin.read_to_end(&mut header).map_err(io)?;
    let body = len.saturating_sub(header.len() as u64);
    let expected = envelope::open_header(MAGIC, &header, body)?;
    let mut rest = Rest {
        from,
        left: body,
        hasher: Hasher::new(),
    };
    while rest.left > 0 {
        let run = rest.run(new_run)?;
        each(run)?;
    }
    envelope::check_body(expected, rest.hasher.finalize())
}

struct Rest<F> {
    from: F,
    left: u64,
    hasher: Hasher,
}

impl<F: Read> Rest<F> {
    /// Appends the next bytes.
    fn take(&mut self, len: u64, bytes: &mut Vec<u8>) -> Result<()> {
        self.left = self.left.checked_sub(len).ok_or_else(torn)?;
        let start = bytes.len();
        bytes.reserve(usize::try_from(len).map_err(|_| torn())?);
        let read = self.from.by_ref().take(len).read_to_end(bytes);
        let read = read.map_err(|e| Error::io("it cannot be read", e))?;
        if read as u64 != len {
            return Err(torn());
        }
        self.hasher.update(bytes.get(start..).unwrap_or_default());
        Ok(())
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = Vec::with_capacity(N);
        self.take(N as u64, &mut bytes)?;
        bytes.try_into().map_err(|_| torn())
    }

    fn count(&mut self) -> Result<u32> {
        self.word().map(u32::from_le_bytes)
    }

    fn sized(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let len = self.count()?;
        if u64::from(len) > self.left {
            return Err(torn());
        }
        self.take(len.into(), &mut bytes)?;
        Ok(bytes)
    }

    fn run(&mut self, new_run: &mut impl FnMut(&str) -> Run) -> Result<Run> {
        let family = String::from_utf8(self.sized()?).map_err(|_| torn())?;
        let mut run = new_run(&family);
        for _ in 0..self.count()? {
            let from = self.sized()?;
            run.delete_range((from, self.sized()?));
        }
        let rows = self.word().map(u64::from_le_bytes)?;
        let len = self.word().map(u64::from_le_bytes)?;
        if len > self.left.min(RUN_BYTES_MAX) {
            return Err(torn());
        }
        let rows = usize::try_from(rows).map_err(|_| torn())?;
        run.filled(rows, |bytes| self.take(len, bytes))?
            .ok_or_else(torn)
    }
}

#[cold]
fn torn() -> Error {
    Error::checkpoint("its lengths do not add up").remedy(REMEDY)
}

/// The bytes of such a file.
///
/// # Errors
/// Never.
pub fn encode(runs: &[Run]) -> Result<Vec<u8>> {
    let failed = |e| Error::io("changes cannot be encoded", e);
    let mut file = ChangesFile::begin(io::Cursor::new(Vec::new())).map_err(failed)?;
    for run in runs {
        file.add(run).map_err(failed)?;
    }
    let (bytes, ..) = file.finish().map_err(failed)?;
    Ok(bytes.into_inner())
}

/// Reads the bytes of such a file back.
///
/// # Errors
/// When it is damaged or of another format version.
pub fn decode(bytes: &[u8]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let each = &mut |run| {
        runs.push(run);
        Ok(())
    };
    read_from(bytes, bytes.len() as u64, &mut Run::new, each)?;
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(runs: &[Run]) -> String {
        let rows = |run: &Run| {
            let rows: Vec<_> = run.rows().collect();
            format!("{}: {:?} {rows:?}", run.column_family, run.ranges())
        };
        runs.iter().map(rows).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn reads_back_what_it_wrote_and_refuses_what_is_cut_or_flipped() {
        let mut first = Run::new("op/table");
        first.delete_range((vec![1], vec![2, 3]));
        first.push_bytes(b"key", Some(b"value"));
        first.push_bytes(b"gone", None);
        first.push_bytes(b"", Some(b""));
        let runs = [first, Run::new("empty")];
        let bytes = encode(&runs).unwrap();
        assert_eq!(shown(&decode(&bytes).unwrap()), shown(&runs));
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(decode(&flipped).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_whole_file() {
        let mut run = Run::new("t");
        run.push_bytes(b"key", Some(b"value"));
        let mut file = ChangesFile::begin(io::Cursor::new(Vec::new())).unwrap();
        file.add(&run).unwrap();
        let (bytes, len, crc32) = file.finish().unwrap();
        assert_eq!(len, bytes.get_ref().len() as u64);
        assert_eq!(crc32, crc32fast::hash(bytes.get_ref()));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let mut run = Run::new("t");
        run.push_bytes(b"key", Some(b"value"));
        let sealed = encode(&[run]).unwrap();
        let body = &sealed[HEADER_BYTES..];
        for cut in 1..body.len() {
            assert!(
                decode(&envelope::seal(MAGIC, &body[..cut])).is_err(),
                "{cut}"
            );
        }
        let longer = [body, b"x"].concat();
        assert!(decode(&envelope::seal(MAGIC, &longer)).is_err());
        // The number of rows.
        let mut more = body.to_vec();
        let rows = 4 + 1 + 4;
        more[rows] += 1;
        assert!(decode(&envelope::seal(MAGIC, &more)).is_err());
        more[rows] -= 2;
        assert!(decode(&envelope::seal(MAGIC, &more)).is_err());
    }
}
