//! Pieces of a file on their way from the thread that reads it to the worker, in order; decoded
//! meanwhile by whoever has time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::Waker;
use serde::de::DeserializeOwned;

use crate::format::csv::batch::{Ahead, Batch};
use crate::format::csv::record::Decoder;
use crate::format::csv::rows::Rows;

/// A piece of a file.
#[derive(Debug)]
pub(crate) struct Piece<T> {
    pub(crate) data: Vec<u8>,
    /// Bytes read from the disk when it was complete.
    pub(crate) taken: u64,
    /// Its records, if it was decoded ahead: as if a row began with it, which is for the worker
    /// to know.
    pub(crate) batch: Option<Batch<T>>,
}

/// What there is to read now.
pub(crate) enum Next<P> {
    Piece(P),
    Wait,
    End,
}

/// Who decodes a piece ahead of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The worker, while it waits for the first piece.
    Worker,
    /// Another thread.
    Helper,
}

/// The pieces of one file: at most `max`, in order.
pub(crate) struct Pieces<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    max: usize,
    decoder: Arc<Decoder<T>>,
    ahead: Ahead,
    waker: Waker,
}

struct State<T> {
    /// The number of the first piece that the worker has not got.
    first: u64,
    slots: VecDeque<Slot<T>>,
    /// Why no more will come.
    end: Option<Result<()>>,
    closed: bool,
    used_blocks: Vec<Vec<u8>>,
    used_batches: Vec<Batch<T>>,
}

enum Slot<T> {
    Here(Piece<T>),
    /// Somebody is decoding it.
    Taken,
}

impl<T> Slot<T> {
    fn is_undecoded(&self) -> bool {
        matches!(self, Slot::Here(Piece { batch: None, .. }))
    }
}

impl<T> Pieces<T> {
    pub(crate) fn new(max: usize, decoder: Arc<Decoder<T>>, ahead: Ahead, waker: Waker) -> Self {
        Pieces {
            state: Mutex::new(State {
                first: 0,
                slots: VecDeque::with_capacity(max),
                end: None,
                closed: false,
                used_blocks: Vec::new(),
                used_batches: Vec::new(),
            }),
            room: Condvar::new(),
            max,
            decoder,
            ahead,
            waker,
        }
    }

    /// Nothing panics while the state is locked, except for want of memory.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the thread that reads ------------------------------------------------------------------

    /// Memory for a piece.
    pub(crate) fn block(&self) -> Vec<u8> {
        self.lock().used_blocks.pop().unwrap_or_default()
    }

    /// Adds a piece as soon as there is room. False: nobody wants it any more.
    pub(crate) fn push(&self, data: Vec<u8>, taken: u64) -> bool {
        let mut state = self
            .room
            .wait_while(self.lock(), |s| !s.closed && s.slots.len() >= self.max)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.slots.push_back(Slot::Here(Piece {
            data,
            taken,
            batch: None,
        }));
        let is_first = state.slots.len() == 1;
        drop(state);
        if is_first {
            self.waker.wake();
        }
        true
    }

    /// Says why there are no more pieces; the first word counts.
    pub(crate) fn finish(&self, end: Result<()>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        drop(state);
        self.waker.wake();
    }

    /// Whether the worker has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    // ---- the worker -----------------------------------------------------------------------------

    /// The next piece; `block` and `batch` are used up.
    pub(crate) fn next(&self, block: Vec<u8>, batch: Option<Batch<T>>) -> Result<Next<Piece<T>>> {
        let mut state = self.lock();
        if state.used_blocks.len() <= self.max && block.capacity() > 0 {
            state.used_blocks.push(block);
        }
        if state.used_batches.len() <= self.max {
            state.used_batches.extend(batch);
        }
        match state.slots.pop_front() {
            Some(Slot::Here(piece)) => {
                state.first += 1;
                drop(state);
                self.room.notify_one();
                Ok(Next::Piece(piece))
            }
            Some(taken) => {
                state.slots.push_front(taken);
                Ok(Next::Wait)
            }
            None => match state.end.take() {
                None => Ok(Next::Wait),
                Some(end) => {
                    state.end = Some(Ok(()));
                    end.map(|()| Next::End)
                }
            },
        }
    }

    /// Nothing more is wanted: whoever waits for room, or is about to decode, stops.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let slots = std::mem::take(&mut state.slots);
        drop(state);
        // Records may be anything when they are dropped.
        drop(slots);
        self.room.notify_all();
    }

    // ---- whoever decodes ------------------------------------------------------------------------

    /// Which piece to decode next. The very first is the worker's, and it comes before any helper
    /// to the piece whose turn is next as long as there are others: it decodes while it hands
    /// on, which is cheaper than to store the records in between.
    fn claim(&self, by: By) -> Option<(u64, Piece<T>, Batch<T>)> {
        let mut state = self.lock();
        let is_later = |(i, slot): (usize, &Slot<T>)| (i > 0 && slot.is_undecoded()).then_some(i);
        let later = state.slots.iter().enumerate().find_map(is_later);
        let index = match (later, by) {
            (Some(index), _) => index,
            (None, By::Helper) if state.slots.len() > 1 && state.first > 0 => 0,
            (None, _) => return None,
        };
        let slot = state.slots.get_mut(index).filter(|s| s.is_undecoded())?;
        let Slot::Here(piece) = std::mem::replace(slot, Slot::Taken) else {
            return None;
        };
        let batch = state.used_batches.pop().unwrap_or_default();
        Some((state.first + index as u64, piece, batch))
    }

    fn put_back(&self, number: u64, piece: Piece<T>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return drop(piece);
        }
        let index = number.checked_sub(state.first).map(|i| i as usize);
        if let Some(slot) = index.and_then(|i| state.slots.get_mut(i)) {
            *slot = Slot::Here(piece);
        }
        drop(state);
        if index == Some(0) {
            self.waker.wake();
        }
    }
}

