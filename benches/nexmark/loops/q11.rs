//! q11: sessions of bids per bidder. Bidders wait in buckets of a second for the end of their
//! first session, so that what is over is found without a look at what is not.

use std::collections::hash_map::Entry;

use millstream::Timestamp;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Loop;
use super::open::Open;
use super::watermark::Watermark;
use crate::event::Event;
use crate::rows;

const GAP_MS: Timestamp = 10_000;
const BUCKET_MS: Timestamp = 1000;

struct Session {
    start: Timestamp,
    last: Timestamp,
    bids: u64,
}

/// The open sessions of a bidder: almost always one.
type Sessions = SmallVec<[Session; 1]>;

pub(super) struct Q11 {
    watermark: Watermark,
    open: FxHashMap<u64, Sessions>,
    /// Bidders by the second in which a session of theirs was going to end when it was looked at.
    /// Each bidder with an open session is in one of them, once.
    waiting: Open<Vec<u64>>,
}

impl Q11 {
    pub(super) fn new(lag_ms: Timestamp) -> Self {
        Q11 {
            watermark: Watermark::new(lag_ms, BUCKET_MS),
            open: FxHashMap::default(),
            waiting: Open::default(),
        }
    }

    /// Gives the sessions that no event before `passed` can have been the last of.
    fn close(&mut self, passed: Timestamp, out: &mut impl FnMut(rows::Q11)) {
        while let Some((_, bidders)) = self.waiting.close_below(bucket(passed)) {
            for bidder in bidders {
                let Entry::Occupied(mut entry) = self.open.entry(bidder) else {
                    continue;
                };
                entry.get_mut().retain(|session| {
                    let is_open = session.last + GAP_MS >= passed;
                    if !is_open {
                        out(row(bidder, session));
                    }
                    is_open
                });
                match entry.get().iter().map(|session| session.last).min() {
                    Some(last) => wait(&mut self.waiting, bidder, last),
                    None => {
                        entry.remove();
                    }
                }
            }
        }
    }
}

impl Loop for Q11 {
    type Row = rows::Q11;

    #[inline]
    fn event(&mut self, event: Event, out: &mut impl FnMut(rows::Q11)) {
        if let Event::Bid(bid) = event {
            if let Some(passed) = self.watermark.after(bid.ts) {
                self.close(passed, out);
            }
            let sessions = self.open.entry(bid.bidder).or_default();
            match sessions.as_mut_slice() {
                [] => {
                    sessions.push(first(bid.ts));
                    wait(&mut self.waiting, bid.bidder, bid.ts);
                }
                [only] if near(only, bid.ts) => extend(only, &first(bid.ts)),
                _ => add(sessions, bid.ts),
            }
        }
    }

    fn end(self, out: &mut impl FnMut(rows::Q11)) {
        for (bidder, sessions) in self.open {
            for session in sessions {
                out(row(bidder, &session));
            }
        }
    }
}

fn bucket(time: Timestamp) -> u64 {
    (time / BUCKET_MS).cast_unsigned()
}

fn wait(waiting: &mut Open<Vec<u64>>, bidder: u64, last: Timestamp) {
    waiting.at(bucket(last + GAP_MS), Vec::new).push(bidder);
}

fn first(ts: Timestamp) -> Session {
    Session {
        start: ts,
        last: ts,
        bids: 1,
    }
}

#[inline]
fn near(session: &Session, ts: Timestamp) -> bool {
    session.start - GAP_MS <= ts && ts <= session.last + GAP_MS
}

#[inline]
fn extend(session: &mut Session, other: &Session) {
    session.start = session.start.min(other.start);
    session.last = session.last.max(other.last);
    session.bids += other.bids;
}

/// Adds a bid to sessions that it may begin or join.
#[cold]
fn add(sessions: &mut Sessions, ts: Timestamp) {
    let mut grown = first(ts);
    sessions.retain(|session| {
        let joins = near(session, ts);
        if joins {
            extend(&mut grown, session);
        }
        !joins
    });
    sessions.push(grown);
}

fn row(bidder: u64, session: &Session) -> rows::Q11 {
    rows::Q11 {
        bidder,
        start_ms: session.start,
        last_ms: session.last,
        bids: session.bids,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Bid;

    /// Bids of one bidder at times, in seconds; sessions as (start, last, bids).
    fn check(lag_s: i64, times: &[i64], expect: &[(i64, i64, u64)]) {
        let mut query = Q11::new(lag_s * 1000);
        let mut sessions = Vec::new();
        let mut out = |row: rows::Q11| {
            sessions.push((row.start_ms / 1000, row.last_ms / 1000, row.bids));
        };
        for ts in times {
            let bid = Bid {
                auction: 1,
                bidder: 1,
                price: 1,
                ts: ts * 1000,
                wide: None,
            };
            query.event(Event::Bid(bid), &mut out);
        }
        query.end(&mut out);
        sessions.sort_unstable();
        assert_eq!(sessions, expect, "{times:?}");
    }

    #[test]
    fn sessions_end_after_the_gap_and_join_over_late_bids() {
        check(0, &[0, 10, 20], &[(0, 20, 3)]);
        check(0, &[0, 11, 40, 45], &[(0, 0, 1), (11, 11, 1), (40, 45, 2)]);
        check(5, &[0, 14, 9], &[(0, 14, 3)]);
        check(20, &[20, 0], &[(0, 0, 1), (20, 20, 1)]);
        check(
            5,
            &[0, 11, 30, 25, 100],
            &[(0, 0, 1), (11, 11, 1), (25, 30, 2), (100, 100, 1)],
        );
    }
}
