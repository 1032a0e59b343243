//! Every event, as it is.

use millstream::engine::runtime::chain::Pipe;
use millstream::prelude::*;

use crate::event::Event;

pub(crate) fn query<'j>(
    events: Stream<'j, Event, impl Pipe<Item = Event>>,
) -> Stream<'j, Event, impl Pipe<Item = Event>> {
    events
}