impl<T: DeserializeOwned + Data> Pieces<T> {
    /// Decodes a piece, if there is one to decode now.
    pub(crate) fn decode_one(&self, rows: &mut Rows, by: By) -> bool {
        let Some((number, mut piece, mut batch)) = self.claim(by) else {
            return false;
        };
        batch.clear();
        // A panic of the record's `Deserialize` is the worker's when it comes to that row.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.decoder
                .decode_ahead(rows, &piece.data, self.ahead, &mut batch);
        }));
        piece.batch = Some(batch);
        self.put_back(number, piece);
        true
    }
}

/// The thread that reads says why it ended, whatever happens.
pub(crate) struct Ending<T>(pub(crate) Arc<Pieces<T>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.finish(Err(Error::internal(
            "the thread that reads a file ended without saying why",
        )));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const AHEAD: Ahead = Ahead {
        skip: false,
        records_max: 100,
    };

    fn pieces(max: usize) -> (Arc<Pieces<i32>>, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = wakes.clone();
        let waker = Waker::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let decoder = Arc::new(Decoder::by_place(Some(1)));
        (Arc::new(Pieces::new(max, decoder, AHEAD, waker)), wakes)
    }

    fn push(pieces: &Pieces<i32>, numbers: std::ops::Range<i32>) {
        for number in numbers {
            assert!(pieces.push(format!("{number}\n").into_bytes(), 0));
        }
    }

    /// The next piece's text, and its records if it was decoded.
    fn next(pieces: &Pieces<i32>) -> Option<(String, Option<Vec<i32>>)> {
        match pieces.next(Vec::new(), None).unwrap() {
            Next::Piece(piece) => Some((
                String::from_utf8(piece.data).unwrap(),
                piece.batch.map(|b| b.records),
            )),
            Next::Wait | Next::End => None,
        }
    }

    #[test]
    fn pieces_come_in_order_whoever_decodes_them() {
        let (pieces, _) = pieces(9);
        let mut rows = Rows::new(b',', 0);
        push(&pieces, 0..2);
        assert!(pieces.decode_one(&mut rows, By::Helper));
        assert!(
            !pieces.decode_one(&mut rows, By::Helper),
            "the first is the worker's"
        );
        push(&pieces, 2..6);
        assert!(pieces.decode_one(&mut rows, By::Worker));
        assert_eq!(next(&pieces), Some(("0\n".into(), None)));
        assert_eq!(next(&pieces), Some(("1\n".into(), Some(vec![1]))));
        assert_eq!(next(&pieces), Some(("2\n".into(), Some(vec![2]))));
        // 3 is next: it is decoded when 4 and 5 are.
        let (number, piece, _) = pieces.claim(By::Helper).unwrap();
        assert_eq!(number, 4);
        assert!(pieces.decode_one(&mut rows, By::Helper));
        assert!(pieces.decode_one(&mut rows, By::Helper));
        assert!(!pieces.decode_one(&mut rows, By::Helper));
        assert_eq!(next(&pieces), Some(("3\n".into(), Some(vec![3]))));
        assert_eq!(next(&pieces), None, "4 is being decoded");
        pieces.put_back(number, piece);
        assert_eq!(next(&pieces), Some(("4\n".into(), None)));
        assert_eq!(next(&pieces), Some(("5\n".into(), Some(vec![5]))));
    }

    #[test]
    fn the_worker_is_woken_when_there_is_something_for_it() {
        let (pieces, wakes) = pieces(9);
        let count = || wakes.swap(0, Ordering::SeqCst);
        push(&pieces, 0..3);
        assert_eq!(count(), 1, "0 came, and the others are behind it");
        let (number, piece, _) = pieces.claim(By::Helper).unwrap();
        assert!(next(&pieces).is_some());
        assert!(next(&pieces).is_none());
        pieces.put_back(number, piece);
        assert_eq!(count(), 1, "1 was waited for");
        pieces.finish(Ok(()));
        pieces.finish(Err(Error::internal("too late")));
        assert_eq!(count(), 1);
        assert!(next(&pieces).is_some() && next(&pieces).is_some());
        for _ in 0..2 {
            assert!(matches!(pieces.next(Vec::new(), None), Ok(Next::End)));
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_none_when_the_worker_has_gone() {
        let (pieces, _) = pieces(2);
        push(&pieces, 0..2);
        let pushing = {
            let pieces = pieces.clone();
            thread::spawn(move || {
                (
                    pieces.push(b"2\n".to_vec(), 0),
                    pieces.push(b"3\n".to_vec(), 0),
                )
            })
        };
        while pieces.lock().first == 0 {
            assert!(pieces.lock().slots.len() <= 2);
            assert!(next(&pieces).is_some());
        }
        while pieces.lock().slots.len() < 2 {
            thread::yield_now();
        }
        pieces.close();
        assert_eq!(pushing.join().unwrap(), (true, false));
        assert!(pieces.is_closed());
        assert_eq!(next(&pieces), None);
    }
}
