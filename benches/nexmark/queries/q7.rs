//! The highest bids of each ten seconds.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use serde::{Deserialize, Serialize};

use crate::event::{Bid, Event};
use crate::rows::Q7;

/// What a row needs of a bid.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Offer {
    auction: u64,
    bidder: u64,
    price: u64,
}

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q7, impl Pipe<Item = Q7>> {
    let offer = |bid: &Bid| Offer {
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
    };
    let dearest = max_by(|offer: &Offer| offer.price).with_ties();
    let highest = events
        .filter_map(Event::bid)
        .key_by(|_| ())
        .window(Tumbling::of(Duration::from_secs(10)))
        .aggregate("highest", over(offer, dearest));
    highest.results.flat_map(|highest| {
        let window = highest.window;
        let offers = highest.value.into_iter();
        offers.map(move |offer| Q7 {
            window_start_ms: window.start,
            window_end_ms: window.end,
            auction: offer.auction,
            bidder: offer.bidder,
            price: offer.price,
        })
    })
}
