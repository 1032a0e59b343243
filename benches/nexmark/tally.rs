//! How many rows there are, and the sum that tells whether they are the right ones.

use std::hint::black_box;

use serde::{Deserialize, Serialize};

use crate::rows::Row;

/// What the rows of a query come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    /// The wrapping sum of the rows' checksums.
    pub(crate) checksum: u64,
}

impl Tally {
    /// Counts a row. The row is made as a whole, also if only one column of it is looked at:
    /// otherwise the compiler would leave out the work that a query is.
    #[inline]
    pub(crate) fn add(&mut self, row: &impl Row) {
        let row = black_box(row);
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(row.checksum());
    }
}

/// The tallies of two parts are that of the whole.
impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.rows += other.rows;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}
