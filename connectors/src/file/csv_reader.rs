//! Makes records of one file of comma separated values, on the worker.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::{Emit, Read, Reader, Waker};

use super::csv::{BadRows, CsvSource};
use super::first_row::FirstRow;
use super::input::Input;
use super::pieces::{Next, Pieces};
use super::position::{FilePosition, Head, changed};
use super::read_ahead::{Feed, ReadAhead};
use crate::format::csv::batch::{Ahead, Batch, RowEnd};
use crate::format::csv::record::{Decoder, Fault};
use crate::format::csv::rows::{Rows, Step};

/// How many characters of a bad cell an error shows.
const SHOWN_CHARS: usize = 80;
/// How many pieces may wait for the worker, beside one for each decoder.
const PIECES_AHEAD: usize = 3;
/// How much memory the records of one piece may take, beside what they point to.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Compressed files up to this part of a piece hold little, whatever they hold.
const SMALL_GZIP_PART: u64 = 4;

/// A file that has been looked at.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) head: Head,
    pub(crate) first: FirstRow,
}

/// Reads one file of comma separated values.
pub struct CsvReader<T> {
    path: PathBuf,
    decoder: Arc<Decoder<T>>,
    rows: Rows,
    feed: Feed<T>,
    /// Bytes read from the disk up to the end of the block.
    taken: u64,
    block: Vec<u8>,
    /// The records of the block from the cursor on, if it was decoded ahead.
    ready: Option<Ready<T>>,
    /// One that is used up.
    used: Option<Batch<T>>,
    /// How much of the block has been read.
    cursor: usize,
    /// Where the block begins in the file.
    block_offset: u64,
    /// The block begins with the last byte of the row before: a line end, or the file has changed.
    check_row_end: bool,
    position: FilePosition,
    bad_rows: BadRows,
    has_skipped: bool,
    state: State,
}

/// A batch that is being handed on.
struct Ready<T> {
    records: VecDeque<T>,
    rows: Vec<RowEnd>,
    /// The number of the next row.
    next: usize,
    lines: Option<u64>,
    /// The line that the block begins with.
    first_line: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

impl<T: DeserializeOwned + Data> CsvReader<T> {
    pub(crate) fn start(
        source: &CsvSource<T>,
        opened: Opened,
        position: Option<FilePosition>,
        waker: Waker,
    ) -> Result<Self> {
        let Opened {
            path,
            file,
            head,
            first,
        } = opened;
        let begin = FilePosition {
            offset: first.records_offset,
            line: first.records_line,
            records: 0,
            length: head.length,
            head: head.hash(),
        };
        let position = match position {
            Some(at) if at.offset > begin.offset => FilePosition {
                offset: at.offset,
                line: at.line,
                records: at.records,
                ..begin
            },
            _ => begin,
        };
        // The byte before the position is read again, to see that a row ends there.
        let check_row_end = position.offset > begin.offset;
        let from = position.offset - u64::from(check_row_end);
        let plain = !head.is_gzip();
        if plain && position.offset > head.length {
            return Err(changed(
                &path,
                &format!("at least {} bytes", position.offset),
                &format!("{} bytes", head.length),
            ));
        }
        let input = Input::new(file, &path, !plain)?;
        let decoder = Arc::new(match (source.header, first.cells) {
            (true, names) => Decoder::with_header(names.unwrap_or_default()),
            (false, cells) => Decoder::by_place(cells.map(|c| c.len())),
        });
        let piece_bytes = source.piece_bytes as u64;
        let is_small = if plain {
            head.length.saturating_sub(from) <= 2 * piece_bytes
        } else {
            head.length <= piece_bytes / SMALL_GZIP_PART
        };
        let feed = if is_small {
            feed_here(input, from, source.piece_bytes)?
        } else {
            Feed::Ahead(Box::new(read_ahead(source, input, from, &decoder, waker)?))
        };
        Ok(CsvReader {
            decoder,
            rows: Rows::new(source.delimiter, position.line),
            feed,
            taken: 0,
            ready: None,
            used: None,
            path,
            block: Vec::new(),
            cursor: 0,
            block_offset: from,
            check_row_end,
            position,
            bad_rows: source.bad_rows,
            has_skipped: false,
            state: State::Reading,
        })
    }

