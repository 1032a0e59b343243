//! Windows: what cuts a keyed stream into pieces, and what comes out.
//!
//! *When* is one file ([`Tumbling`], [`Sliding`], [`Session`], [`Count`]), *what* another
//! ([`crate::accumulator`]); one operator for each way of cutting joins them.

mod combine;
mod count;
mod live;
mod overlap;
mod result;
mod session;
pub mod slices;
mod spec;
mod stream;
mod time;
mod timed_rows;
mod timers;

pub use result::{
    Change, CountWindow, Late, Pane, SessionWindow, TimeWindow, Timing, WindowInput, Windowed,
};
pub use spec::{Count, Global, Session, Sliding, TimeCut, Tumbling};
pub use stream::{WindowOut, WindowSpec, WindowedStream};
