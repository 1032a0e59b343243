//! q0: every event.

use super::Loop;
use crate::event::Event;

pub(super) struct Q0;

impl Loop for Q0 {
    type Row = Event;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(Event)) {
        out(event);
    }

    fn end(self, _: &mut impl FnMut(Event)) {}
}
