//! What the queries give: a row for each, with the names that other implementations write, too.

use millstream::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// A result of a query.
pub(crate) trait Row: Serialize {
    /// What the row adds to the checksum of its query.
    fn checksum(&self) -> u64;
}

/// Says which column a query's checksum is the sum of.
macro_rules! checksum {
    ($($row:ident: $column:ident),* $(,)?) => {
        $(impl Row for $row {
            #[inline]
            fn checksum(&self) -> u64 {
                self.$column
            }
        })*
    };
}

checksum! {
    Q1: price, Q2: price, Q5: bids, Q7: price, Q11: bids, Q12: bids,
    Q15: total_bidders, Q17: avg_price, Q18: price, Q19: price,
}

/// q0: the events themselves.
impl Row for Event {
    #[inline]
    fn checksum(&self) -> u64 {
        self.ts().cast_unsigned()
    }
}

/// A bid, its price in another currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q1 {
    pub(crate) auction: u64,
    pub(crate) bidder: u64,
    pub(crate) price: u64,
    pub(crate) ts: Timestamp,
}

/// A bid in one of some auctions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q2 {
    pub(crate) auction: u64,
    pub(crate) price: u64,
}

/// An auction that no other had more bids than, in a sliding window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q5 {
    pub(crate) window_start_ms: Timestamp,
    pub(crate) window_end_ms: Timestamp,
    pub(crate) auction: u64,
    pub(crate) bids: u64,
}

/// A bid that none had a higher price than, in a tumbling window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q7 {
    pub(crate) window_start_ms: Timestamp,
    pub(crate) window_end_ms: Timestamp,
    pub(crate) auction: u64,
    pub(crate) bidder: u64,
    pub(crate) price: u64,
}

/// A session of a bidder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q11 {
    pub(crate) bidder: u64,
    pub(crate) start_ms: Timestamp,
    pub(crate) last_ms: Timestamp,
    pub(crate) bids: u64,
}

/// The bids of a bidder in a window of processing time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q12 {
    pub(crate) bidder: u64,
    pub(crate) window_start_ms: Timestamp,
    pub(crate) window_end_ms: Timestamp,
    pub(crate) bids: u64,
}

/// A day's bids, and its different bidders and auctions, over all and by rank of price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q15 {
    pub(crate) day_ms: Timestamp,
    pub(crate) total_bids: u64,
    pub(crate) rank1_bids: u64,
    pub(crate) rank2_bids: u64,
    pub(crate) rank3_bids: u64,
    pub(crate) total_bidders: u64,
    pub(crate) rank1_bidders: u64,
    pub(crate) rank2_bidders: u64,
    pub(crate) rank3_bidders: u64,
    pub(crate) total_auctions: u64,
    pub(crate) rank1_auctions: u64,
    pub(crate) rank2_auctions: u64,
    pub(crate) rank3_auctions: u64,
}

/// An auction's bids of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q17 {
    pub(crate) auction: u64,
    pub(crate) day_ms: Timestamp,
    pub(crate) total_bids: u64,
    pub(crate) rank1_bids: u64,
    pub(crate) rank2_bids: u64,
    pub(crate) rank3_bids: u64,
    pub(crate) min_price: u64,
    pub(crate) max_price: u64,
    pub(crate) avg_price: u64,
    pub(crate) sum_price: u64,
}

/// The last bid of a bidder in an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q18 {
    pub(crate) auction: u64,
    pub(crate) bidder: u64,
    pub(crate) price: u64,
    pub(crate) ts: Timestamp,
}

/// One of the ten highest bids in an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Q19 {
    pub(crate) auction: u64,
    /// From 1.
    pub(crate) rank: u64,
    pub(crate) bidder: u64,
    pub(crate) price: u64,
    pub(crate) ts: Timestamp,
}

/// The rank of a price: 0, 1 or 2 for the columns `rank1`, `rank2` and `rank3`.
#[inline]
pub(crate) fn rank(price: u64) -> usize {
    usize::from(price >= 10_000) + usize::from(price >= 1_000_000)
}
