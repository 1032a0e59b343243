//! One line of the table: what was measured, what is aimed at, and whether that is reached.

use std::fmt;

use millstream_benches::median;
use serde::Serialize;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
    /// Nothing: it is shown for what it is.
    None,
}

impl Goal {
    fn is_reached_by(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(least) => value >= least,
            Goal::AtMost(most) => value <= most,
            Goal::None => true,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::AtLeast(least) => write!(f, "≥ {least}"),
            Goal::AtMost(most) => write!(f, "≤ {most}"),
            Goal::None => write!(f, "-"),
        }
    }
}

/// How a row came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The figure is what is aimed at.
    Reached,
    /// It is not.
    Missed,
    /// There is no aim.
    Shown,
    /// A result is as it has to be.
    Right,
    /// A result is not what it has to be, or a program failed: the run as a whole fails.
    Wrong(String),
    /// The program took so long that it was killed.
    TooSlow(String),
    /// The program is not there, or says nothing about this.
    NotRun(String),
}

impl Verdict {
    /// Whether the run as a whole has failed.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Verdict::Wrong(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Reached => write!(f, "yes"),
            Verdict::Missed => write!(f, "**no**"),
            Verdict::Shown => write!(f, "-"),
            Verdict::Right => write!(f, "right"),
            Verdict::Wrong(why) => write!(f, "**WRONG**: {why}"),
            Verdict::TooSlow(why) => write!(f, "**too slow**: {why}"),
            Verdict::NotRun(why) => write!(f, "not run: {why}"),
        }
    }
}

/// The values of several turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The lowest.
    pub(crate) min: f64,
    /// The median.
    pub(crate) median: f64,
    /// The highest.
    pub(crate) max: f64,
    /// How many there were.
    pub(crate) turns: usize,
}

impl Spread {
    /// Of these values; `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        let median = median(&mut sorted);
        Some(Spread {
            min: *sorted.first()?,
            median,
            max: *sorted.last()?,
            turns: sorted.len(),
        })
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The number of the target that it belongs to; 0: the results themselves.
    pub(crate) target: u8,
    /// What was measured.
    pub(crate) what: String,
    /// The figures behind it, as text.
    pub(crate) figures: String,
    /// The unit of `value` and `goal`; empty for ratios.
    pub(crate) unit: &'static str,
    /// What is judged.
    pub(crate) value: Option<Spread>,
    /// What is aimed at.
    pub(crate) goal: Goal,
    /// How it came out.
    pub(crate) verdict: Verdict,
}

impl Row {
    /// A row that judges the median of `values` by `goal`.
    pub(crate) fn judged(
        target: u8,
        what: impl Into<String>,
        figures: impl Into<String>,
        values: &[f64],
        goal: Goal,
    ) -> Self {
        let value = Spread::of(values).filter(|spread| spread.median.is_finite());
        let verdict = match (&value, goal) {
            (None, _) => Verdict::NotRun("no figure".to_owned()),
            (Some(_), Goal::None) => Verdict::Shown,
            (Some(spread), goal) if goal.is_reached_by(spread.median) => Verdict::Reached,
            (Some(_), _) => Verdict::Missed,
        };
        Row {
            target,
            what: what.into(),
            figures: figures.into(),
            unit: "",
            value,
            goal,
            verdict,
        }
    }

    /// A row without a figure.
    pub(crate) fn verdict(target: u8, what: impl Into<String>, verdict: Verdict) -> Self {
        Row {
            target,
            what: what.into(),
            figures: String::new(),
            unit: "",
            value: None,
            goal: Goal::None,
            verdict,
        }
    }

    /// The same row with a unit.
    #[must_use]
    pub(crate) fn in_unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// The same row with these figures.
    #[must_use]
    pub(crate) fn with_figures(mut self, figures: impl Into<String>) -> Self {
        self.figures = figures.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], goal: Goal, expect: Verdict) {
        assert_eq!(
            Row::judged(1, "x", "", values, goal).verdict,
            expect,
            "{values:?} {goal}"
        );
    }

    #[test]
    fn the_median_is_judged() {
        check(&[0.8, 0.9, 2.0], Goal::AtLeast(0.9), Verdict::Reached);
        check(&[0.8, 0.89, 2.0], Goal::AtLeast(0.9), Verdict::Missed);
        check(&[5.0], Goal::AtMost(5.0), Verdict::Reached);
        check(&[5.1], Goal::AtMost(5.0), Verdict::Missed);
        check(&[1.0], Goal::None, Verdict::Shown);
        let none = Verdict::NotRun("no figure".to_owned());
        check(&[], Goal::AtMost(5.0), none.clone());
        check(&[f64::NAN], Goal::AtMost(5.0), none.clone());
        check(&[f64::INFINITY], Goal::AtLeast(5.0), none);
    }

    #[test]
    fn only_what_is_wrong_fails_the_run() {
        let why = || "x".to_owned();
        assert!(Verdict::Wrong(why()).is_failure());
        for fine in [
            Verdict::Reached,
            Verdict::Missed,
            Verdict::Shown,
            Verdict::Right,
            Verdict::TooSlow(why()),
            Verdict::NotRun(why()),
        ] {
            assert!(!fine.is_failure(), "{fine}");
        }
    }

    #[test]
    fn the_spread_has_both_ends() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 9.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 9.0));
        assert_eq!(spread.turns, 4);
        assert_eq!(Spread::of(&[]), None);
    }
}
