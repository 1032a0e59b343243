//! q5: the auctions with most bids in sliding windows: counted by slices of the slide's length,
//! which are merged when a window is over.

use millstream::Timestamp;
use rustc_hash::FxHashMap;

use super::Loop;
use super::open::Open;
use super::watermark::Watermark;
use crate::event::Event;
use crate::rows;

const SLIDE_MS: u64 = 2000;
/// How many slices a window has.
const SLICES: u64 = 5;

/// Bids by auction.
type Counts = FxHashMap<u64, u64>;

pub(super) struct Q5 {
    watermark: Watermark,
    slices: Open<Counts>,
    /// The number of the first slice behind the next window.
    next_end: u64,
    /// Maps without entries, which keep their memory.
    spare: Vec<Counts>,
    merged: Counts,
}

impl Q5 {
    pub(super) fn new(lag_ms: Timestamp) -> Self {
        Q5 {
            watermark: Watermark::new(lag_ms, SLIDE_MS.cast_signed()),
            slices: Open::default(),
            next_end: 1,
            spare: Vec::new(),
            merged: Counts::default(),
        }
    }

    /// Gives the rows of the next window, and forgets its first slice.
    fn close_window(&mut self, out: &mut impl FnMut(rows::Q5)) {
        let mut most = 0;
        for slice in self.slices.below(self.next_end) {
            for (auction, bids) in slice {
                let merged = self.merged.entry(*auction).or_default();
                *merged += bids;
                most = most.max(*merged);
            }
        }
        let window_end_ms = (self.next_end * SLIDE_MS).cast_signed();
        for (auction, bids) in self.merged.drain() {
            if bids == most {
                out(rows::Q5 {
                    window_start_ms: window_end_ms - (SLICES * SLIDE_MS).cast_signed(),
                    window_end_ms,
                    auction,
                    bids,
                });
            }
        }
        self.next_end += 1;
        let needed = self.next_end.saturating_sub(SLICES);
        while let Some((_, mut slice)) = self.slices.close_below(needed) {
            slice.clear();
            self.spare.push(slice);
        }
    }
}

impl Loop for Q5 {
    type Row = rows::Q5;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q5)) {
        if let Event::Bid(bid) = event {
            if let Some(passed) = self.watermark.after(bid.ts) {
                while self.next_end * SLIDE_MS <= passed.cast_unsigned() {
                    self.close_window(out);
                }
            }
            let slice = bid.ts.cast_unsigned() / SLIDE_MS;
            let spare = &mut self.spare;
            let counts = self.slices.at(slice, || spare.pop().unwrap_or_default());
            *counts.entry(bid.auction).or_default() += 1;
        }
    }

    fn end(mut self, out: &mut impl FnMut(rows::Q5)) {
        while !self.slices.is_empty() {
            self.close_window(out);
        }
    }
}
