//! Latency by percentile as a picture (SVG): each further nine is one step to the right.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Percentiles from 0 to 99.999: five nines.
const NINES: f64 = 5.0;
const COLOURS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];
const PERCENTILES: [&str; 6] = ["0", "90", "99", "99.9", "99.99", "99.999"];

/// One line: its name and its points, a share from 0 to 1 and milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// The shares at which a line has points: 20 for each nine.
pub(crate) fn shares() -> impl Iterator<Item = f64> {
    (0..=100).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 20.0))
}

/// The picture; `limit_ms` is drawn as a dashed line.
pub(crate) fn svg(title: &str, lines: &[Line], limit_ms: f64) -> String {
    let highest = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.1))
        .fold(limit_ms, f64::max);
    let top_ms = round_up(highest);
    let y = |ms: f64| HEIGHT - BOTTOM - ms / top_ms * (HEIGHT - TOP - BOTTOM);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>",
        escaped(title)
    );
    for step in 0..=5 {
        let ms = top_ms * f64::from(step) / 5.0;
        rule(&mut text, [LEFT, y(ms), WIDTH - RIGHT, y(ms)], "#ddd");
        label(
            &mut text,
            LEFT - 8.0,
            y(ms) + 4.0,
            "end",
            &format!("{ms:.1}"),
        );
    }
    for (nines, percentile) in PERCENTILES.iter().enumerate() {
        let x = x(1.0 - 10_f64.powi(-(nines as i32)));
        rule(&mut text, [x, TOP, x, HEIGHT - BOTTOM], "#ddd");
        label(&mut text, x, HEIGHT - BOTTOM + 18.0, "middle", percentile);
    }
    label(
        &mut text,
        WIDTH / 2.0,
        HEIGHT - 12.0,
        "middle",
        "percentile",
    );
    label(&mut text, LEFT, TOP - 8.0, "end", "ms");
    let _ = writeln!(
        text,
        "<line x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{1}\" y2=\"{0:.1}\" stroke=\"#555\" stroke-dasharray=\"6 4\"/>",
        y(limit_ms),
        WIDTH - RIGHT
    );
    for ((number, line), colour) in lines.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|&(share, ms)| format!("{:.1},{:.1}", x(share), y(ms)))
            .collect();
        let _ = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        );
        let height = TOP + 16.0 + 18.0 * number as f64;
        rule(
            &mut text,
            [LEFT + 14.0, height - 4.0, LEFT + 38.0, height - 4.0],
            colour,
        );
        label(&mut text, LEFT + 44.0, height, "start", &line.name);
    }
    text.push_str("</svg>\n");
    text
}

fn x(share: f64) -> f64 {
    let nines = (-(1.0 - share).log10()).clamp(0.0, NINES);
    LEFT + nines / NINES * (WIDTH - LEFT - RIGHT)
}

/// The next of 1, 2, 5, 10, 20, 50...
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-3).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}

fn rule(text: &mut String, [x1, y1, x2, y2]: [f64; 4], colour: &str) {
    let _ = writeln!(
        text,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn label(text: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let what = escaped(what);
    let _ = writeln!(
        text,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_is_a_step_to_the_right() {
        let step = (WIDTH - LEFT - RIGHT) / NINES;
        for (share, steps) in [
            (0.0, 0.0),
            (0.9, 1.0),
            (0.99, 2.0),
            (0.9999, 4.0),
            (1.0, 5.0),
        ] {
            assert!((x(share) - LEFT - steps * step).abs() < 1e-6, "{share}");
        }
    }

    #[test]
    fn the_scale_ends_at_a_round_figure() {
        for (value, top) in [
            (0.7, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (7.0, 10.0),
            (12.0, 20.0),
            (51.0, 100.0),
        ] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_picture_has_a_line_for_each_window() {
        let line = |name: &str| Line {
            name: name.to_owned(),
            points: shares().map(|share| (share, 4.0 * share)).collect(),
        };
        let text = svg("a < b", &[line("10 ms"), line("1 s")], 5.0);
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains("a &lt; b") && text.contains(">10 ms</text>"));
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
    }
}
