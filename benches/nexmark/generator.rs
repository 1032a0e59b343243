//! Event `n` as a pure function of `n`: no state, so reading can begin anywhere.

use std::hint::select_unpredictable;
use std::sync::Arc;

use millstream::Timestamp;

use crate::event::{Auction, Bid, Event, Person, WideAuction, WideBid, WidePerson};
use crate::input::Input;

/// Events come in epochs of this many: one person, three auctions, then bids.
pub(crate) const EPOCH: u64 = 50;
const AUCTIONS_PER_EPOCH: u64 = 3;
const FIRST_ID: u64 = 1000;

const FIRST: [&str; 11] = [
    "peter", "paul", "luke", "john", "saul", "vicky", "kate", "julie", "sarah", "deiter", "walter",
];
const LAST: [&str; 9] = [
    "shultz", "abrams", "spencer", "white", "bartels", "walton", "smith", "jones", "noris",
];
const CITIES: [&str; 10] = [
    "phoenix",
    "los angeles",
    "san francisco",
    "boise",
    "portland",
    "bend",
    "redmond",
    "seattle",
    "kent",
    "cheyenne",
];
const STATES: [&str; 6] = ["az", "ca", "id", "or", "wa", "wy"];
const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// Makes events. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    time: Time,
    /// One more than the most milliseconds that an auction is open.
    open_ms: u64,
    /// The letters that wide events cut their strings from.
    pool: Option<Arc<str>>,
}

impl Generator {
    /// Makes the events of `input`, which has been checked.
    pub(crate) fn new(input: &Input) -> Self {
        Generator {
            time: Time::new(input.rate),
            open_ms: 2 * (1666 * 1000 / input.rate.max(1)).max(1),
            pool: input.wide.then(letters),
        }
    }

    /// The event with the number `n`. Always inlined: called, it goes through memory, which costs
    /// a tenth of an event.
    #[inline(always)]
    pub(crate) fn event(&self, n: u64) -> Event {
        match n % EPOCH {
            0 => Event::Person(self.person(n)),
            1..=AUCTIONS_PER_EPOCH => Event::Auction(self.auction(n)),
            _ => Event::Bid(self.bid(n)),
        }
    }

    /// Whether somebody bids in a hot auction, and whether it is a hot bidder, cannot be
    /// predicted: both outcomes are made and one is taken, which costs less than the branches.
    #[inline(always)]
    fn bid(&self, n: u64) -> Bid {
        let mut draws = Draws::new(n);
        let (last_person, last_auction) = (last_person(n), last_auction(n));
        let is_hot = draws.below(2) > 0;
        let mut elsewhere = draws;
        let auction = select_unpredictable(
            is_hot,
            last_auction / 100 * 100,
            elsewhere.auction(last_auction),
        );
        draws.skip_unless(is_hot);
        let is_hot = draws.below(4) > 0;
        let mut elsewhere = draws;
        let bidder = select_unpredictable(
            is_hot,
            last_person / 100 * 100 + 1,
            elsewhere.person(last_person),
        );
        draws.skip_unless(is_hot);
        let price = draws.price();
        Bid {
            auction: FIRST_ID + auction,
            bidder: FIRST_ID + bidder,
            price,
            ts: self.time.of(n),
            wide: self.pool.as_ref().map(|pool| wide_bid(pool, &mut draws)),
        }
    }

    #[inline(never)]
    fn auction(&self, n: u64) -> Box<Auction> {
        let mut draws = Draws::new(n);
        let ts = self.time.of(n);
        let last_person = last_person(n);
        let initial = draws.price();
        let reserve = initial + draws.price();
        let expires = ts + 1 + draws.below(self.open_ms).cast_signed();
        let seller = if draws.below(4) > 0 {
            last_person / 100 * 100
        } else {
            draws.person(last_person)
        };
        Box::new(Auction {
            id: FIRST_ID + last_auction(n),
            initial,
            reserve,
            expires,
            seller: FIRST_ID + seller,
            category: 10 + draws.below(5),
            ts,
            wide: self.pool.as_ref().map(|pool| WideAuction {
                item: draws.text(pool, 20),
                description: draws.text(pool, 100),
                extra: draws.text(pool, 300),
            }),
        })
    }

    #[inline(never)]
    fn person(&self, n: u64) -> Box<Person> {
        let mut draws = Draws::new(n);
        Box::new(Person {
            id: FIRST_ID + last_person(n),
            name: [draws.word(&FIRST), draws.word(&LAST)].join(" "),
            city: draws.word(&CITIES).into(),
            state: draws.word(&STATES).into(),
            ts: self.time.of(n),
            wide: self.pool.as_ref().map(|pool| WidePerson {
                email: draws.text(pool, 17),
                card: draws.text(pool, 19),
                extra: draws.text(pool, 120),
            }),
        })
    }
}

