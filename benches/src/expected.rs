//! What the Nexmark queries have to give: rows and checksums at 1 and at 10 million events.
//!
//! The figures are those on which independent implementations of the same generator and queries
//! agree (narrow events, 100,000 a second, in order or shuffled).

use std::collections::BTreeMap;

use serde::Deserialize;

const TABLE: &str = include_str!("../nexmark_expected.json");

/// The result of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Expected {
    /// How many rows; for queries that update their rows, how many keys have one at the end.
    pub rows: u64,
    /// The wrapping sum of [`Query::checksum_of`] over the rows.
    pub checksum: u64,
}

/// What one query has to give.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Query {
    /// The field whose wrapping sum over the rows is the checksum.
    pub checksum_of: String,
    /// By the number of events.
    #[serde(flatten)]
    by_events: BTreeMap<String, Expected>,
}

impl Query {
    /// The result over this many events, if it is known.
    pub fn over(&self, events: u64) -> Option<Expected> {
        self.by_events.get(&events.to_string()).copied()
    }
}

/// The table, by the query's name (`q5`).
///
/// # Errors
/// When `nexmark_expected.json` is not what it should be.
pub fn table() -> Result<BTreeMap<String, Query>, serde_json::Error> {
    serde_json::from_str(TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_both_sizes_of_every_query() {
        let table = table().unwrap();
        assert_eq!(table.len(), 15);
        for (name, query) in &table {
            let (small, large) = (query.over(1_000_000), query.over(10_000_000));
            let (small, large) = (small.expect(name), large.expect(name));
            assert!(small.rows <= large.rows, "{name}");
        }
        assert_eq!(
            table["q5"].over(1_000_000),
            Some(Expected {
                rows: 10,
                checksum: 8_362
            })
        );
        assert_eq!(table["q5"].checksum_of, "bids");
        assert_eq!(table["q5"].over(7), None);
    }
}
