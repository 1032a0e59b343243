//! q1: bids, the price in another currency.

use super::Loop;
use crate::event::Event;
use crate::rows;

pub(super) struct Q1;

impl Loop for Q1 {
    type Row = rows::Q1;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q1)) {
        if let Event::Bid(bid) = event {
            out(rows::Q1 {
                auction: bid.auction,
                bidder: bid.bidder,
                price: bid.price * 908 / 1000,
                ts: bid.ts,
            });
        }
    }

    fn end(self, _: &mut impl FnMut(rows::Q1)) {}
}
