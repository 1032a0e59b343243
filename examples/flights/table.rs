//! The first rows of a result, as a small table.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use millstream::prelude::*;
use serde_json::{Map, Value};

const ROWS: usize = 5;
const WIDTH: usize = 16;

/// Prints the first rows of the JSON lines in a directory.
///
/// # Errors
/// When they cannot be read.
#[expect(clippy::print_stdout, reason = "this is the demo's output")]
pub(crate) fn print(dir: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("cannot read {}", dir.display()), e);
    let mut parts = std::fs::read_dir(dir)
        .map_err(failed)?
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect::<Result<Vec<_>>>()?;
    parts.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    parts.sort();
    let Some(first) = parts.first() else {
        return Ok(());
    };
    let lines = BufReader::new(File::open(first).map_err(failed)?).lines();
    println!("\nThe first rows of {}:", first.display());
    for (number, line) in lines.take(ROWS).enumerate() {
        let line = line.map_err(failed)?;
        let row: Map<String, Value> = serde_json::from_str(&line)
            .map_err(|e| Error::input("a result is no JSON").caused_by(e))?;
        if number == 0 {
            println!("{}", cells(row.keys().map(String::as_str)));
        }
        println!(
            "{}",
            cells(
                row.values()
                    .map(cell)
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
            )
        );
    }
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.2}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

fn cells<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    cells.map(|cell| format!("{cell:>WIDTH$}")).collect()
}
