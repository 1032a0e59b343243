//! The sessions of one key, as they stand in its row.

use millstream_engine::data::{Timestamp, Wire};
use serde::{Deserialize, Serialize};

use crate::window::result::{SessionWindow, Timing};
use crate::window::timers::{Deadline, low};

/// Where records lie that follow each other within the gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    /// The last instant at which another one still belongs to them.
    pub(super) reach: Timestamp,
}

/// The live sessions of a key, which do not touch each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Live<S> {
    /// Nearly every key has one session at a time.
    One(Alone<S>),
    /// Several, or one that does not fit an [`Alone`].
    Several {
        /// See [`Deadline::armed`].
        #[serde(skip)]
        armed: u32,
        #[expect(
            clippy::box_collection,
            reason = "a word, so that it does not make the usual row larger"
        )]
        sessions: Box<Vec<Session<S>>>,
    },
}

/// A session in as few bytes as it needs: with as many open as there are users of a service,
/// their bytes are what a record waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Alone<S> {
    start: Timestamp,
    /// How far behind its start its last record is.
    last: u32,
    /// How far behind its start a record still belongs to it.
    reach: u32,
    /// See [`Deadline::armed`].
    #[serde(skip)]
    armed: u32,
    panes: u16,
    emitted: Option<Timing>,
    state: S,
}

/// A session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session<S> {
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    /// The last instant at which a record still belongs to it.
    pub(super) reach: Timestamp,
    pub(super) state: S,
    /// The timing of its latest pane, unless that was taken back.
    pub(super) emitted: Option<Timing>,
    /// How many panes it has had, those taken back included.
    pub(super) panes: u32,
}

impl<S> Session<S> {
    pub(super) fn begun(at: Stretch, state: S) -> Self {
        Session {
            start: at.start,
            last: at.last,
            reach: at.reach,
            state,
            emitted: None,
            panes: 0,
        }
    }

    pub(super) fn window(&self) -> SessionWindow {
        SessionWindow {
            start: self.start,
            last: self.last,
            end: self.reach + 1,
        }
    }

    /// When something is to be done about it: it fires, then it is forgotten.
    pub(super) fn due(&self, lateness: i64) -> Timestamp {
        due(self.reach, self.emitted, lateness)
    }

    fn compact(self) -> Result<Alone<S>, Self> {
        let behind = |time: Timestamp| u32::try_from(time - self.start);
        match (
            behind(self.last),
            behind(self.reach),
            u16::try_from(self.panes),
        ) {
            (Ok(last), Ok(reach), Ok(panes)) => Ok(Alone {
                start: self.start,
                last,
                reach,
                armed: 0,
                panes,
                emitted: self.emitted,
                state: self.state,
            }),
            _ => Err(self),
        }
    }
}

fn due(reach: Timestamp, emitted: Option<Timing>, lateness: i64) -> Timestamp {
    match emitted {
        None => reach,
        Some(_) => reach + lateness,
    }
}

impl<S> Alone<S> {
    #[inline]
    fn stretch(&self) -> Stretch {
        Stretch {
            start: self.start,
            last: self.start + i64::from(self.last),
            reach: self.start + i64::from(self.reach),
        }
    }

    fn whole(self) -> Session<S> {
        let at = self.stretch();
        Session {
            emitted: self.emitted,
            panes: u32::from(self.panes),
            ..Session::begun(at, self.state)
        }
    }
}

const NOWHERE: Stretch = Stretch {
    start: 0,
    last: 0,
    reach: 0,
};

impl<S: Wire> Live<S> {
    /// The session that begins with these records.
    #[inline]
    pub(super) fn begun(at: Stretch, state: S) -> Self {
        let behind = |time: Timestamp| u32::try_from(time - at.start);
        match (behind(at.last), behind(at.reach)) {
            (Ok(last), Ok(reach)) => Live::One(Alone {
                start: at.start,
                last,
                reach,
                armed: 0,
                panes: 0,
                emitted: None,
                state,
            }),
            _ => Live::of(Session::begun(at, state), 0),
        }
    }

    fn of(session: Session<S>, armed: u32) -> Self {
        match session.compact() {
            Ok(alone) => Live::One(Alone { armed, ..alone }),
            Err(session) => Live::Several {
                armed,
                sessions: Box::new(vec![session]),
            },
        }
    }

    /// The session that a record goes into, if that is the only one and has not come out: it
    /// grows, and nothing else is to be done. A timer that is set is found too early then.
    /// The record alone reaches beyond the watermark.
    #[inline]
    pub(super) fn grow(&mut self, at: Stretch) -> Option<&mut S> {
        let Live::One(only) = self else {
            return None;
        };
        let now = only.stretch();
        let near = at.start <= now.reach && now.start <= at.reach;
        if !near || only.emitted.is_some() {
            return None;
        }
        let start = now.start.min(at.start);
        let last = u32::try_from(now.last.max(at.last) - start).ok()?;
        let reach = u32::try_from(now.reach.max(at.reach) - start).ok()?;
        only.start = start;
        only.last = last;
        only.reach = reach;
        Some(&mut only.state)
    }

