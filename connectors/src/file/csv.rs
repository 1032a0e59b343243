//! Reads files of comma separated values.

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::{Emit, Read, Reader, Source, Waker};

use super::position::{FilePosition, Head, changed};
use super::read_ahead::{Input, Next, ReadAhead};
use super::splits;
use crate::format::csv::record::{Decoder, Fault};
use crate::format::csv::rows::{Row, RowFault, Rows, Step};

/// How many characters of a bad cell an error shows.
const SHOWN_CHARS: usize = 80;

/// Reads records of type `T` from comma separated values: a file, a folder (its `*.csv` and
/// `*.csv.gz` files) or a glob pattern. Each file is a split. Gzip is known by its first bytes.
///
/// The first row names the columns; they are matched with the fields of `T` by name, in any
/// order, and columns that `T` has no field for are left out. An empty cell is `None` for an
/// `Option`. Text is UTF-8; a byte order mark at the beginning is passed over, as are empty lines.
/// A row has at most 1 MiB. Quotes are read as most programs read them: within a cell that does
/// not begin with one they are text, and text behind a closing quote belongs to the cell.
///
/// The files are to be complete: a row that is appended later is read only by a job that has not
/// come to the end of the file before.
///
/// ```
/// use millstream_connectors::file;
/// use serde::Deserialize;
///
/// #[derive(Clone, Debug, Deserialize)]
/// struct Flight {
///     origin: String,
///     delay: Option<i32>,
/// }
///
/// let flights = file::csv::<Flight>("flights/*.csv.gz").delimiter(b';');
/// ```
pub fn csv<T: DeserializeOwned + Data>(path: impl Into<PathBuf>) -> CsvSource<T> {
    CsvSource {
        path: path.into(),
        delimiter: b',',
        header: true,
        bad_rows: BadRows::Fail,
        record: PhantomData,
    }
}

/// A source of comma separated values: see [`csv()`].
#[derive(Clone, Debug)]
pub struct CsvSource<T> {
    path: PathBuf,
    delimiter: u8,
    header: bool,
    bad_rows: BadRows,
    record: PhantomData<fn() -> T>,
}

/// What to do with a row that cannot be read: with another number of columns than the others, a
/// cell that does not fit its field, text that is not UTF-8, or more than 1 MiB.
///
/// Columns that do not fit the record type at all, and files that cannot be decompressed, are not
/// bad rows: they always end the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BadRows {
    /// The job ends with an error that names file, line and column.
    #[default]
    Fail,
    /// The row is counted and passed over; the first of each file is logged. A quote that is not
    /// closed makes one bad row of everything up to the next quote, or up to the end.
    Skip,
}

impl<T> CsvSource<T> {
    /// What separates the cells; a comma if nothing is said.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The first row is a record like the others; columns are matched by their order. Every row
    /// has to have as many as the first.
    #[must_use]
    pub fn no_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// What to do with rows that cannot be read; [`BadRows::Fail`] if nothing is said.
    #[must_use]
    pub fn on_bad_row(mut self, policy: BadRows) -> Self {
        self.bad_rows = policy;
        self
    }

    fn check_delimiter(&self) -> Result<()> {
        if matches!(self.delimiter, b'"' | b'\r' | b'\n') || !self.delimiter.is_ascii() {
            return Err(Error::config(format!(
                "source `{}`: the byte {:#04x} cannot separate cells",
                self.path.display(),
                self.delimiter
            ))
            .remedy("choose an ASCII character that is neither a quote nor a line end"));
        }
        Ok(())
    }

    fn open_file(&self, path: &Path, restored: bool) -> Result<File> {
        File::open(path).map_err(|cause| {
            if restored && cause.kind() == std::io::ErrorKind::NotFound {
                return changed(path, "the file", "nothing");
            }
            Error::io(format!("cannot open `{}`", path.display()), cause)
        })
    }
}

impl<T: DeserializeOwned + Data> Source for CsvSource<T> {
    type Record = T;
    type Reader = CsvReader<T>;

    fn splits(&self) -> Result<Vec<String>> {
        self.check_delimiter()?;
        splits::list(&self.path)
    }

