//! What happens at the auction house: people register, auctions open, bids are made.

use std::borrow::Cow;

use millstream::Timestamp;
use serde::{Deserialize, Serialize};

/// One event. Of fifty events 46 are bids, so a bid lies in the event itself, and what is rare
/// or wide lies behind a pointer: an event is cheap to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Person(Box<Person>),
    Auction(Box<Auction>),
    Bid(Bid),
}

/// Somebody registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) city: Cow<'static, str>,
    pub(crate) state: Cow<'static, str>,
    pub(crate) ts: Timestamp,
    /// Only in wide events.
    pub(crate) wide: Option<WidePerson>,
}

/// The long strings of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WidePerson {
    pub(crate) email: String,
    pub(crate) card: String,
    pub(crate) extra: String,
}

/// Somebody (`seller`) opens an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Auction {
    pub(crate) id: u64,
    /// The price to begin with.
    pub(crate) initial: u64,
    /// The price below which nothing is sold.
    pub(crate) reserve: u64,
    /// The last moment of the auction.
    pub(crate) expires: Timestamp,
    pub(crate) seller: u64,
    pub(crate) category: u64,
    pub(crate) ts: Timestamp,
    /// Only in wide events.
    pub(crate) wide: Option<WideAuction>,
}

/// The long strings of an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WideAuction {
    pub(crate) item: String,
    pub(crate) description: String,
    pub(crate) extra: String,
}

/// Somebody (`bidder`) bids `price` in an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bid {
    pub(crate) auction: u64,
    pub(crate) bidder: u64,
    pub(crate) price: u64,
    pub(crate) ts: Timestamp,
    /// Only in wide events.
    pub(crate) wide: Option<Box<WideBid>>,
}

/// The long strings of a bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WideBid {
    pub(crate) channel: Cow<'static, str>,
    pub(crate) url: String,
    pub(crate) extra: String,
}

impl Event {
    /// The bid, if it is one.
    #[inline]
    pub(crate) fn bid(self) -> Option<Bid> {
        match self {
            Event::Bid(bid) => Some(bid),
            Event::Auction(_) | Event::Person(_) => None,
        }
    }

    /// The event time, in milliseconds.
    #[inline]
    pub(crate) fn ts(&self) -> Timestamp {
        match self {
            Event::Bid(bid) => bid.ts,
            Event::Auction(auction) => auction.ts,
            Event::Person(person) => person.ts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_small() {
        assert_eq!(size_of::<Bid>(), 40);
        assert_eq!(size_of::<Event>(), 48);
    }
}
