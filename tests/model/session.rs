//! Sessions.

use super::{Gap, Kind, Operator, Out, Outcome, Pane, Record, Value, clamp, reached};

pub(super) struct Sessions {
    gap: Gap,
    lateness: i64,
    /// Only live ones (O8).
    live: Vec<Session>,
}

#[derive(Clone)]
struct Session {
    key: u32,
    start: i64,
    last: i64,
    /// The last instant at which a record would still belong: the greatest `t + g` (O7).
    reach: i64,
    value: Value,
    /// What a reader holds of this session, if anything.
    emitted: Option<Out>,
    next_number: u64,
}

impl Session {
    fn of(record: Record, gap: i64) -> Session {
        Session {
            key: record.key,
            start: record.time,
            last: record.time,
            reach: clamp(i128::from(record.time) + i128::from(gap)),
            value: Value::of(record.value),
            emitted: None,
            next_number: 0,
        }
    }

    /// W4: the exclusive end.
    fn end(&self) -> i64 {
        self.reach.saturating_add(1)
    }

    /// F1: the instant that the watermark has to come to before the session fires.
    fn due(&self) -> i64 {
        self.end().saturating_sub(1)
    }

    /// O8: the instant from which on the session is no longer live.
    fn final_at(&self, lateness: i64) -> i64 {
        self.due().saturating_add(lateness)
    }

    fn bounds(&self) -> (i64, i64, i64) {
        (self.start, self.last, self.end())
    }

    fn touches(&self, other: &Session) -> bool {
        self.key == other.key && self.start <= other.reach && other.start <= self.reach
    }

    fn merge(&mut self, other: &Session) {
        self.start = self.start.min(other.start);
        self.last = self.last.max(other.last);
        self.reach = self.reach.max(other.reach);
        self.value.merge(other.value);
        self.next_number = self.next_number.max(other.next_number);
    }

    fn fire(&mut self, pane: Pane, outcome: &mut Outcome) {
        let out = Out {
            key: self.key,
            start: self.start,
            end: self.end(),
            last: Some(self.last),
            pane,
            number: self.next_number,
            kind: Kind::Insert,
            count: self.value.count,
            sum: self.value.sum,
            min: self.value.min,
            max: self.value.max,
        };
        outcome.emit(out);
        self.emitted = Some(out);
        self.next_number += 1;
    }
}

impl Sessions {
    pub(super) fn new(gap: Gap, lateness: i64) -> Sessions {
        let (Gap::Fixed(smallest) | Gap::ByValue { base: smallest, .. }) = gap;
        assert!(smallest >= 0, "negative gap {smallest}");
        Sessions {
            gap,
            lateness,
            live: Vec::new(),
        }
    }
}

impl Operator for Sessions {
    fn record(&mut self, record: Record, watermark: i64, outcome: &mut Outcome) {
        let alone = Session::of(record, self.gap.of(record.value));
        let (mut touched, others): (Vec<_>, Vec<_>) = self
            .live
            .iter()
            .cloned()
            .partition(|session| session.touches(&alone));
        if touched.is_empty() && reached(watermark, alone.final_at(self.lateness)) {
            outcome.refused += 1;
            outcome.refuse(record);
            return;
        }
        outcome.processed += 1;

        let mut merged = alone;
        touched.sort_by_key(|session| (session.end(), session.start));
        for session in &touched {
            merged.merge(session);
        }
        for session in &touched {
            if let Some(out) = session.emitted
                && session.bounds() != merged.bounds()
            {
                let kind = Kind::Retract;
                outcome.emit(Out { kind, ..out });
            }
        }
        if reached(watermark, merged.due()) {
            merged.fire(Pane::Late, outcome);
        }
        self.live = others;
        self.live.push(merged);
    }

    fn advance(&mut self, watermark: i64, outcome: &mut Outcome) {
        self.live
            .sort_by_key(|session| (session.end(), session.start, session.key));
        for session in &mut self.live {
            if session.emitted.is_none() && reached(watermark, session.due()) {
                session.fire(Pane::OnTime, outcome);
            }
        }
        self.live
            .retain(|session| !reached(watermark, session.final_at(self.lateness)));
    }

    fn finish(&mut self, _outcome: &mut Outcome) {
        assert!(self.live.is_empty(), "the last watermark frees everything");
    }
}
