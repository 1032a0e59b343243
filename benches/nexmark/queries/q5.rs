//! Hot items: the auctions with most bids in the last ten seconds, every two seconds.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::Event;
use crate::rows::Q5;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q5, impl Pipe<Item = Q5>> {
    let (size, slide) = (Duration::from_secs(10), Duration::from_secs(2));
    let bids_by_auction = events
        .filter_map(Event::bid)
        .key_by(|bid| bid.auction)
        .window(Sliding::of(size, slide))
        .aggregate("bids-by-auction", count());
    // Each result has the time of its window's end, so those of one window, and no others, fall
    // into one slide.
    let hottest = bids_by_auction
        .results
        .map(|r| Q5 {
            window_start_ms: r.window.start,
            window_end_ms: r.window.end,
            auction: r.key,
            bids: r.value,
        })
        .key_by(|row| row.window_end_ms)
        .window(Tumbling::of(slide))
        .aggregate("hottest", max_by(|row: &Q5| row.bids).with_ties());
    hottest.results.flat_map(|window| window.value)
}
