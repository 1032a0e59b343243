//! The highest bids of each ten seconds.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::{Bid, Event};
use crate::rows::Q7;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q7, impl Pipe<Item = Q7>> {
    let highest = events
        .filter_map(Event::bid)
        .key_by(|_| ())
        .window(Tumbling::of(Duration::from_secs(10)))
        .aggregate("highest", max_by(|bid: &Bid| bid.price).with_ties());
    highest.results.flat_map(|highest| {
        let window = highest.window;
        let bids = highest.value.into_iter();
        bids.map(move |bid| Q7 {
            window_start_ms: window.start,
            window_end_ms: window.end,
            auction: bid.auction,
            bidder: bid.bidder,
            price: bid.price,
        })
    })
}
