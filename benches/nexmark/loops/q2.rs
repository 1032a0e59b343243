//! q2: bids in some auctions.

use super::Loop;
use crate::event::Event;
use crate::rows;

pub(super) struct Q2;

impl Loop for Q2 {
    type Row = rows::Q2;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q2)) {
        if let Event::Bid(bid) = event
            && bid.auction.is_multiple_of(123)
        {
            out(rows::Q2 {
                auction: bid.auction,
                price: bid.price,
            });
        }
    }

    fn end(self, _: &mut impl FnMut(rows::Q2)) {}
}