#[inline(never)]
fn wide_bid(pool: &str, draws: &mut Draws) -> Box<WideBid> {
    Box::new(WideBid {
        channel: draws.word(&CHANNELS).into(),
        url: draws.text(pool, 32),
        extra: draws.text(pool, 36),
    })
}

/// The newest person when event `n` happens.
#[inline]
fn last_person(n: u64) -> u64 {
    n / EPOCH
}

/// The newest auction when event `n` happens.
#[inline]
fn last_auction(n: u64) -> u64 {
    let (epoch, offset) = (n / EPOCH, n % EPOCH);
    match offset {
        0 => (epoch * AUCTIONS_PER_EPOCH).saturating_sub(1),
        1..=AUCTIONS_PER_EPOCH => epoch * AUCTIONS_PER_EPOCH + offset - 1,
        _ => epoch * AUCTIONS_PER_EPOCH + AUCTIONS_PER_EPOCH - 1,
    }
}

/// The random numbers of one event: splitmix64, begun at a state of the event's own.
#[derive(Clone, Copy)]
struct Draws {
    state: u64,
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Draws {
    #[inline]
    fn new(n: u64) -> Self {
        Draws {
            state: n
                .wrapping_mul(0xD134_2543_DE82_EF95)
                .wrapping_add(0x2545_F491_4F6C_DD1D),
        }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Passes one number over if `stay` is false.
    #[inline]
    fn skip_unless(&mut self, stay: bool) {
        self.state = self.state.wrapping_add(select_unpredictable(stay, 0, STEP));
    }

    /// A number below `bound`, which is less than 2^31.
    #[inline]
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33).wrapping_mul(bound) >> 31
    }

    #[inline]
    fn price(&mut self) -> u64 {
        let magnitude = self.below(14);
        100 + ((self.below(1000) + 1) << magnitude)
    }

    /// One of the newest thousand people, or of the next ten.
    #[inline]
    fn person(&mut self, last: u64) -> u64 {
        let people = last + 1;
        let active = people.min(1000);
        people - active + self.below(active + 10)
    }

    /// One of the newest hundred auctions, or of the next ten.
    #[inline]
    fn auction(&mut self, last: u64) -> u64 {
        let before = last.min(100);
        last - before + self.below(before + 11)
    }

    fn word(&mut self, words: &'static [&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    fn text(&mut self, pool: &str, len: usize) -> String {
        let start = self.below((POOL - TEXT_MAX) as u64) as usize;
        pool[start..start + len].to_owned()
    }
}

#[inline]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Puts items into a random order, which only depends on the seed and their number.
pub(crate) fn shuffle(seed: u64, items: &mut [u32]) {
    let mut draws = Draws { state: mix(seed) };
    for last in (1..items.len()).rev() {
        let other = draws.below(last as u64 + 1) as usize;
        items.swap(last, other);
    }
}

const POOL: usize = 1 << 16;
/// No string is longer.
const TEXT_MAX: usize = 512;

fn letters() -> Arc<str> {
    let letter = |x| char::from(b'a' + (mix(x) % 26) as u8);
    (0..POOL as u64).map(letter).collect::<String>().into()
}

/// Event times: `n * 1000 / rate` as a multiplication by the reciprocal, rounded up.
///
/// With the fraction shortened to `a / b`, the reciprocal `m = floor(2^k / b) + 1` for
/// `k = 64 + shift` and `2^shift < b <= 2^(shift + 1)` has 64 bits and exceeds `2^k / b` by at most
/// one, so `x * m / 2^k` rounds down to `x / b` for every `x < 2^63`. Event numbers below 2^50
/// times `a <= 2000` stay below that.
#[derive(Clone, Copy, Debug)]
struct Time {
    multiplier: u64,
    reciprocal: u64,
    shift: u32,
}

impl Time {
    fn new(rate: u64) -> Self {
        let rate = rate.max(1);
        let shared = greatest_common_divisor(1000, rate);
        let (mut multiplier, mut divisor) = (1000 / shared, rate / shared);
        if divisor == 1 {
            // One has no reciprocal of 64 bits, but twice as much by two is the same.
            (multiplier, divisor) = (multiplier * 2, 2);
        }
        let shift = (divisor - 1).ilog2();
        let reciprocal = (1u128 << (64 + shift)) / u128::from(divisor) + 1;
        Time {
            multiplier,
            reciprocal: reciprocal as u64,
            shift,
        }
    }

