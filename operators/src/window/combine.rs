//! Which records of a key may become one in front of their windows.

use std::ops::Range;
use std::sync::Arc;

use millstream_engine::data::{Data, Timestamp};
use millstream_engine::runtime::terminal::combine::Combine;

use crate::accumulator::Accumulator;
use crate::window::result::WindowInput;
use crate::window::session::SessionInput;
use crate::window::slices::Slices;

/// Records of one slice: all windows hold either all of them or none.
pub(super) struct BySlice<A> {
    pub(super) slices: Slices,
    pub(super) accumulator: Arc<A>,
}

/// Records of one instant: a session holds either all of them or none.
pub(super) struct ByInstant<A> {
    pub(super) accumulator: Arc<A>,
}

#[inline]
fn join<T, A: Accumulator<T>>(
    accumulator: &A,
    first: &mut WindowInput<A::Input, T>,
    second: WindowInput<A::Input, T>,
) {
    accumulator.combine(&mut first.input, second.input);
    first.records += second.records;
}

impl<T: Data, A: Accumulator<T>> Combine<WindowInput<A::Input, T>> for BySlice<A> {
    const COMBINES: bool = A::COMBINES;

    fn stretch(&self, time: Timestamp) -> Range<Timestamp> {
        let slice = self.slices.of(time);
        slice.start..slice.end
    }

    #[inline]
    fn combine(&self, first: &mut WindowInput<A::Input, T>, second: WindowInput<A::Input, T>) {
        join(&*self.accumulator, first, second);
    }
}

impl<T: Data, A: Accumulator<T>> Combine<SessionInput<A::Input, T>> for ByInstant<A> {
    const COMBINES: bool = A::COMBINES;

    fn stretch(&self, time: Timestamp) -> Range<Timestamp> {
        time..time.saturating_add(1)
    }

    #[inline]
    fn combine(&self, first: &mut SessionInput<A::Input, T>, second: SessionInput<A::Input, T>) {
        join(&*self.accumulator, &mut first.0, second.0);
        // The one that reaches further decides how long their session waits.
        first.1 = first.1.max(second.1);
    }
}
