//! q15: bids, bidders and auctions per day, over all and by rank of price.

use millstream::Timestamp;
use rustc_hash::FxHashMap;

use super::Loop;
use super::open::Open;
use super::watermark::Watermark;
use crate::event::Event;
use crate::rows::{self, rank};

const DAY_MS: u64 = 86_400_000;

/// How many different numbers there are: over all, and for each rank.
#[derive(Default)]
struct Distinct {
    /// The ranks that a number has been seen with, a bit each: one look-up serves all counts.
    seen: FxHashMap<u64, u8>,
    by_rank: [u64; 3],
}

impl Distinct {
    #[inline]
    fn add(&mut self, number: u64, rank: usize) {
        let seen = self.seen.entry(number).or_default();
        let bit = 1 << rank;
        self.by_rank[rank] += u64::from(*seen & bit == 0);
        *seen |= bit;
    }

    fn total(&self) -> u64 {
        self.seen.len() as u64
    }
}

#[derive(Default)]
struct Day {
    bids: [u64; 3],
    bidders: Distinct,
    auctions: Distinct,
}

pub(super) struct Q15 {
    watermark: Watermark,
    days: Open<Day>,
}

impl Q15 {
    pub(super) fn new(lag_ms: Timestamp) -> Self {
        Q15 {
            watermark: Watermark::new(lag_ms, DAY_MS.cast_signed()),
            days: Open::default(),
        }
    }

    fn close_below(&mut self, end: u64, out: &mut impl FnMut(rows::Q15)) {
        while let Some((number, day)) = self.days.close_below(end) {
            let total_bids = day.bids.iter().sum();
            if total_bids > 0 {
                out(row(number, total_bids, &day));
            }
        }
    }
}

impl Loop for Q15 {
    type Row = rows::Q15;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q15)) {
        if let Event::Bid(bid) = event {
            if let Some(passed) = self.watermark.after(bid.ts) {
                self.close_below(passed.cast_unsigned() / DAY_MS, out);
            }
            let day = self.days.at(bid.ts.cast_unsigned() / DAY_MS, Day::default);
            let rank = rank(bid.price);
            day.bids[rank] += 1;
            day.bidders.add(bid.bidder, rank);
            day.auctions.add(bid.auction, rank);
        }
    }

    fn end(mut self, out: &mut impl FnMut(rows::Q15)) {
        self.close_below(u64::MAX, out);
    }
}

fn row(number: u64, total_bids: u64, day: &Day) -> rows::Q15 {
    let [rank1_bids, rank2_bids, rank3_bids] = day.bids;
    let [rank1_bidders, rank2_bidders, rank3_bidders] = day.bidders.by_rank;
    let [rank1_auctions, rank2_auctions, rank3_auctions] = day.auctions.by_rank;
    rows::Q15 {
        day_ms: (number * DAY_MS).cast_signed(),
        total_bids,
        rank1_bids,
        rank2_bids,
        rank3_bids,
        total_bidders: day.bidders.total(),
        rank1_bidders,
        rank2_bidders,
        rank3_bidders,
        total_auctions: day.auctions.total(),
        rank1_auctions,
        rank2_auctions,
        rank3_auctions,
    }
}