    #[inline]
    fn of(&self, n: u64) -> Timestamp {
        let product = u128::from(n.wrapping_mul(self.multiplier)) * u128::from(self.reciprocal);
        ((product >> 64) as u64 >> self.shift).cast_signed()
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::{EVENTS_MAX, RATE_MAX};

    const INPUT: Input = Input {
        events: 1000,
        rate: 100_000,
        wide: false,
        splits: 1,
        shuffle_ms: 0,
    };

    proptest! {
        #[test]
        fn times_are_exact(n in 0..EVENTS_MAX, small in 0..1_000_000u64, rate in 1..=RATE_MAX, slow in 1..5000u64) {
            for rate in [rate, slow, 1, 1000, 1024, 100_000, RATE_MAX] {
                for n in [n, small, n / rate * rate, EVENTS_MAX - 1] {
                    for n in [n.saturating_sub(1), n] {
                        let expect = u128::from(n) * 1000 / u128::from(rate);
                        prop_assert_eq!(Time::new(rate).of(n) as u128, expect, "{} at {}", n, rate);
                    }
                }
            }
        }
    }

    /// Made by a program of another language from the definition.
    #[test]
    #[rustfmt::skip]
    fn events_are_those_of_other_implementations() {
        for (rate, wide, n, expect) in [
            (100_000, false, 0, r#"{"Person":{"id":1000,"name":"sarah bartels","city":"seattle","state":"id","ts":0,"wide":null}}"#),
            (100_000, false, 1, r#"{"Auction":{"id":1000,"initial":405092,"reserve":405288,"expires":20,"seller":1000,"category":12,"ts":0,"wide":null}}"#),
            (100_000, false, 2, r#"{"Auction":{"id":1001,"initial":3848,"reserve":74604,"expires":30,"seller":1005,"category":11,"ts":0,"wide":null}}"#),
            (100_000, false, 4, r#"{"Bid":{"auction":1000,"bidder":1001,"price":24452,"ts":0,"wide":null}}"#),
            (100_000, false, 6, r#"{"Bid":{"auction":1005,"bidder":1001,"price":5529700,"ts":0,"wide":null}}"#),
            (100_000, false, 50, r#"{"Person":{"id":1001,"name":"vicky white","city":"seattle","state":"wa","ts":0,"wide":null}}"#),
            (100_000, false, 51, r#"{"Auction":{"id":1003,"initial":240,"reserve":239188,"expires":26,"seller":1006,"category":12,"ts":0,"wide":null}}"#),
            (100_000, false, 1_234_567, r#"{"Bid":{"auction":75032,"bidder":25601,"price":764,"ts":12345,"wide":null}}"#),
            (100_000, false, 9_999_999_999, r#"{"Bid":{"auction":600000900,"bidder":200000901,"price":5972,"ts":99999999,"wide":null}}"#),
            (7, false, 1001, r#"{"Auction":{"id":1060,"initial":1292,"reserve":31632,"expires":423816,"seller":1000,"category":11,"ts":143000,"wide":null}}"#),
            (100_000, true, 4, r#"{"Bid":{"auction":1000,"bidder":1001,"price":24452,"ts":0,"wide":{"channel":"Facebook","url":"ysmzflwzpbzgnppokpbrnsaahvxvzmbp","extra":"qexurmaltyzdbivqdsqqspfssjpvcxeczded"}}}"#),
        ] {
            let event = Generator::new(&Input { rate, wide, ..INPUT }).event(n);
            assert_eq!(serde_json::to_string(&event).unwrap(), expect, "event {n}");
            assert_eq!(serde_json::from_str::<Event>(expect).unwrap(), event, "event {n}");
        }
    }

    #[test]
    fn wide_events_are_narrow_ones_with_strings() {
        let narrow = Generator::new(&INPUT);
        let wide = Generator::new(&Input {
            wide: true,
            ..INPUT
        });
        let lower =
            |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_lowercase());
        for n in (0..5000).chain(1_000_000_000..1_000_000_100) {
            let mut event = wide.event(n);
            let filled = match &mut event {
                Event::Person(p) => p.wide.take().is_some_and(|w| {
                    lower(&w.email, 17) && lower(&w.card, 19) && lower(&w.extra, 120)
                }),
                Event::Auction(a) => a.wide.take().is_some_and(|w| {
                    lower(&w.item, 20) && lower(&w.description, 100) && lower(&w.extra, 300)
                }),
                Event::Bid(b) => b.wide.take().is_some_and(|w| {
                    CHANNELS.contains(&&*w.channel) && lower(&w.url, 32) && lower(&w.extra, 36)
                }),
            };
            assert!(filled, "event {n}");
            assert_eq!(event, narrow.event(n), "event {n}");
        }
    }

    #[test]
    fn shuffling_keeps_what_there_is() {
        let mut items: Vec<u32> = (0..1000).collect();
        shuffle(7, &mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..1000));
    }
}