    fn open(
        &self,
        split: &str,
        position: Option<FilePosition>,
        waker: Waker,
    ) -> Result<CsvReader<T>> {
        self.check_delimiter()?;
        let path = splits::file_of(&self.path, split);
        let mut file = self.open_file(&path, position.is_some())?;
        let head = Head::read(&mut file, &path)?;
        if let Some(position) = &position {
            head.check(position, &path)?;
        }
        if head.length < 2
            && path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("gz"))
        {
            return Err(
                Error::input(format!("the gzip file `{}` is truncated", path.display()))
                    .remedy("fetch the file again, and check it with `gzip -t`"),
            );
        }
        let again = file
            .try_clone()
            .map_err(|cause| Error::io(format!("cannot open `{}` twice", path.display()), cause))?;
        let first = FirstRow::read(
            Input::new(again, &path, head.is_gzip())?,
            self.delimiter,
            self.header,
        )?;
        CsvReader::start(
            self,
            Opened {
                path,
                file,
                head,
                first,
            },
            position,
            waker,
        )
    }
}

/// A file that has been looked at.
struct Opened {
    path: PathBuf,
    file: File,
    head: Head,
    first: FirstRow,
}

/// What the beginning of a file says about its rows.
struct FirstRow {
    /// Its cells, if the file has a row and it is a sound one.
    cells: Option<Vec<String>>,
    /// Where the records begin, after a byte order mark and the header.
    records_offset: u64,
    records_line: u64,
}

impl FirstRow {
    fn read(mut input: Input, delimiter: u8, header: bool) -> Result<Self> {
        const STEP: usize = 16 * 1024;
        let path = input.path().to_path_buf();
        let mut rows = Rows::new(delimiter, 1);
        let mut block = Vec::new();
        let mut offset = 0;
        let mut complete = false;
        let mut start = 0;
        while !complete {
            input.fill(&mut block, STEP)?;
            if block.is_empty() {
                complete = rows.finish();
                break;
            }
            let mut used = 0;
            if offset == 0 && block.starts_with(b"\xef\xbb\xbf") {
                used = 3;
                start = 3;
            }
            let (step, bytes) = rows.advance(block.get(used..).unwrap_or_default());
            offset += (used + bytes) as u64;
            // A row without an end is not read to the end of the file to learn that.
            let too_long = matches!(rows.row().fault, Some(RowFault::TooLong(_)));
            complete = step == Step::Row || too_long;
        }
        let cells = if complete { cells_of(rows.row()) } else { None };
        if !header {
            return Ok(FirstRow {
                cells,
                records_offset: start,
                records_line: 1,
            });
        }
        if complete && cells.is_none() {
            return Err(Error::input(format!(
                "file `{}`: the header in line {} cannot be read: it is not valid UTF-8, too long, or a quote in it is not closed",
                path.display(),
                rows.row_line()
            ))
            .remedy("mend the file; if it has no header, say so with `.no_header()`"));
        }
        Ok(FirstRow {
            cells,
            records_offset: offset,
            records_line: rows.line(),
        })
    }
}

fn cells_of(row: Row<'_>) -> Option<Vec<String>> {
    if row.fault.is_some() {
        return None;
    }
    (0..row.ends.len())
        .map(|i| Some(std::str::from_utf8(row.cell(i)?).ok()?.to_owned()))
        .collect()
}

/// Reads one file of comma separated values.
pub struct CsvReader<T> {
    path: PathBuf,
    decoder: Decoder<T>,
    rows: Rows,
    ahead: ReadAhead,
    block: Vec<u8>,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

impl<T: DeserializeOwned + Data> CsvReader<T> {
    fn start(
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
        Ok(CsvReader {
            decoder: match (source.header, first.cells) {
                (true, names) => Decoder::with_header(names.unwrap_or_default()),
                (false, cells) => Decoder::by_place(cells.map(|c| c.len())),
            },
            rows: Rows::new(source.delimiter, position.line),
            ahead: ReadAhead::start(input, from, waker)?,
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
                Next::Block => {}
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

    fn next_block(&mut self) -> Result<Next> {
        let length = self.block.len() as u64;
        let next = self.ahead.next(&mut self.block)?;
        if let Next::Block = next {
            self.block_offset += length;
            self.cursor = 0;
            if self.check_row_end {
                self.pass_row_end()?;
            }
        }
        Ok(next)
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
        let taken = self.ahead.taken();
        Some((taken, self.position.length.max(taken)))
    }
}
