//! q18: the last bid of each bidder in each auction.

use std::collections::hash_map::Entry;

use millstream::Timestamp;
use rustc_hash::FxHashMap;

use super::Loop;
use crate::event::Event;
use crate::rows;

/// Later is greater, and of bids at the same time the one with the higher price.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    ts: Timestamp,
    price: u64,
}

/// By bidder and auction.
#[derive(Default)]
pub(super) struct Q18 {
    last: FxHashMap<(u64, u64), Last>,
}

impl Loop for Q18 {
    type Row = rows::Q18;

    #[inline]
    fn event(&mut self, event: Event, _: &mut impl FnMut(rows::Q18)) {
        if let Event::Bid(bid) = event {
            let this = Last {
                ts: bid.ts,
                price: bid.price,
            };
            match self.last.entry((bid.bidder, bid.auction)) {
                Entry::Occupied(mut last) => {
                    let last = last.get_mut();
                    *last = this.max(*last);
                }
                Entry::Vacant(none) => {
                    none.insert(this);
                }
            }
        }
    }

    fn end(self, out: &mut impl FnMut(rows::Q18)) {
        for ((bidder, auction), last) in self.last {
            out(rows::Q18 {
                auction,
                bidder,
                price: last.price,
                ts: last.ts,
            });
        }
    }
}
