//! q17: prices per auction and day.

use millstream::Timestamp;
use rustc_hash::FxHashMap;

use super::Loop;
use super::open::Open;
use super::watermark::Watermark;
use crate::event::Event;
use crate::rows::{self, rank};

const DAY_MS: u64 = 86_400_000;

struct Prices {
    by_rank: [u64; 3],
    min: u64,
    max: u64,
    sum: u64,
}

impl Default for Prices {
    fn default() -> Self {
        Prices {
            by_rank: [0; 3],
            min: u64::MAX,
            max: 0,
            sum: 0,
        }
    }
}

pub(super) struct Q17 {
    watermark: Watermark,
    days: Open<FxHashMap<u64, Prices>>,
}

impl Q17 {
    pub(super) fn new(lag_ms: Timestamp) -> Self {
        Q17 {
            watermark: Watermark::new(lag_ms, DAY_MS.cast_signed()),
            days: Open::default(),
        }
    }

    fn close_below(&mut self, end: u64, out: &mut impl FnMut(rows::Q17)) {
        while let Some((day, auctions)) = self.days.close_below(end) {
            for (auction, prices) in auctions {
                out(row(auction, day, &prices));
            }
        }
    }
}

impl Loop for Q17 {
    type Row = rows::Q17;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q17)) {
        if let Event::Bid(bid) = event {
            if let Some(passed) = self.watermark.after(bid.ts) {
                self.close_below(passed.cast_unsigned() / DAY_MS, out);
            }
            let day = bid.ts.cast_unsigned() / DAY_MS;
            let auctions = self.days.at(day, FxHashMap::default);
            let prices = auctions.entry(bid.auction).or_default();
            prices.by_rank[rank(bid.price)] += 1;
            prices.min = prices.min.min(bid.price);
            prices.max = prices.max.max(bid.price);
            prices.sum += bid.price;
        }
    }

    fn end(mut self, out: &mut impl FnMut(rows::Q17)) {
        self.close_below(u64::MAX, out);
    }
}

fn row(auction: u64, day: u64, prices: &Prices) -> rows::Q17 {
    let [rank1_bids, rank2_bids, rank3_bids] = prices.by_rank;
    let total_bids = rank1_bids + rank2_bids + rank3_bids;
    rows::Q17 {
        auction,
        day_ms: (day * DAY_MS).cast_signed(),
        total_bids,
        rank1_bids,
        rank2_bids,
        rank3_bids,
        min_price: prices.min,
        max_price: prices.max,
        avg_price: prices.sum / total_bids,
        sum_price: prices.sum,
    }
}
