//! The bids in some of the auctions.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::Event;
use crate::rows::Q2;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q2, impl Pipe<Item = Q2>> {
    events
        .filter_map(Event::bid)
        .filter(|bid| bid.auction % 123 == 0)
        .map(|bid| Q2 {
            auction: bid.auction,
            price: bid.price,
        })
}
