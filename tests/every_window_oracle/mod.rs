//! The results of the job with every kind of window, computed a second time: collect, sort,
//! group. Shares the records with the job, and no code with the engine.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole module and uses a part of it"
)]

#[path = "../../examples/every_window/event.rs"]
mod event;

use std::collections::BTreeMap;

use event::Event;

const SECOND_MS: i64 = 1000;

/// The lines of each output, sorted.
pub type Expected = BTreeMap<&'static str, Vec<String>>;

/// Computes what the job has to write for so many records.
pub fn expected(records: u64) -> Expected {
    let events: Vec<Event> = (0..records).map(|n| Event::of(n, records)).collect();
    let mut outputs = BTreeMap::from([
        (
            "tumbling",
            by_time(&events, 10, 10 * SECOND_MS, 10 * SECOND_MS),
        ),
        (
            "sliding",
            by_time(&events, 8, 10 * SECOND_MS, 3 * SECOND_MS),
        ),
        ("session", sessions(&events, 2 * SECOND_MS)),
        ("count_tumbling", by_count(&events, 100, 100)),
        ("count_sliding", by_count(&events, 250, 100)),
        ("running", running(&events, 1000)),
    ]);
    outputs.values_mut().for_each(|lines| lines.sort_unstable());
    outputs
}

fn by_time(events: &[Event], keys: u32, size: i64, slide: i64) -> Vec<String> {
    let mut windows: BTreeMap<(u32, i64), (u64, i64, i64)> = BTreeMap::new();
    for event in events {
        let mut start = event.time_ms - event.time_ms.rem_euclid(slide);
        while start + size > event.time_ms {
            let window = windows
                .entry((event.user % keys, start))
                .or_insert((0, 0, i64::MIN));
            window.0 += 1;
            window.1 += event.value;
            window.2 = window.2.max(event.value);
            start -= slide;
        }
    }
    let line = |((key, start), (count, sum, max)): (&(u32, i64), &(u64, i64, i64))| {
        format!(
            r#"{{"key":{key},"start_ms":{start},"end_ms":{},"count":{count},"sum":{sum},"max":{max}}}"#,
            start + size
        )
    };
    windows.iter().map(line).collect()
}

fn sessions(events: &[Event], gap: i64) -> Vec<String> {
    let mut sorted: Vec<(u32, i64, i64)> = events
        .iter()
        .map(|e| (e.user, e.time_ms, e.value))
        .collect();
    sorted.sort_unstable();
    let together = |a: &(u32, i64, i64), b: &(u32, i64, i64)| a.0 == b.0 && b.1 - a.1 <= gap;
    let line = |session: &[(u32, i64, i64)]| {
        let ((user, start, _), (_, last, _)) = (session[0], session[session.len() - 1]);
        let sum: i64 = session.iter().map(|e| e.2).sum();
        format!(
            r#"{{"user":{user},"start_ms":{start},"last_ms":{last},"end_ms":{},"count":{},"sum":{sum}}}"#,
            last + gap + 1,
            session.len()
        )
    };
    sorted.chunk_by(together).map(line).collect()
}

/// The records of each lane in the order of their split.
fn lanes(events: &[Event]) -> BTreeMap<(u32, u32), Vec<Event>> {
    let mut lanes: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    for event in events {
        let lane = lanes.entry((event.split, event.user % 10)).or_default();
        lane.push(*event);
    }
    lanes
}

/// A window over the last `n` records behind every `every`-th one; the one that the end cut
/// short holds what is there of it.
fn by_count(events: &[Event], n: usize, every: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for ((split, key), records) in lanes(events) {
        for number in 0..records.len().div_ceil(every) {
            let end = (number + 1) * every;
            let window = &records[end.saturating_sub(n)..end.min(records.len())];
            let times = window.iter().map(|e| e.time_ms);
            let sum: i64 = window.iter().map(|e| e.value).sum();
            lines.push(format!(
                r#"{{"split":{split},"key":{key},"number":{number},"records":{},"start_ms":{},"last_ms":{},"sum":{sum}}}"#,
                window.len(),
                times.clone().min().unwrap_or_default(),
                times.max().unwrap_or_default(),
            ));
        }
    }
    lines
}

fn running(events: &[Event], every: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for ((split, key), records) in lanes(events) {
        for count in (every..=records.len()).step_by(every) {
            let sum: i64 = records[..count].iter().map(|e| e.value).sum();
            lines.push(format!(
                r#"{{"split":{split},"key":{key},"count":{count},"sum":{sum}}}"#
            ));
        }
    }
    lines
}
