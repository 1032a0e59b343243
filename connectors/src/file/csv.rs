//! Reads files of comma separated values.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::{Source, Waker};

pub use super::csv_reader::CsvReader;
use super::csv_reader::Opened;
use super::decoders::{Decoders, Shared};
use super::first_row::FirstRow;
use super::input::Input;
use super::position::{FilePosition, Head, changed};
use super::splits;

/// How much of a file is decoded at once.
const PIECE_BYTES: usize = 256 * 1024;
/// More decoders than this give a worker more records than it can use.
const DECODERS_DEFAULT_MAX: usize = 4;
/// The memory of a file's pieces grows with them.
const DECODERS_MAX: usize = 64;

/// Reads records of type `T` from comma separated values: a file, a folder (its `*.csv` and
/// `*.csv.gz` files) or a glob pattern. Each file is a split. Gzip is known by its first bytes.
///
/// The first row names the columns; they are matched with the fields of `T` by name, in any
/// order, and columns that `T` has no field for are left out. An empty cell is `None` for an
/// `Option`. Text is UTF-8; a byte order mark at the beginning is passed over, as are empty lines.
/// A row has at most 1 MiB. Quotes are read as most programs read them: within a cell that does
/// not begin with one they are text, and text behind a closing quote belongs to the cell.
///
/// One big file is decoded on several cores, in order: see [`decoders`](CsvSource::decoders).
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
        decoders: std::thread::available_parallelism()
            .map_or(1, |cores| cores.get().min(DECODERS_DEFAULT_MAX)),
        piece_bytes: PIECE_BYTES,
        shared: Shared::default(),
    }
}

/// A source of comma separated values: see [`csv()`].
#[derive(Clone, Debug)]
pub struct CsvSource<T> {
    path: PathBuf,
    pub(super) delimiter: u8,
    pub(super) header: bool,
    pub(super) bad_rows: BadRows,
    pub(super) decoders: usize,
    pub(super) piece_bytes: usize,
    /// The decoders beside the workers.
    shared: Shared<T>,
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
        self.shared = Shared::default();
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

    /// How many threads decode one big file: the worker, and `decoders - 1` others that help it,
    /// ahead of their turn. The worker still hands records on in the order of the file. If nothing
    /// is said, as many as the machine has cores, but at most 4. The most that can be said is 64.
    ///
    /// The others are shared by all files of the source. Files of up to half a megabyte have
    /// neither them nor a thread that reads ahead. Each big file holds at most `decoders + 6`
    /// pieces of a quarter of a megabyte in memory, with the records that they were decoded to.
    ///
    /// With 1, records are made where they are used. That takes the least CPU time, so it is the
    /// best choice where the cores have enough to do: as many workers as cores, each with files.
    #[must_use]
    pub fn decoders(mut self, decoders: usize) -> Self {
        self.decoders = decoders.clamp(1, DECODERS_MAX);
        self.shared = Shared::default();
        self
    }

    /// How much of a file is decoded at once.
    #[cfg(test)]
    pub(super) fn piece_bytes(mut self, bytes: usize) -> Self {
        self.piece_bytes = bytes;
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

impl<T: DeserializeOwned + Data> CsvSource<T> {
    /// Those that decode beside the worker, if there are to be any.
    pub(super) fn helpers(&self) -> Result<Option<Arc<Decoders<T>>>> {
        match self.decoders - 1 {
            0 => Ok(None),
            helpers => self.shared.get(helpers, self.delimiter).map(Some),
        }
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
