//! How many bids each auction has in a day, by rank of price, and their prices.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::{Bid, Event};
use crate::rows::{Q17, rank};

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q17, impl Pipe<Item = Q17>> {
    let bids_of_rank = |wanted| count_if(move |bid: &Bid| rank(bid.price) == wanted);
    let price = |bid: &Bid| bid.price;
    let days = events
        .filter_map(Event::bid)
        .key_by(|bid| bid.auction)
        .window(Tumbling::of(Duration::from_secs(86_400)))
        .aggregate(
            "auctions-by-day",
            (
                (bids_of_rank(0), bids_of_rank(1), bids_of_rank(2)),
                (min(price), max(price), sum(price)),
            ),
        );
    days.results.map(|day| {
        let ((rank1, rank2, rank3), (min_price, max_price, sum_price)) = day.value;
        let (total_bids, sum_price) = (rank1 + rank2 + rank3, sum_price as u64);
        Q17 {
            auction: day.key,
            day_ms: day.window.start,
            total_bids,
            rank1_bids: rank1,
            rank2_bids: rank2,
            rank3_bids: rank3,
            min_price,
            max_price,
            avg_price: sum_price / total_bids,
            sum_price,
        }
    })
}
