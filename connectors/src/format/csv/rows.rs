//! Cuts bytes into rows and rows into cells, however the bytes are dealt out in blocks.

use csv_core::ReadRecordResult;

use super::MAX_ROW_BYTES;

/// Cuts a stream of blocks into rows. Quotes, doubled quotes, line ends within quotes, `\n`,
/// `\r\n` and `\r` are understood; empty lines are passed over.
#[derive(Debug)]
pub struct Rows {
    core: csv_core::Reader,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    cells: usize,
    in_row: bool,
    row_bytes: u64,
    row_line: u64,
    unclosed: bool,
}

/// What came of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A row is complete: see [`Rows::row`].
    Row,
    /// The block is used up.
    NeedInput,
}

/// A row, cut into cells.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// The cells' text, unquoted, one behind the other.
    pub text: &'r [u8],
    /// Where each cell ends in `text`.
    pub ends: &'r [usize],
    /// What is wrong with the row as a whole; its cells are then not to be used.
    pub fault: Option<RowFault>,
}

/// What can be wrong with a row before its cells are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFault {
    /// It is longer than [`MAX_ROW_BYTES`].
    TooLong(u64),
    /// The input ended within quotes.
    UnclosedQuote,
}

impl<'r> Row<'r> {
    /// The bytes of a cell.
    pub fn cell(&self, index: usize) -> Option<&'r [u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..*self.ends.get(index)?)
    }
}

impl Rows {
    /// Begins at the start of a row, which stands in line `line`.
    pub fn new(delimiter: u8, line: u64) -> Self {
        let mut core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        // A fresh core takes a byte order mark away, but rows may begin anywhere in a file, and
        // there those bytes are data. A line end that it has read makes it stop doing so.
        core.read_record(b"\n", &mut [0], &mut [0]);
        core.set_line(line);
        Rows {
            core,
            text: vec![0; 4096],
            text_len: 0,
            ends: vec![0; 64],
            cells: 0,
            in_row: false,
            row_bytes: 0,
            row_line: line,
            unclosed: false,
        }
    }

    /// Goes on at the start of another row, which stands in line `line`.
    pub fn restart(&mut self, line: u64) {
        if self.in_row {
            // What has been read of the row is in the core.
            self.core.reset();
            self.core.read_record(b"\n", &mut [0], &mut [0]);
            self.in_row = false;
        }
        self.unclosed = false;
        self.core.set_line(line);
    }

    /// Whether the input so far ends within a row.
    pub fn in_row(&self) -> bool {
        self.in_row
    }

    /// Reads on in `input`; returns how much of it was used. After [`Step::Row`] it is to be
    /// called again with the rest.
    #[inline]
    pub fn advance(&mut self, input: &[u8]) -> (Step, usize) {
        let mut used = 0;
        if !self.in_row {
            used = self.pass_line_ends(input);
            if used == input.len() {
                return (Step::NeedInput, used);
            }
            self.begin();
        }
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let (result, bytes, text, cells) = self.core.read_record(
                rest,
                &mut self.text[self.text_len..],
                &mut self.ends[self.cells..],
            );
            used += bytes;
            self.row_bytes += bytes as u64;
            self.text_len += text;
            self.cells += cells;
            match result {
                ReadRecordResult::Record => {
                    self.in_row = false;
                    return (Step::Row, used);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => self.make_room(),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => break,
            }
        }
        (Step::NeedInput, used)
    }

    /// The input has ended: returns whether a last row without a line end is complete now.
    pub fn finish(&mut self) -> bool {
        if !self.in_row {
            return false;
        }
        let (bytes, line) = (self.row_bytes, self.line());
        let (step, _) = self.advance(b"\n");
        self.row_bytes = bytes;
        self.core.set_line(line);
        self.unclosed = step == Step::NeedInput;
        self.in_row = false;
        true
    }