    fn read_rows<E: Emit<T>>(&mut self, emit: &mut E) -> Result<Read> {
        loop {
            if self.ready.is_some() && !self.hand_on_ready(emit) {
                return Ok(Read::More);
            }
            let (step, used) = self
                .rows
                .advance(self.block.get(self.cursor..).unwrap_or_default());
            self.cursor += used;
            if step == Step::Row {
                if !self.hand_on(emit)? {
                    return Ok(Read::More);
                }
                continue;
            }
            match self.next_block()? {
                Next::Piece(()) => {}
                Next::Wait => return Ok(Read::Wait),
                Next::End if self.check_row_end => {
                    let bytes = format!("at least {} bytes", self.position.offset);
                    return Err(changed(&self.path, &bytes, "fewer"));
                }
                Next::End => {
                    self.state = State::Ended;
                    if self.rows.finish() {
                        self.hand_on(emit)?;
                    }
                    return Ok(Read::End);
                }
            }
        }
    }

    /// Goes on to the next block; this one is used up.
    fn next_block(&mut self) -> Result<Next<()>> {
        self.block_offset += self.block.len() as u64;
        self.cursor = 0;
        let block = std::mem::take(&mut self.block);
        let piece = match self.feed.next(block, self.used.take())? {
            Next::Piece(piece) => piece,
            Next::Wait => return Ok(Next::Wait),
            Next::End => return Ok(Next::End),
        };
        self.block = piece.data;
        self.taken = piece.taken;
        if self.check_row_end {
            self.pass_row_end()?;
            self.used = piece.batch;
        } else if let Some(batch) = piece.batch {
            self.take_batch(batch);
        }
        Ok(Next::Piece(()))
    }

    /// Takes what was decoded ahead, unless the block does not begin with a row.
    fn take_batch(&mut self, batch: Batch<T>) {
        if self.rows.in_row() {
            self.used = Some(batch);
            return;
        }
        self.ready = Some(Ready {
            records: batch.records.into(),
            rows: batch.rows,
            next: 0,
            lines: batch.lines,
            first_line: self.rows.line(),
        });
    }

    /// Hands on what was decoded ahead; returns whether more is wanted.
    fn hand_on_ready<E: Emit<T>>(&mut self, emit: &mut E) -> bool {
        let Some(mut ready) = self.ready.take() else {
            return true;
        };
        let first = ready.next;
        let wanted = ready.hand_on(emit, self.has_skipped);
        if let Some(row) = ready.last() {
            self.cursor = row.offset as usize;
            self.position.offset = self.block_offset + u64::from(row.offset);
            self.position.line = ready.first_line + row.lines();
            self.position.records += (ready.next - first) as u64;
        }
        if wanted {
            self.leave(ready);
        } else {
            self.ready = Some(ready);
        }
        wanted
    }

    /// Goes on behind what was handed on of a batch: at the end of the block, or where a row begins
    /// that has to be decoded here.
    fn leave(&mut self, ready: Ready<T>) {
        let line = match ready.lines.filter(|_| ready.next == ready.rows.len()) {
            Some(lines) => {
                self.cursor = self.block.len();
                ready.first_line + lines
            }
            None => ready.first_line + ready.last().map_or(0, RowEnd::lines),
        };
        self.rows.restart(line);
        self.used = Some(ready.into());
    }

    fn pass_row_end(&mut self) -> Result<()> {
        self.check_row_end = false;
        self.cursor = 1;
        match self.block.as_slice() {
            // The last row may do without a line end.
            [_] | [b'\n' | b'\r', ..] => Ok(()),
            _ => Err(changed(
                &self.path,
                &format!("the end of a row before byte {}", self.position.offset),
                "the middle of one; has the file grown after its last row was read?",
            )),
        }
    }

    /// Hands the row that is complete to `emit`; returns whether more are wanted.
    #[inline]
    fn hand_on<E: Emit<T>>(&mut self, emit: &mut E) -> Result<bool> {
        match self.decoder.decode(self.rows.row()) {
            Ok(record) => {
                self.move_on();
                Ok(emit.emit(record))
            }
            Err(fault) => {
                self.skip_or_fail(&fault)?;
                self.move_on();
                Ok(emit.skip())
            }
        }
    }

    #[inline]
    fn move_on(&mut self) {
        self.position.offset = self.block_offset + self.cursor as u64;
        self.position.line = self.rows.line();
        self.position.records += 1;
    }

