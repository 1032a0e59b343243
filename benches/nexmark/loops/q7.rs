//! q7: the highest bids of tumbling windows.

use millstream::Timestamp;

use super::Loop;
use super::open::Open;
use super::watermark::Watermark;
use crate::event::{Bid, Event};
use crate::rows;

const WINDOW_MS: u64 = 10_000;

/// The bids with the highest price so far.
#[derive(Default)]
struct Highest {
    price: u64,
    bids: Vec<Bid>,
}

pub(super) struct Q7 {
    watermark: Watermark,
    windows: Open<Highest>,
}

impl Q7 {
    pub(super) fn new(lag_ms: Timestamp) -> Self {
        Q7 {
            watermark: Watermark::new(lag_ms, WINDOW_MS.cast_signed()),
            windows: Open::default(),
        }
    }

    fn close_below(&mut self, end: u64, out: &mut impl FnMut(rows::Q7)) {
        while let Some((number, highest)) = self.windows.close_below(end) {
            let window_start_ms = (number * WINDOW_MS).cast_signed();
            for bid in highest.bids {
                out(rows::Q7 {
                    window_start_ms,
                    window_end_ms: window_start_ms + WINDOW_MS.cast_signed(),
                    auction: bid.auction,
                    bidder: bid.bidder,
                    price: bid.price,
                });
            }
        }
    }
}

impl Loop for Q7 {
    type Row = rows::Q7;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q7)) {
        if let Event::Bid(bid) = event {
            if let Some(passed) = self.watermark.after(bid.ts) {
                self.close_below(passed.cast_unsigned() / WINDOW_MS, out);
            }
            let window = bid.ts.cast_unsigned() / WINDOW_MS;
            let highest = self.windows.at(window, Highest::default);
            if bid.price >= highest.price {
                if bid.price > highest.price {
                    highest.price = bid.price;
                    highest.bids.clear();
                }
                highest.bids.push(bid);
            }
        }
    }

    fn end(mut self, out: &mut impl FnMut(rows::Q7)) {
        self.close_below(u64::MAX, out);
    }
}
