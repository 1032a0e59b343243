//! Where the loop's rows go: they are counted, and written if there is a folder for them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use millstream::{Error, Result};

use crate::rows::Row;
use crate::tally::Tally;

/// The file of a folder that holds the rows.
const FILE: &str = "rows.jsonl";

/// Takes the rows of a query.
#[derive(Debug)]
pub(crate) struct Output {
    tally: Tally,
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    /// Told at the end, so that the loop need not look at each row.
    failed: Option<std::io::Error>,
}

impl Output {
    /// Counts rows, and writes them as JSON lines to a file in `folder`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn create(folder: Option<&Path>) -> Result<Self> {
        let lines = folder.map(Lines::create).transpose()?;
        Ok(Output {
            tally: Tally::default(),
            lines,
        })
    }

    /// Takes a row.
    #[inline]
    pub(crate) fn add(&mut self, row: &impl Row) {
        self.tally.add(row);
        if let Some(lines) = &mut self.lines {
            lines.write(row);
        }
    }

    /// What the rows come to, when all are written.
    ///
    /// # Errors
    /// When a row could not be written.
    pub(crate) fn finish(self) -> Result<Tally> {
        if let Some(mut lines) = self.lines {
            let flushed = lines.file.flush();
            if let Some(error) = lines.failed.or(flushed.err()) {
                let what = format!("cannot write {}", lines.path.display());
                return Err(Error::io(what, error));
            }
        }
        Ok(self.tally)
    }
}

impl Lines {
    fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let file = std::fs::create_dir_all(folder)
            .and_then(|()| File::create(&path))
            .map_err(|e| Error::io(format!("cannot create {}", path.display()), e))?;
        Ok(Lines {
            path,
            file: BufWriter::with_capacity(1 << 16, file),
            failed: None,
        })
    }

    #[inline(never)]
    fn write(&mut self, row: &impl Row) {
        if self.failed.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut self.file, row)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"));
        self.failed = written.err();
    }
}
