//! The figures of one run in a file of `benches/results/`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;
use crate::row::Row;

/// One run of the suite.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// The day, `2025-01-31`.
    pub(crate) date: String,
    /// The commit that was measured.
    pub(crate) commit: String,
    /// Whether it was the short run.
    pub(crate) quick: bool,
    /// How long it took, in seconds.
    pub(crate) secs: u64,
    /// On what.
    pub(crate) machine: Machine,
    /// The table.
    pub(crate) rows: Vec<Row>,
    /// What each program said, by its command.
    pub(crate) figures: Vec<(String, Value)>,
}

impl Run {
    /// Writes the run to a file of `folder`, named by date and commit. A run of the same day and
    /// commit gets a number behind it: nothing is written over.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let name = format!("{}-{}", self.date, self.commit);
        let mut path = folder.join(format!("{name}.json"));
        let mut number = 2;
        while path.exists() {
            path = folder.join(format!("{name}-{number}.json"));
            number += 1;
        }
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Goal;

    #[test]
    fn nothing_is_written_over_and_it_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run {
            date: "2025-01-31".to_owned(),
            commit: "abc".to_owned(),
            quick: true,
            secs: 7,
            machine: Machine::here(),
            rows: vec![Row::judged(1, "q5", "", &[1.5], Goal::AtLeast(1.0))],
            figures: Vec::new(),
        };
        let results = folder.path().join("results");
        let names: Vec<String> = (0..3)
            .map(|_| run.write(&results).unwrap())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "2025-01-31-abc.json",
                "2025-01-31-abc-2.json",
                "2025-01-31-abc-3.json"
            ]
        );
        let text = std::fs::read_to_string(results.join(&names[0])).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["rows"][0]["verdict"], "reached");
        assert_eq!(read["rows"][0]["goal"]["at_least"], 1.0);
        assert_eq!(read["rows"][0]["value"]["median"], 1.5);
    }
}
