//! Sessions of each bidder: bids that follow each other within ten seconds.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::Event;
use crate::rows::Q11;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Q11, impl Pipe<Item = Q11>> {
    let sessions = events
        .filter_map(Event::bid)
        .key_by(|bid| bid.bidder)
        .window(Session::gap(Duration::from_secs(10)))
        .aggregate("sessions", count());
    sessions.results.map(|session| Q11 {
        bidder: session.key,
        start_ms: session.window.start,
        last_ms: session.window.last,
        bids: session.value,
    })
}
