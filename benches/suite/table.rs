//! The rows as a table in Markdown.

use std::fmt::Write;

use crate::row::{Row, Spread};

/// All rows, those of a target together, in the order of the targets.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| row.target);
    let mut text = String::from(
        "| target | what | figures | measured | goal | reached | spread |\n|---|---|---|---|---|---|---|\n",
    );
    for row in sorted {
        let target = match row.target {
            0 => "results".to_owned(),
            number => number.to_string(),
        };
        let measured = row.value.map_or_else(
            || "-".to_owned(),
            |v| with_unit(&number(v.median), row.unit),
        );
        let cells = [
            target,
            row.what.clone(),
            row.figures.clone(),
            measured,
            with_unit(&row.goal.to_string(), row.unit),
            row.verdict.to_string(),
            row.value.map_or_else(String::new, spread),
        ];
        // A cell must not end the row, whatever a failed program has said.
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// A figure with three digits that count.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

fn with_unit(text: &str, unit: &str) -> String {
    if unit.is_empty() || text == "-" {
        text.to_owned()
    } else {
        format!("{text} {unit}")
    }
}

fn spread(value: Spread) -> String {
    match value.turns {
        0 | 1 => "1 run".to_owned(),
        turns => format!(
            "{} to {}, {turns} runs",
            number(value.min),
            number(value.max)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Goal, Verdict};

    #[test]
    fn a_table_with_every_kind_of_row() {
        let rows = [
            Row::judged(6, "latency", "p50 1", &[7.25], Goal::AtMost(5.0)).in_unit("ms"),
            Row::judged(
                1,
                "q5",
                "20 | 30 M/s",
                &[1.0, 1.25, 1.5],
                Goal::AtLeast(1.0),
            ),
            Row::judged(3, "cost", "", &[0.034], Goal::None),
            Row::verdict(0, "q5 at 1,000,000", Verdict::Right),
            Row::verdict(4, "stall", Verdict::NotRun("no\nprogram".to_owned())),
        ];
        let expect = "\
| target | what | figures | measured | goal | reached | spread |
|---|---|---|---|---|---|---|
| results | q5 at 1,000,000 |  | - | - | right |  |
| 1 | q5 | 20 \\| 30 M/s | 1.25 | ≥ 1 | yes | 1.00 to 1.50, 3 runs |
| 3 | cost |  | 0.0340 | - | - | 1 run |
| 4 | stall |  | - | - | not run: no program |  |
| 6 | latency | p50 1 | 7.25 ms | ≤ 5 ms | **no** | 1 run |
";
        assert_eq!(markdown(&rows), expect);
    }

    #[test]
    fn figures_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (0.956, "0.96"),
            (12.34, "12.3"),
            (1234.5, "1234"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
