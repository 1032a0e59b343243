//! How many bids of each bidder are handled in ten seconds of processing time.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::Event;
use crate::rows::Q12;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q12, impl Pipe<Item = Q12>> {
    let bids = events
        .filter_map(Event::bid)
        .processing_time()
        .key_by(|bid| bid.bidder)
        .window(Tumbling::of(Duration::from_secs(10)))
        .aggregate("bids-by-bidder", count());
    bids.results.map(|bids| Q12 {
        bidder: bids.key,
        window_start_ms: bids.window.start,
        window_end_ms: bids.window.end,
        bids: bids.value,
    })
}
