//! What is measured, target by target.

use std::cell::RefCell;
use std::path::PathBuf;

use serde_json::Value;

use crate::measure::{Call, Fault, Figures, Programs};
use crate::row::{Row, Verdict};

pub(crate) mod nexmark;
pub(crate) mod probes;
pub(crate) mod windows;

type Measure = Box<dyn Fn(&Bench) -> Vec<Row>>;

/// One part of the table.
pub(crate) struct Part {
    /// By this name it is chosen.
    pub(crate) name: String,
    /// The number of the target; 0: the results themselves.
    pub(crate) target: u8,
    /// Measures and judges.
    pub(crate) run: Measure,
}

/// All parts, in the order in which they run.
pub(crate) fn all() -> Vec<Part> {
    let mut parts = nexmark::parts();
    parts.extend(windows::parts());
    parts.extend(probes::parts());
    parts
}

/// What every part works with.
pub(crate) struct Bench {
    /// Runs the programs.
    pub(crate) programs: Programs,
    /// The short run: fewer events, fewer turns.
    pub(crate) is_quick: bool,
    /// How often each side runs where a median is taken.
    pub(crate) turns: usize,
    /// Where checkpoints go.
    pub(crate) scratch: PathBuf,
    /// What each program said, for the history.
    pub(crate) said: RefCell<Vec<(String, Value)>>,
    /// Tells what is going on.
    pub(crate) tell: Box<dyn Fn(&str)>,
}

impl Bench {
    /// Runs a program once.
    ///
    /// # Errors
    /// As [`Programs::run`], as the verdict that it comes to.
    pub(crate) fn run(&self, call: &Call) -> Result<Figures, Verdict> {
        (self.tell)(&call.to_string());
        // A folder of its own for each run, or it would go on from an earlier one.
        let folder = tempfile::tempdir_in(&self.scratch)
            .map_err(|e| Verdict::Wrong(format!("no folder for checkpoints: {e}")))?;
        let done = if call.has_checkpoints {
            let call = call.clone().with("--checkpoint-dir", folder.path());
            self.programs.run(&call)
        } else {
            self.programs.run(call)
        };
        match done {
            Ok(figures) => {
                let entry = (call.to_string(), figures.json());
                self.said.borrow_mut().push(entry);
                Ok(figures)
            }
            Err(Fault::Slow(why)) => Err(Verdict::TooSlow(why)),
            Err(Fault::Missing(why)) => Err(Verdict::NotRun(why)),
            Err(Fault::Failed(why)) => Err(Verdict::Wrong(why)),
        }
    }

    /// Runs several programs by turns, so that what else the machine does falls on all alike:
    /// for each of them the figures of each turn.
    ///
    /// # Errors
    /// As [`Bench::run`].
    pub(crate) fn by_turns<const N: usize>(
        &self,
        calls: &[Call; N],
    ) -> Result<[Vec<Figures>; N], Verdict> {
        let mut all = [const { Vec::new() }; N];
        for _ in 0..self.turns {
            for (figures, call) in all.iter_mut().zip(calls) {
                figures.push(self.run(call)?);
            }
        }
        Ok(all)
    }

    /// One of two, by the length of the run.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.is_quick { quick } else { full }
    }
}

/// A figure of each turn.
///
/// # Errors
/// When a program does not say it.
pub(crate) fn numbers(of: &[Figures], path: &str) -> Result<Vec<f64>, Verdict> {
    of.iter()
        .map(|figures| figures.number(path))
        .collect::<Option<_>>()
        .ok_or_else(|| Verdict::NotRun(format!("no figure `{path}` in what it prints")))
}

/// The quotients of two figures, turn by turn.
pub(crate) fn quotients(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).map(|(a, b)| a / b).collect()
}

/// The rows of a part, or one that says why there are none.
pub(crate) fn rows_or(
    target: u8,
    what: &str,
    measure: impl FnOnce() -> Result<Vec<Row>, Verdict>,
) -> Vec<Row> {
    measure().unwrap_or_else(|verdict| vec![Row::verdict(target, what, verdict)])
}
