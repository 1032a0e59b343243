//! Bids, bidders and auctions of each day, counted over all bids and by rank of price.
//!
//! There may be millions of bidders in a day, so no set of them stands in one place. First the
//! bids of each bidder and of each auction are counted, in one stream; then the bidders and
//! auctions that have some.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

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
    /// Bids, as far as they are the bidder's: so that each bid counts once.
    fn bids(&self, rank: usize) -> u64 {
        if self.is_bidder { self.bids[rank] } else { 0 }
    }

    fn is_bidder(&self, ranks: std::ops::Range<usize>) -> bool {
        self.is_bidder && self.has_bids(ranks)
    }

    fn is_auction(&self, ranks: std::ops::Range<usize>) -> bool {
        !self.is_bidder && self.has_bids(ranks)
    }

    fn has_bids(&self, ranks: std::ops::Range<usize>) -> bool {
        self.bids[ranks].iter().any(|bids| *bids > 0)
    }
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
            [(Part::Bidder(bid.bidder), rank), (Part::Auction(bid.auction), rank)]
        })
        .key_by(|(part, _)| *part)
        .window(day)
        .aggregate("bids-by-part", (bids_of_rank(0), bids_of_rank(1), bids_of_rank(2)));
    let parts = bids_by_part
        .results
        .map(|part| Counted {
            is_bidder: matches!(part.key, Part::Bidder(_)),
            bids: part.value.into(),
        })
        .key_by(|_| ())
        .window(day)
        .aggregate("parts-by-day", (bids(), bidders(), auctions()));
    parts.results.map(|day| {
        let (bids, bidders, auctions) = day.value;
        Q15 {
            day_ms: day.window.start,
            total_bids: bids.0,
            rank1_bids: bids.1,
            rank2_bids: bids.2,
            rank3_bids: bids.3,
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
