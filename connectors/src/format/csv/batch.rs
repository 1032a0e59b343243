//! Records that were decoded ahead of their turn.

use serde::de::DeserializeOwned;

use super::fault::Fault;
use super::record::Decoder;
use super::rows::{Rows, Step};

/// The records of a piece of a file, with where each row ends: made on any thread, handed on later.
#[derive(Debug)]
pub struct Batch<T> {
    /// The records of the rows that are none to skip, in order.
    pub records: Vec<T>,
    /// Every row, in order.
    pub rows: Vec<RowEnd>,
    /// How many lines end in the piece, if all of it was decoded and it ends with a row. If not,
    /// decoding is to go on behind the last row of `rows`, in order with everything else: there a
    /// row begins that cannot be judged out of turn.
    pub lines: Option<u64>,
}

/// Where a row ends, in bytes and lines from the beginning of the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowEnd {
    /// Bytes up to the end.
    pub offset: u32,
    lines_and_kind: u32,
}

/// The bit that says that a row is to be skipped.
const SKIPPED: u32 = 1 << 31;

impl RowEnd {
    /// `None` beyond what fits.
    #[inline]
    fn new(offset: usize, lines: u64, skipped: bool) -> Option<Self> {
        let offset = u32::try_from(offset).ok()?;
        let lines = u32::try_from(lines).ok().filter(|n| *n < SKIPPED)?;
        Some(RowEnd {
            offset,
            lines_and_kind: lines | if skipped { SKIPPED } else { 0 },
        })
    }

    /// How many lines have ended.
    pub fn lines(self) -> u64 {
        u64::from(self.lines_and_kind & !SKIPPED)
    }

    /// Whether the row is a bad one.
    #[inline]
    pub fn is_skipped(self) -> bool {
        self.lines_and_kind & SKIPPED != 0
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch {
            records: Vec::new(),
            rows: Vec::new(),
            lines: None,
        }
    }
}

impl<T> Batch<T> {
    /// Forgets everything but its memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.rows.clear();
        self.lines = None;
    }
}

/// When decoding ahead stops.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// Bad rows are noted and passed over; otherwise they stop it.
    pub skip: bool,
    /// The most records.
    pub records_max: usize,
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Decodes `piece`, which begins with a row, into `batch`, which is empty.
    ///
    /// What it puts there is right as far as it goes, also if a record's `Deserialize` panics.
    pub fn decode_ahead(&self, rows: &mut Rows, piece: &[u8], ahead: Ahead, batch: &mut Batch<T>) {
        rows.restart(0);
        let mut at = 0;
        while batch.records.len() < ahead.records_max {
            let (step, used) = rows.advance(piece.get(at..).unwrap_or_default());
            at += used;
            if step == Step::NeedInput {
                batch.lines = (!rows.in_row()).then(|| rows.line());
                return;
            }
            let record = match self.decode(rows.row()) {
                Ok(record) => Some(record),
                Err(fault) if ahead.skip && matches!(*fault, Fault::Row { .. }) => None,
                Err(_) => return,
            };
            let Some(end) = RowEnd::new(at, rows.line(), record.is_none()) else {
                return;
            };
            batch.rows.push(end);
            if let Some(record) = record {
                batch.records.push(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKIP: Ahead = Ahead {
        skip: true,
        records_max: 100,
    };

    type Decoded = (Vec<i32>, Vec<(u32, u64, bool)>, Option<u64>);

    fn decode(piece: &str, ahead: Ahead) -> Decoded {
        let decoder = Decoder::<i32>::by_place(Some(1));
        let mut batch = Batch::default();
        let mut rows = Rows::new(b',', 7);
        decoder.decode_ahead(&mut rows, piece.as_bytes(), ahead, &mut batch);
        let rows = batch
            .rows
            .iter()
            .map(|r| (r.offset, r.lines(), r.is_skipped()));
        (batch.records.clone(), rows.collect(), batch.lines)
    }

    #[test]
    fn every_row_has_its_end() {
        assert_eq!(
            decode("1\n\nx\n\"2\"\r\n", SKIP),
            (
                vec![1, 2],
                vec![(2, 1, false), (5, 3, true), (9, 3, false)],
                Some(4)
            )
        );
        assert_eq!(decode("", SKIP), (vec![], vec![], Some(0)));
        assert_eq!(decode("\n\r\n", SKIP), (vec![], vec![], Some(2)));
    }

    #[test]
    fn it_stops_before_what_cannot_be_judged_out_of_turn() {
        let expect = (vec![1], vec![(2, 1, false)], None);
        let fail = Ahead {
            skip: false,
            ..SKIP
        };
        let one = Ahead {
            records_max: 1,
            ..SKIP
        };
        for (piece, ahead) in [
            ("1\nx\n2\n", fail),
            ("1\n2", SKIP),
            ("1\n\"2\n", SKIP),
            ("1\n2\n", one),
        ] {
            assert_eq!(decode(piece, ahead), expect, "{piece:?} {ahead:?}");
        }
    }

    #[test]
    fn a_panic_leaves_what_was_right() {
        #[derive(Debug)]
        struct Touchy(i32);
        impl<'de> serde::Deserialize<'de> for Touchy {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let number = i32::deserialize(d)?;
                assert!(number != 3, "three");
                Ok(Touchy(number))
            }
        }
        let decoder = Decoder::<Touchy>::by_place(Some(1));
        let mut batch = Batch::default();
        let mut rows = Rows::new(b',', 1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            decoder.decode_ahead(&mut rows, b"1\n2\n3\n4\n", SKIP, &mut batch);
        }));
        assert!(caught.is_err());
        let numbers: Vec<i32> = batch.records.iter().map(|t| t.0).collect();
        assert_eq!((numbers, batch.rows.len()), (vec![1, 2], 2));
        assert_eq!(batch.lines, None);
    }
}
