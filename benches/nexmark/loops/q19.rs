//! q19: the ten highest bids of each auction.

use std::cmp::Reverse;

use millstream::Timestamp;
use rustc_hash::FxHashMap;

use super::Loop;
use crate::event::Event;
use crate::rows;

const RANKS: usize = 10;

/// The highest price is first, of the same price the earliest, and then the lowest bidder.
type Ranked = (Reverse<u64>, Timestamp, u64);

/// By auction, in order.
#[derive(Default)]
pub(super) struct Q19 {
    top: FxHashMap<u64, Vec<Ranked>>,
}

impl Loop for Q19 {
    type Row = rows::Q19;

    #[inline]
    fn event(&mut self, event: Event, _: &mut impl FnMut(rows::Q19)) {
        if let Event::Bid(bid) = event {
            let this = (Reverse(bid.price), bid.ts, bid.bidder);
            let top = self.top.entry(bid.auction).or_default();
            if top.len() == RANKS {
                if top.last().is_some_and(|last| *last <= this) {
                    return;
                }
                top.pop();
            }
            let place = top.partition_point(|other| *other <= this);
            top.insert(place, this);
        }
    }

    fn end(self, out: &mut impl FnMut(rows::Q19)) {
        for (auction, top) in self.top {
            for (rank, (Reverse(price), ts, bidder)) in (1..).zip(top) {
                out(rows::Q19 {
                    auction,
                    rank,
                    bidder,
                    price,
                    ts,
                });
            }
        }
    }
}
