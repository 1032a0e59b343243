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

/// Records that are no further apart than the gap: a session holds either all of them or none.
/// Where each record has a gap of its own, those of one instant.
pub(super) struct ByGap<A> {
    pub(super) gap: Option<i64>,
    pub(super) accumulator: Arc<A>,
}

impl<T: Data, A: Accumulator<T>> Combine<T, WindowInput<A::Input, T>> for BySlice<A> {
    const COMBINES: bool = A::COMBINES;

    fn stretch(&self, time: Timestamp) -> Range<Timestamp> {
        let slice = self.slices.of(time);
        slice.start..slice.end
    }

    #[inline(always)]
    fn combine(
        &self,
        (_, first): (&mut Timestamp, &mut WindowInput<A::Input, T>),
        (_, record): (Timestamp, T),
        _take: impl FnOnce(T) -> WindowInput<A::Input, T>,
    ) {
        self.accumulator.fold(&mut first.input, record);
        first.records += 1;
    }
}

impl<T: Data, A: Accumulator<T>> Combine<T, SessionInput<A::Input, T>> for ByGap<A> {
    const COMBINES: bool = A::COMBINES;

    fn stretch(&self, time: Timestamp) -> Range<Timestamp> {
        let length = self.gap.unwrap_or(1).max(1);
        let start = time - time.rem_euclid(length);
        start..start.saturating_add(length)
    }

    #[inline(always)]
    fn combine(
        &self,
        (start, first): (&mut Timestamp, &mut SessionInput<A::Input, T>),
        (time, record): (Timestamp, T),
        take: impl FnOnce(T) -> SessionInput<A::Input, T>,
    ) {
        let second = take(record);
        let accumulator = &self.accumulator;
        accumulator.combine(&mut first.input.input, second.input.input);
        first.input.records += second.input.records;
        let last = (*start + first.span).max(time);
        *start = time.min(*start);
        first.span = last - *start;
        // Only those of one instant have different gaps: the one that reaches further decides.
        first.gap = first.gap.max(second.gap);
    }
}