    /// The one session that is to come out for the first time, if there is nothing else: where
    /// it lies, how many panes it has had, its state.
    #[inline]
    pub(super) fn only(&self) -> Option<(SessionWindow, u32, &S)> {
        match self {
            Live::One(only) if only.emitted.is_none() => {
                let at = only.stretch();
                let window = SessionWindow {
                    start: at.start,
                    last: at.last,
                    end: at.reach + 1,
                };
                Some((window, u32::from(only.panes), &only.state))
            }
            _ => None,
        }
    }

    /// Whether a session touches this.
    pub(super) fn touches(&self, at: Stretch) -> bool {
        let near = |start, reach| at.start <= reach && start <= at.reach;
        match self {
            Live::One(only) => near(only.start, only.stretch().reach),
            Live::Several { sessions, .. } => sessions.iter().any(|s| near(s.start, s.reach)),
        }
    }

    /// Takes the sessions out; `instead` stands there until [`put`](Live::put).
    pub(super) fn take(&mut self, instead: S) -> Vec<Session<S>> {
        let armed = self.armed();
        let empty = Live::of(Session::begun(NOWHERE, instead), armed);
        match std::mem::replace(self, empty) {
            Live::One(only) => vec![only.whole()],
            Live::Several { sessions, .. } => *sessions,
        }
    }

    /// Puts sessions back. Without any, what stands there is of no use.
    pub(super) fn put(&mut self, mut sessions: Vec<Session<S>>) {
        let armed = self.armed();
        *self = match (sessions.pop(), sessions.is_empty()) {
            (Some(only), true) => Live::of(only, armed),
            (Some(last), false) => {
                sessions.push(last);
                Live::Several {
                    armed,
                    sessions: Box::new(sessions),
                }
            }
            (None, _) => return,
        };
    }
}

impl<S: Wire> Deadline for Live<S> {
    #[inline]
    fn due(&self, lateness: i64) -> Timestamp {
        match self {
            Live::One(only) => due(only.stretch().reach, only.emitted, lateness),
            Live::Several { sessions, .. } => {
                let dues = sessions.iter().map(|session| session.due(lateness));
                dues.min().unwrap_or(Timestamp::MAX)
            }
        }
    }

    #[inline]
    fn armed(&self) -> u32 {
        match self {
            Live::One(Alone { armed, .. }) | Live::Several { armed, .. } => *armed,
        }
    }

    #[inline]
    fn look(&self) -> u32 {
        match self {
            Live::One(only) => low(only.start) ^ only.reach ^ only.armed,
            Live::Several { armed, .. } => *armed,
        }
    }

    #[inline]
    fn arm(&mut self, time: Timestamp) {
        let at = low(time);
        match self {
            Live::One(Alone { armed, .. }) | Live::Several { armed, .. } => *armed = at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(start: Timestamp, last: Timestamp, reach: Timestamp) -> Stretch {
        Stretch { start, last, reach }
    }

    #[test]
    fn a_key_with_one_session_takes_half_a_cache_line() {
        assert_eq!(size_of::<Live<u64>>(), 32);
    }

    #[test]
    fn what_goes_in_comes_out() {
        let day = 86_400_000;
        for reach in [10, 40 * day, 60 * day] {
            let mut live = Live::begun(stretch(-5, 3, reach), 7);
            live.arm(9);
            let mut sessions = live.take(0);
            assert_eq!(sessions.len(), 1, "{reach}");
            let only = &sessions[0];
            assert_eq!((only.start, only.last, only.reach), (-5, 3, reach));
            assert_eq!((only.state, live.armed()), (7, 9));
            sessions.push(Session::begun(stretch(90 * day, 91 * day, 92 * day), 8));
            sessions[0].emitted = Some(Timing::Late);
            sessions[0].panes = 1 << 20;
            live.put(sessions);
            assert_eq!(live.due(5), (reach + 5).min(92 * day));
            let mut again = live.take(0);
            assert_eq!((again.len(), again[0].panes, live.armed()), (2, 1 << 20, 9));
            again.truncate(1);
            live.put(again);
            assert_eq!(live.due(5), reach + 5);
            assert_eq!(live.take(0)[0].emitted, Some(Timing::Late));
        }
    }

    #[test]
    fn w4_a_session_grows_on_both_sides_while_it_fits() {
        let mut live = Live::begun(stretch(100, 100, 110), ());
        assert!(live.grow(stretch(110, 112, 122)).is_some());
        assert!(live.grow(stretch(90, 90, 100)).is_some());
        assert!(
            live.grow(stretch(123, 123, 133)).is_none(),
            "beyond the gap"
        );
        assert!(live.grow(stretch(79, 79, 89)).is_none(), "before it");
        let far = i64::from(u32::MAX);
        assert!(
            live.grow(stretch(100, far, far + 100)).is_none(),
            "too long"
        );
        let (window, panes, ()) = live.only().unwrap();
        assert_eq!((window.start, window.last, window.end), (90, 112, 123));
        assert_eq!((panes, live.due(1000)), (0, 122));
    }
}
