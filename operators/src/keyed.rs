//! A keyed stream: what windows and running aggregates are built on.

use std::marker::PhantomData;

use millstream_engine::runtime::port_root::Port;

use crate::stream::Stream;

/// A stream whose records are grouped by a key of type `K`. Nothing has moved yet: the exchange
/// happens in front of the stateful step that follows.
pub struct KeyedStream<'j, K, T, P = Port<T>, F = fn(&T) -> K> {
    pub(crate) stream: Stream<'j, T, P>,
    pub(crate) key: F,
    made: PhantomData<fn() -> K>,
}

impl<'j, K, T, P, F> KeyedStream<'j, K, T, P, F> {
    pub(crate) fn new(stream: Stream<'j, T, P>, key: F) -> Self {
        KeyedStream {
            stream,
            key,
            made: PhantomData,
        }
    }
}
