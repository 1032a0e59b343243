//! The ten highest bids of each auction; of equal ones the earliest, then the lowest bidder's.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::event::{Bid, Event};
use crate::rows::Q19;

/// What a ranking needs of a bid.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Offer {
    bidder: u64,
    price: u64,
    ts: Timestamp,
}

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q19, impl Pipe<Item = Q19>> {
    let highest_first = |offer: &Offer| (offer.price, Reverse(offer.ts), Reverse(offer.bidder));
    let offer = |bid: &Bid| Offer {
        bidder: bid.bidder,
        price: bid.price,
        ts: bid.ts,
    };
    let rankings = events
        .filter_map(Event::bid)
        .key_by(|bid| bid.auction)
        .window(Global)
        .aggregate("rankings", over(offer, top_n(10, highest_first)));
    rankings.results.flat_map(|ranking| {
        let offers = ranking.value.into_iter().zip(1..);
        offers.map(move |(offer, rank)| Q19 {
            auction: ranking.key,
            rank,
            bidder: offer.bidder,
            price: offer.price,
            ts: offer.ts,
        })
    })
}
