//! The last bid of each bidder in each auction; of bids at the same time the highest.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use serde::{Deserialize, Serialize};

use crate::event::{Bid, Event};
use crate::rows::Q18;

/// What is kept of a bid, beside its key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Last {
    ts: Timestamp,
    price: u64,
}

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q18, impl Pipe<Item = Q18>> {
    let last = |bid: &Bid| Last {
        ts: bid.ts,
        price: bid.price,
    };
    let last = events
        .filter_map(Event::bid)
        .key_by(|bid| (bid.bidder, bid.auction))
        .window(Global)
        .aggregate(
            "last-bids",
            over(last, last_by(|bid: &Last| (bid.ts, bid.price))),
        );
    last.results.map(|last| Q18 {
        auction: last.key.1,
        bidder: last.key.0,
        price: last.value.price,
        ts: last.value.ts,
    })
}
