//! Sessions by hand: a hash map, and lists of keys by when their sessions are looked at next.

use std::collections::VecDeque;
use std::hint::black_box;

use hashbrown::HashMap;

use crate::sessions::Visit;

struct Open {
    start: i64,
    last: i64,
    count: u64,
}

/// Only makes the events.
pub(crate) fn nothing(events: u64, make: &impl Fn(u64) -> Visit) {
    for n in 0..events {
        black_box(make(n));
    }
}

/// Sessions of events that come in order. Returns how many were open at a time.
///
/// Time is cut into pieces of a 32nd of the gap. A key stands in the list of the piece in which its
/// session could end, as far as was known when it was put there; when that piece is past, the
/// session is over, or the key goes to the list of where it could end now.
pub(crate) fn sessions(
    events: u64,
    make: &impl Fn(u64) -> Visit,
    gap: i64,
    mut result: impl FnMut(),
) -> u64 {
    let piece_ms = (gap / 32).max(1);
    let piece_of = |time: i64| time / piece_ms;
    let mut open: HashMap<u64, Open> = HashMap::new();
    let mut lists: VecDeque<Vec<u64>> = VecDeque::new();
    let (mut first, mut most) = (0, 0);
    let mut emit = |key: u64, session: Open| {
        black_box((key, session.start, session.last + gap + 1, session.count));
        result();
    };
    let put = |lists: &mut VecDeque<Vec<u64>>, first: i64, end: i64, key: u64| {
        let at = (piece_of(end) - first) as usize;
        while lists.len() <= at {
            lists.push_back(Vec::new());
        }
        lists[at].push(key);
    };
    for n in 0..events {
        let (time, key) = make(n);
        while first < piece_of(time) {
            first += 1;
            for key in lists.pop_front().unwrap_or_default() {
                let Some(last) = open.get(&key).map(|s| s.last) else {
                    continue;
                };
                if piece_of(last + gap) >= first {
                    put(&mut lists, first, last + gap, key);
                } else if let Some(session) = open.remove(&key) {
                    emit(key, session);
                }
            }
        }
        let mut fresh = false;
        let session = open.entry(key).or_insert_with(|| {
            fresh = true;
            Open {
                start: time,
                last: time,
                count: 0,
            }
        });
        if time - session.last > gap {
            // It is over, but its piece of time is not past.
            let next = Open {
                start: time,
                last: time,
                count: 1,
            };
            emit(key, std::mem::replace(session, next));
            continue;
        }
        session.last = time;
        session.count += 1;
        if fresh {
            put(&mut lists, first, time + gap, key);
            most = most.max(open.len() as u64);
        }
    }
    for (key, session) in open {
        emit(key, session);
    }
    most
}
