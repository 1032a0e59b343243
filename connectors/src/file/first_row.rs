//! The first row of a file of comma separated values.

use millstream_engine::error::{Error, Result};

use super::input::Input;
use crate::format::csv::rows::{Row, RowFault, Rows, Step};

/// What the beginning of a file says about its rows.
pub(crate) struct FirstRow {
    /// Its cells, if the file has a row and it is a sound one.
    pub(crate) cells: Option<Vec<String>>,
    /// Where the records begin, after a byte order mark and the header.
    pub(crate) records_offset: u64,
    pub(crate) records_line: u64,
}

impl FirstRow {
    pub(crate) fn read(mut input: Input, delimiter: u8, header: bool) -> Result<Self> {
        const STEP: usize = 16 * 1024;
        let path = input.path().to_path_buf();
        let mut rows = Rows::new(delimiter, 1);
        let mut block = Vec::new();
        let mut offset = 0;
        let mut complete = false;
        let mut start = 0;
        while !complete {
            input.fill(&mut block, 0, STEP)?;
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
