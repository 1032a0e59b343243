//! The price of each bid in another currency.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::Event;
use crate::rows::Q1;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q1, impl Pipe<Item = Q1>> {
    events.filter_map(Event::bid).map(|bid| Q1 {
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price * 908 / 1000,
        ts: bid.ts,
    })
}