    #[cold]
    fn skip_or_fail(&mut self, fault: &Fault) -> Result<()> {
        match (fault, self.bad_rows) {
            (Fault::Row { .. }, BadRows::Skip) => {
                if !self.has_skipped {
                    self.has_skipped = true;
                    tracing::warn!("skipping bad rows, the first of this file is: {}", self.bad_row(fault));
                }
                Ok(())
            }
            (Fault::Row { .. }, BadRows::Fail) => Err(self.bad_row(fault)),
            (Fault::Columns(reason), _) => Err(Error::input(format!(
                "file `{}`: its columns do not fit the record type `{}`: {reason}",
                self.path.display(),
                std::any::type_name::<T>()
            ))
            .remedy("rename the field with `#[serde(rename = \"..\")]`, give it a `#[serde(default)]`, or check the header and the delimiter")),
        }
    }

    fn bad_row(&self, fault: &Fault) -> Error {
        let (path, line) = (self.path.display(), self.rows.row_line());
        let message = match fault {
            Fault::Row {
                column: Some(column),
                reason,
            } => format!(
                "file `{path}`, line {line}, column {}: \"{}\": {reason}",
                self.decoder.column_name(*column),
                shown(self.rows.row().cell(*column).unwrap_or_default())
            ),
            _ => format!("file `{path}`, line {line}: {fault}"),
        };
        Error::input(message)
            .remedy("mend the row, or pass over rows like it with `.on_bad_row(BadRows::Skip)`")
    }
}

/// A small file, from `offset` on.
fn feed_here<T>(mut input: Input, offset: u64, piece_bytes: usize) -> Result<Feed<T>> {
    input.skip_to(offset, || true)?;
    Ok(Feed::Here { input, piece_bytes })
}

fn read_ahead<T: DeserializeOwned + Data>(
    source: &CsvSource<T>,
    input: Input,
    offset: u64,
    decoder: &Arc<Decoder<T>>,
    waker: Waker,
) -> Result<ReadAhead<T>> {
    let ahead = Ahead {
        skip: source.bad_rows == BadRows::Skip,
        records_max: (BATCH_BYTES_MAX / size_of::<T>().max(1)).max(1),
    };
    let pieces = Pieces::new(
        source.decoders + PIECES_AHEAD,
        decoder.clone(),
        ahead,
        waker,
    );
    ReadAhead::start(
        input,
        offset,
        source.piece_bytes,
        Arc::new(pieces),
        source.helpers()?,
        Rows::new(source.delimiter, 0),
    )
}

impl<T> Ready<T> {
    /// Hands on rows until no more are wanted, or there are none. The first bad row of a file is
    /// not one of them: it is to be told of, so it is to be decoded again.
    #[inline]
    fn hand_on<E: Emit<T>>(&mut self, emit: &mut E, has_skipped: bool) -> bool {
        while let Some(row) = self.rows.get(self.next) {
            let wanted = if !row.is_skipped() {
                let Some(record) = self.records.pop_front() else {
                    return true;
                };
                emit.emit(record)
            } else if has_skipped {
                emit.skip()
            } else {
                return true;
            };
            self.next += 1;
            if !wanted {
                return false;
            }
        }
        true
    }

    /// The row that was handed on last.
    fn last(&self) -> Option<RowEnd> {
        self.rows.get(self.next.checked_sub(1)?).copied()
    }
}

/// Only the memory is of use.
impl<T> From<Ready<T>> for Batch<T> {
    fn from(ready: Ready<T>) -> Self {
        let mut batch = Batch {
            records: ready.records.into(),
            rows: ready.rows,
            lines: None,
        };
        batch.clear();
        batch
    }
}

/// The beginning of a cell, fit for a message.
fn shown(cell: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(cell)
        .chars()
        .take(SHOWN_CHARS)
        .collect();
    let cut = if text.len() < cell.len() { ".." } else { "" };
    format!("{}{cut}", text.escape_debug())
}

impl<T: DeserializeOwned + Data> Reader for CsvReader<T> {
    type Record = T;
    type Position = FilePosition;

    fn read<E: Emit<T>>(&mut self, emit: &mut E) -> Result<Read> {
        match self.state {
            State::Reading => {}
            State::Ended => return Ok(Read::End),
            State::Failed => {
                return Err(Error::internal(format!(
                    "file `{}` is read on after reading it failed",
                    self.path.display()
                )));
            }
        }
        let read = self.read_rows(emit);
        if read.is_err() {
            self.state = State::Failed;
        }
        read
    }

    fn position(&self) -> FilePosition {
        self.position
    }

    /// Bytes on disk.
    fn progress(&self) -> Option<(u64, u64)> {
        Some((self.taken, self.position.length.max(self.taken)))
    }
}

#[cfg(test)]
mod tests;