    /// The row that was completed last.
    #[inline]
    pub fn row(&self) -> Row<'_> {
        let fault = if self.row_bytes > MAX_ROW_BYTES {
            Some(RowFault::TooLong(self.row_bytes))
        } else if self.unclosed {
            Some(RowFault::UnclosedQuote)
        } else {
            None
        };
        Row {
            text: &self.text[..self.text_len],
            ends: &self.ends[..self.cells],
            fault,
        }
    }

    /// The line in which the row that was completed last begins; from 1.
    pub fn row_line(&self) -> u64 {
        self.row_line
    }

    /// The line of the next byte; from 1.
    pub fn line(&self) -> u64 {
        self.core.line()
    }

    /// Line ends between rows are passed over here, so that a row's line is where it begins.
    fn pass_line_ends(&mut self, input: &[u8]) -> usize {
        let mut passed = 0;
        for byte in input {
            match byte {
                b'\n' => self.core.set_line(self.core.line() + 1),
                b'\r' => {}
                _ => break,
            }
            passed += 1;
        }
        passed
    }

    fn begin(&mut self) {
        self.in_row = true;
        self.text_len = 0;
        self.cells = 0;
        self.row_bytes = 0;
        self.row_line = self.line();
    }

    /// A row that is already too long is read to its end, but no longer kept.
    #[cold]
    fn make_room(&mut self) {
        if self.row_bytes > MAX_ROW_BYTES {
            self.text_len = 0;
            self.cells = 0;
            return;
        }
        if self.text_len == self.text.len() {
            self.text.resize(self.text.len() * 2, 0);
        }
        if self.cells == self.ends.len() {
            self.ends.resize(self.ends.len() * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (u64, Vec<Vec<u8>>, Option<RowFault>, u64, usize);

    /// Every row with its line, cells, fault, and the line and offset behind it.
    fn rows_of(input: &[u8], blocks: &[usize]) -> Vec<Read> {
        rows_with(Rows::new(b',', 1), input, blocks)
    }

    fn rows_with(mut rows: Rows, input: &[u8], blocks: &[usize]) -> Vec<Read> {
        let mut read = Vec::new();
        let mut offset = 0;
        let mut sizes = blocks.iter().copied().chain(std::iter::repeat(usize::MAX));
        let take = |rows: &Rows, offset| {
            let row = rows.row();
            let cells = (0..row.ends.len())
                .filter(|_| row.fault.is_none())
                .map(|i| row.cell(i).unwrap().to_vec())
                .collect();
            (rows.row_line(), cells, row.fault, rows.line(), offset)
        };
        while offset < input.len() {
            let end = offset
                .saturating_add(sizes.next().unwrap())
                .min(input.len());
            while offset < end {
                let (step, used) = rows.advance(&input[offset..end]);
                offset += used;
                if step == Step::Row {
                    read.push(take(&rows, offset));
                }
            }
        }
        if rows.finish() {
            read.push(take(&rows, offset));
        }
        read
    }

    fn check(input: &str, expect: &[(u64, &[&str])]) {
        let read: Vec<_> = rows_of(input.as_bytes(), &[])
            .into_iter()
            .map(|(line, cells, fault, ..)| {
                assert_eq!(fault, None, "{input:?}");
                let cells: Vec<_> = cells
                    .into_iter()
                    .map(|c| String::from_utf8(c).unwrap())
                    .collect();
                (line, cells)
            })
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(line, cells)| {
                (
                    *line,
                    cells.iter().map(ToString::to_string).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(read, expect, "{input:?}");
    }

    #[test]
    fn rows_have_their_cells_and_their_line() {
        check("", &[]);
        check("\n\r\n\n", &[]);
        check("a,b\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,b\r\n1,2\r\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a\n\n\nb\n", &[(1, &["a"]), (4, &["b"])]);
        check(
            "\"x\ny\",\"a \"\"q\"\"\"\nb,\n",
            &[(1, &["x\ny", "a \"q\""]), (3, &["b", ""])],
        );
        check(",,\n", &[(1, &["", "", ""])]);
        check("a\"b,c\n", &[(1, &["a\"b", "c"])]);
        check("\u{feff}a\n", &[(1, &["\u{feff}a"])]);
        check("a\0b\n", &[(1, &["a\0b"])]);
    }

    #[test]
    fn an_unclosed_quote_is_a_fault_of_its_row() {
        let read = rows_of(b"a,b\n1,\"2\n3,4\n", &[]);
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].0, 2);
        assert_eq!(read[1].2, Some(RowFault::UnclosedQuote));
    }

    #[test]
    fn a_row_of_one_mebibyte_is_the_greatest() {
        for (cells, filler) in [(1, b'x'), (MAX_ROW_BYTES as usize, b',')] {
            let mut input = vec![filler; MAX_ROW_BYTES as usize - 1];
            input.extend(b"\nend\n");
            let read = rows_of(&input, &[]);
            assert_eq!((read[0].2, read[0].1.len()), (None, cells));
            input.insert(0, filler);
            let read = rows_of(&input, &[]);
            assert_eq!(read[0].2, Some(RowFault::TooLong(MAX_ROW_BYTES + 1)));
            assert_eq!(read[1].1, [b"end".to_vec()]);
        }
    }

    #[test]
    fn a_row_of_ten_mebibytes_is_not_kept() {
        let mut input = vec![b'x'; 10 << 20];
        input.extend(b"\nend\n");
        let mut rows = Rows::new(b',', 1);
        let mut at = 0;
        let mut seen = 0;
        while at < input.len() {
            let end = (at + 65_536).min(input.len());
            let (step, used) = rows.advance(&input[at..end]);
            at += used;
            seen += usize::from(step == Step::Row);
            assert!(rows.text.len() <= 2 * MAX_ROW_BYTES as usize);
        }
        assert_eq!(seen, 2);
    }

    proptest! {
        #[test]
        fn a_restart_forgets_what_was_read(
            before in prop::collection::vec(prop::sample::select(b"ab,\"\n\r\xef\xbb\xbf".to_vec()), 0..40),
            input in prop::collection::vec(prop::sample::select(b"ab,\"\n\r\xef\xbb\xbf".to_vec()), 0..200),
        ) {
            let mut rows = Rows::new(b',', 9);
            let mut used = 0;
            while used < before.len() {
                used += rows.advance(&before[used..]).1;
            }
            rows.restart(1);
            prop_assert_eq!(rows_with(rows, &input, &[]), rows_of(&input, &[]));
        }

        #[test]
        fn block_boundaries_change_nothing(
            input in prop::collection::vec(prop::sample::select(b"ab,\"\n\r\0\xef\xbb\xbf".to_vec()), 0..200),
            blocks in prop::collection::vec(1usize..7, 0..60),
        ) {
            prop_assert_eq!(rows_of(&input, &blocks), rows_of(&input, &[]));
        }

        #[test]
        fn rows_are_those_of_the_csv_crate(
            input in prop::collection::vec(prop::sample::select(b"ab,\"\n\r".to_vec()), 0..200),
        ) {
            let mut reference = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(input.as_slice());
            let reference: Vec<Vec<Vec<u8>>> = reference
                .byte_records()
                .map(|r| r.unwrap().iter().map(<[u8]>::to_vec).collect())
                .collect();
            let mut read = rows_of(&input, &[]);
            // The csv crate takes what is within unclosed quotes as it stands.
            if read.last().is_some_and(|r| r.2.is_some()) {
                read.pop();
                prop_assert_eq!(read.len() + 1, reference.len());
            }
            let cells: Vec<_> = read.into_iter().map(|r| r.1).collect();
            prop_assert_eq!(&cells, &reference[..cells.len()]);
        }

        #[test]
        fn reading_on_at_any_row_gives_the_same_rows(
            input in prop::collection::vec(prop::sample::select(b"ab,\"\n\r".to_vec()), 0..200),
        ) {
            let all = rows_of(&input, &[]);
            for (i, row) in all.iter().enumerate() {
                let rest = rows_of(&input[row.4..], &[]);
                let expect: Vec<_> = all[i + 1..].iter().map(|r| (r.1.clone(), r.2)).collect();
                prop_assert_eq!(rest.into_iter().map(|r| (r.1, r.2)).collect::<Vec<_>>(), expect);
            }
        }
    }
}
