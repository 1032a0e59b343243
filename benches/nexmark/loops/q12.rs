//! q12: bids per bidder in tumbling windows of processing time.

use millstream::{Clock, Timestamp};
use rustc_hash::FxHashMap;

use super::Loop;
use crate::event::Event;
use crate::rows;

const WINDOW_MS: Timestamp = 10_000;
/// How many bids are counted between two looks at the clock.
const BIDS_PER_LOOK: u32 = 256;

pub(super) struct Q12 {
    clock: Clock,
    bids_to_look: u32,
    /// The start of the window.
    start_ms: Timestamp,
    counts: FxHashMap<u64, u64>,
}

impl Q12 {
    pub(super) fn new(clock: Clock) -> Self {
        Q12 {
            clock,
            bids_to_look: 0,
            start_ms: 0,
            counts: FxHashMap::default(),
        }
    }

    #[cold]
    fn look(&mut self, out: &mut impl FnMut(rows::Q12)) {
        self.bids_to_look = BIDS_PER_LOOK;
        let now_ms = self.clock.now_ms();
        // A clock that is set back does not open an earlier window.
        if now_ms >= self.start_ms + WINDOW_MS {
            self.close(out);
            self.start_ms = now_ms - now_ms % WINDOW_MS;
        }
    }

    fn close(&mut self, out: &mut impl FnMut(rows::Q12)) {
        for (bidder, bids) in self.counts.drain() {
            out(rows::Q12 {
                bidder,
                window_start_ms: self.start_ms,
                window_end_ms: self.start_ms + WINDOW_MS,
                bids,
            });
        }
    }
}

impl Loop for Q12 {
    type Row = rows::Q12;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q12)) {
        if let Event::Bid(bid) = event {
            if self.bids_to_look == 0 {
                self.look(out);
            }
            self.bids_to_look -= 1;
            *self.counts.entry(bid.bidder).or_default() += 1;
        }
    }

    fn end(mut self, out: &mut impl FnMut(rows::Q12)) {
        self.close(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Bid;

    #[test]
    fn windows_follow_the_clock() {
        let (clock, hands) = Clock::manual(25_000);
        let mut query = Q12::new(clock);
        let mut rows = Vec::new();
        for looks in 0..3 {
            for _ in 0..BIDS_PER_LOOK {
                let bid = Bid {
                    auction: 1,
                    bidder: 7,
                    price: 1,
                    ts: 0,
                    wide: None,
                };
                query.event(Event::Bid(bid), &mut |row| rows.push(row));
            }
            hands.advance_ms(if looks == 0 { 4999 } else { 1 });
        }
        query.end(&mut |row| rows.push(row));
        let windows: Vec<_> = rows
            .iter()
            .map(|r| (r.bidder, r.window_start_ms, r.window_end_ms, r.bids))
            .collect();
        assert_eq!(
            windows,
            [(7, 20_000, 30_000, 512), (7, 30_000, 40_000, 256)]
        );
    }
}
