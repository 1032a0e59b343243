//! The records: each is a function of its number.

/// How many splits the records come in.
pub(crate) const SPLITS: u32 = 4;
/// How far a record's time may lie behind that of an earlier one of its split.
pub(crate) const DISORDER_MS: i64 = 5_000;

const BEGIN_MS: i64 = 1_600_000_000_000;
const STEP_MS: i64 = 10;
const USERS: u64 = 200;

/// Something that a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The split it comes from: within one, the order of the records is always the same.
    pub(crate) split: u32,
    /// Who.
    pub(crate) user: u32,
    /// When.
    pub(crate) time_ms: i64,
    /// How much, from -1000 to 1000.
    pub(crate) value: i64,
}

impl Event {
    /// Record `number` of `records`. Each split has a range of the numbers; the times of all
    /// splits begin together and grow alike, in disorder.
    pub(crate) fn of(number: u64, records: u64) -> Self {
        let (each, more) = (records / u64::from(SPLITS), records % u64::from(SPLITS));
        let start = |split: u64| each * split + split.min(more);
        let split = (1..u64::from(SPLITS)).rfind(|split| start(*split) <= number);
        let split = split.unwrap_or(0);
        let noise = mix(number);
        Event {
            split: split as u32,
            user: (noise >> 16 & 0xffff) as u32 % USERS as u32,
            time_ms: BEGIN_MS
                + (number - start(split)) as i64 * STEP_MS
                + (noise & 0xffff) as i64 % DISORDER_MS,
            value: (noise >> 32 & 0xffff) as i64 % 2001 - 1000,
        }
    }
}

/// Bits that look random (splitmix64).
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
