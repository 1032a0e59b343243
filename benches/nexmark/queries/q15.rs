//! Bids, bidders and auctions of each day, counted over all bids and by rank of price.
//!
//! There may be millions of bidders in a day, so no set of them stands in one place. First the
//! bids of each bidder and of each auction are counted, in one stream; then the bidders and
//! auctions that have some.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::rows::{Q15, rank};

/// Who or what a bid is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Part {
    Bidder(u64),
    Auction(u64),
}

/// The bids of one part, by rank.
#[derive(Clone, Copy, Debug)]
struct Counted {
    is_bidder: bool,
    bids: [u64; 3],
}

impl Counted {
    fn bids(&self, ranks: &Range<usize>) -> u64 {
        self.bids[ranks.clone()].iter().sum()
    }
}

/// The bids of these ranks; each counts once, with its bidder.
fn bids(ranks: Range<usize>) -> impl Accumulator<Counted, Output = i128> {
    sum(move |part: &Counted| if part.is_bidder { part.bids(&ranks) } else { 0 })
}

/// The bidders with bids of these ranks.
fn bidders(ranks: Range<usize>) -> impl Accumulator<Counted, Output = u64> {
    count_if(move |part: &Counted| part.is_bidder && part.bids(&ranks) > 0)
}

/// The auctions with bids of these ranks.
fn auctions(ranks: Range<usize>) -> impl Accumulator<Counted, Output = u64> {
    count_if(move |part: &Counted| !part.is_bidder && part.bids(&ranks) > 0)
}

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q15, impl Pipe<Item = Q15>> {
    let day = Tumbling::of(Duration::from_secs(86_400));
    let bids_of_rank = |wanted| count_if(move |(_, rank): &(Part, usize)| *rank == wanted);
    let bids_by_part = events
        .filter_map(Event::bid)
        .flat_map(|bid| {
            let rank = rank(bid.price);
            [
                (Part::Bidder(bid.bidder), rank),
                (Part::Auction(bid.auction), rank),
            ]
        })
        .key_by(|(part, _)| *part)
        .window(day)
        .aggregate(
            "bids-by-part",
            (bids_of_rank(0), bids_of_rank(1), bids_of_rank(2)),
        );
    let parts = bids_by_part
        .results
        .map(|part| Counted {
            is_bidder: matches!(part.key, Part::Bidder(_)),
            bids: part.value.into(),
        })
        .key_by(|_| ())
        .window(day)
        .aggregate(
            "parts-by-day",
            (
                (bids(0..3), bids(0..1), bids(1..2), bids(2..3)),
                (bidders(0..3), bidders(0..1), bidders(1..2), bidders(2..3)),
                (
                    auctions(0..3),
                    auctions(0..1),
                    auctions(1..2),
                    auctions(2..3),
                ),
            ),
        );
    parts.results.map(|day| {
        let (bids, bidders, auctions) = day.value;
        Q15 {
            day_ms: day.window.start,
            total_bids: bids.0 as u64,
            rank1_bids: bids.1 as u64,
            rank2_bids: bids.2 as u64,
            rank3_bids: bids.3 as u64,
            total_bidders: bidders.0,
            rank1_bidders: bidders.1,
            rank2_bidders: bidders.2,
            rank3_bidders: bidders.3,
            total_auctions: auctions.0,
            rank1_auctions: auctions.1,
            rank2_auctions: auctions.2,
            rank3_auctions: auctions.3,
        }
    })
}
