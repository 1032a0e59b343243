//! Targets 2 to 8: programs that measure by themselves, both sides by turns, and print figures.
//!
//! Each is a line in a table: what to call, and which of its figures has to be what.

use crate::measure::{Call, Figures};
use crate::row::{Goal, Row};
use crate::table::number;
use crate::targets::{Bench, Part, numbers, rows_or};

/// A program that measures.
struct Probe {
    name: &'static str,
    target: u8,
    program: &'static str,
    full: &'static [&'static str],
    quick: &'static [&'static str],
    /// Whether it runs as often as the sides of a ratio; if not, once: it takes long, or takes
    /// medians itself.
    by_turns: bool,
    judged: &'static [Judged],
}

/// One of its figures.
struct Judged {
    /// Where it stands in what the program prints.
    path: &'static str,
    what: &'static str,
    unit: &'static str,
    goal: Goal,
    /// Figures to show beside it: title and path.
    beside: &'static [(&'static str, &'static str)],
}

const PROBES: &[Probe] = &[
    Probe {
        name: "stall",
        target: 3,
        program: "state_probe",
        full: &["stall"],
        quick: &["stall", "--state-mib=128", "--secs=4", "--warm=2"],
        by_turns: false,
        judged: &[
            Judged {
                path: "tested.stall_max_ms",
                what: "the longest stall of a worker, a tenth of the state dirty",
                unit: "ms",
                goal: Goal::AtMost(5.0),
                beside: &[
                    ("p99.9", "tested.stall_p999_ms"),
                    ("without checkpoints: longest", "base.stall_max_ms"),
                ],
            },
            Judged {
                path: "wall_loss_percent",
                what: "throughput lost to a checkpoint a second, a tenth of the state dirty",
                unit: "%",
                goal: Goal::AtMost(5.0),
                beside: &[("CPU time an event, % more:", "cpu_more_percent")],
            },
        ],
    },
    Probe {
        name: "epochs",
        target: 3,
        program: "state_probe",
        full: &["epochs"],
        quick: &["epochs", "--secs=4", "--warm=1"],
        by_turns: false,
        judged: &[Judged {
            path: "cpu_more_percent",
            what: "CPU time more, checkpoints every 100 ms beside 1 s, 10,000 dirty an epoch",
            unit: "%",
            goal: Goal::AtMost(5.0),
            beside: &[("events a second, % fewer:", "wall_loss_percent")],
        }],
    },
    Probe {
        name: "beyond-memory",
        target: 4,
        program: "state_probe",
        full: &["larger-than-memory", "--keys=20000000", "--memory=103MiB"],
        quick: &[
            "larger-than-memory",
            "--keys=5000000",
            "--memory=64MiB",
            "--secs=4",
            "--warm=1",
        ],
        by_turns: false,
        judged: &[BEYOND_UNIFORM, BEYOND_RSS],
    },
    Probe {
        name: "beyond-memory-zipf",
        target: 4,
        program: "state_probe",
        full: &[
            "larger-than-memory",
            "--distribution=zipf",
            "--keys=20000000",
            "--memory=103MiB",
        ],
        quick: &[
            "larger-than-memory",
            "--distribution=zipf",
            "--keys=5000000",
            "--memory=64MiB",
            "--secs=4",
            "--warm=1",
        ],
        by_turns: false,
        judged: &[BEYOND_ZIPF, BEYOND_RSS],
    },
    Probe {
        name: "recovery",
        target: 5,
        program: "state_probe",
        full: &["recovery"],
        quick: &["recovery", "--state-mib=64"],
        by_turns: false,
        judged: &[first_output(
            "kill -9 to the first output, 1 GiB of state (quick: 64 MiB)",
        )],
    },
    Probe {
        name: "recovery-large",
        target: 5,
        program: "state_probe",
        full: &["recovery", "--state-mib=10240"],
        quick: &["recovery", "--state-mib=640"],
        by_turns: false,
        judged: &[first_output(
            "kill -9 to the first output, 10 GiB of state (quick: 640 MiB)",
        )],
    },
    Probe {
        name: "latency",
        target: 6,
        program: "latency",
        full: &["--seconds=40"],
        quick: &["--seconds=10"],
        by_turns: false,
        judged: &[
            latency(
                "windows.0.p9999_ms",
                "p99.99 beyond the end of windows of 10 ms",
                &[
                    ("p50", "windows.0.p50_ms"),
                    ("p99", "windows.0.p99_ms"),
                    ("max", "windows.0.max_ms"),
                    ("the machine's own p99.99", "windows.0.machine_p9999_ms"),
                ],
            ),
            latency(
                "windows.1.p9999_ms",
                "p99.99 beyond the end of windows of 100 ms",
                &[
                    ("p50", "windows.1.p50_ms"),
                    ("p99", "windows.1.p99_ms"),
                    ("max", "windows.1.max_ms"),
                    ("the machine's own p99.99", "windows.1.machine_p9999_ms"),
                ],
            ),
            latency(
                "windows.2.p9999_ms",
                "p99.99 beyond the end of windows of 1 s",
                &[
                    ("p50", "windows.2.p50_ms"),
                    ("p99", "windows.2.p99_ms"),
                    ("max", "windows.2.max_ms"),
                    ("the machine's own p99.99", "windows.2.machine_p9999_ms"),
                ],
            ),
        ],
    },
    Probe {
        name: "hop",
        target: 7,
        program: "hop_ratio",
        full: &[],
        quick: &["--records=4000000", "--turns=3"],
        by_turns: false,
        judged: &[
            Judged {
                path: "exchange_1_ns",
                what: "exchange, one target: CPU time a record of 64 bytes and hop",
                unit: "ns",
                goal: Goal::AtMost(10.0),
                beside: &[],
            },
            Judged {
                path: "exchange_2_ns",
                what: "exchange, two targets: CPU time a record of 64 bytes and hop",
                unit: "ns",
                goal: Goal::AtMost(10.0),
                beside: &[],
            },
            Judged {
                path: "chain_ratio",
                what: "five stateless steps: CPU time, job / fused loop",
                unit: "",
                goal: Goal::AtMost(1.1),
                beside: &[("job ns", "chain_job_ns"), ("loop ns", "chain_loop_ns")],
            },
        ],
    },
    Probe {
        name: "csv-all-columns",
        target: 8,
        program: "csv_ratio",
        full: &["--shape=all", "--rows=3000000"],
        quick: &["--shape=all", "--rows=300000", "--runs=3"],
        by_turns: false,
        judged: CSV,
    },
    Probe {
        name: "csv-quoted",
        target: 8,
        program: "csv_ratio",
        full: &["--shape=quoted", "--rows=3000000"],
        quick: &["--shape=quoted", "--rows=300000", "--runs=3"],
        by_turns: false,
        judged: CSV,
    },
    Probe {
        name: "csv-some-columns",
        target: 8,
        program: "csv_ratio",
        full: &["--shape=some", "--rows=3000000"],
        quick: &["--shape=some", "--rows=300000", "--runs=3"],
        by_turns: false,
        judged: CSV,
    },
];

const CSV: &[Judged] = &[
    Judged {
        path: "ratio_cpu",
        what: "rows per CPU-second, source / bare library",
        unit: "",
        goal: Goal::AtLeast(0.9),
        beside: &[("with one decoder", "ratio_cpu_1")],
    },
    Judged {
        path: "ratio_wall_2",
        what: "rows per second, source with two decoders / bare library",
        unit: "",
        goal: Goal::None,
        beside: &[("with one decoder", "ratio_wall_1")],
    },
    Judged {
        path: "gz.ratio_cpu",
        what: "compressed: rows per CPU-second, source / bare library",
        unit: "",
        goal: Goal::AtLeast(0.9),
        beside: &[("per second", "gz.ratio_wall_2")],
    },
];

const BEYOND_UNIFORM: Judged = beyond(
    "20 M uniform keys under 103 MiB (quick: 5 M, 64 MiB): rate / all in memory",
    0.3,
);
const BEYOND_ZIPF: Judged = beyond("the same keys by Zipf 1.0: rate / all in memory", 0.7);
const BEYOND_RSS: Judged = Judged {
    path: "rss_to_budget",
    what: "resident memory / budget",
    unit: "",
    goal: Goal::AtMost(1.1),
    beside: &[("MiB", "tested.peak_rss_mib"), ("of", "budget_mib")],
};

const fn beyond(what: &'static str, least: f64) -> Judged {
    Judged {
        path: "rate_ratio",
        what,
        unit: "",
        goal: Goal::AtLeast(least),
        beside: &[
            ("events/s", "tested.events_per_sec"),
            ("in memory", "base.events_per_sec"),
        ],
    }
}

const fn first_output(what: &'static str) -> Judged {
    Judged {
        path: "first_output_secs",
        what,
        unit: "s",
        goal: Goal::AtMost(1.0),
        beside: &[
            ("MiB of state", "state_mib"),
            ("first commit s", "first_commit_secs"),
            ("on disk MiB", "disk_mib"),
        ],
    }
}

const fn latency(
    path: &'static str,
    what: &'static str,
    beside: &'static [(&'static str, &'static str)],
) -> Judged {
    Judged {
        path,
        what,
        unit: "ms",
        goal: Goal::AtMost(5.0),
        beside,
    }
}

/// A part for each probe.
pub(crate) fn parts() -> Vec<Part> {
    PROBES
        .iter()
        .map(|probe| Part {
            name: probe.name.to_owned(),
            target: probe.target,
            run: Box::new(|bench| measure(bench, probe)),
        })
        .collect()
}

fn measure(bench: &Bench, probe: &Probe) -> Vec<Row> {
    rows_or(probe.target, probe.name, || {
        let call = Call::new(probe.program, bench.pick(probe.quick, probe.full));
        let turns = if probe.by_turns { bench.turns } else { 1 };
        let said = (0..turns)
            .map(|_| bench.run(&call))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(probe
            .judged
            .iter()
            .flat_map(|judged| judge(probe, judged, &said))
            .collect())
    })
}

fn judge(probe: &Probe, judged: &Judged, said: &[Figures]) -> Vec<Row> {
    rows_or(probe.target, judged.what, || {
        let values = numbers(said, judged.path)?;
        let beside: Vec<String> = judged
            .beside
            .iter()
            .filter_map(|(title, path)| {
                let value = said.last()?.number(path)?;
                Some(format!("{title} {}", number(value)))
            })
            .collect();
        let row = Row::judged(
            probe.target,
            format!("{}: {}", probe.name, judged.what),
            beside.join(", "),
            &values,
            judged.goal,
        );
        Ok(vec![row.in_unit(judged.unit)])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::row::Verdict;

    fn said(json: &str) -> Figures {
        Figures::parse(json).unwrap()
    }

    #[test]
    fn a_probe_is_judged_by_its_figures() {
        let probe = &PROBES[0];
        let figures = said(
            r#"{"tested": {"stall_max_ms": 4.5, "stall_p999_ms": 2.25}, "wall_loss_percent": 7.5}"#,
        );
        let rows: Vec<Row> = probe
            .judged
            .iter()
            .flat_map(|judged| judge(probe, judged, std::slice::from_ref(&figures)))
            .collect();
        assert_eq!(rows[0].verdict, Verdict::Reached);
        assert_eq!(rows[0].figures, "p99.9 2.25");
        assert_eq!(rows[0].unit, "ms");
        assert_eq!(rows[1].verdict, Verdict::Missed);
    }

    #[test]
    fn a_figure_that_is_not_printed_is_said() {
        let rows = judge(&PROBES[0], &PROBES[0].judged[0], &[said(r#"{"x": 1}"#)]);
        assert!(matches!(&rows[0].verdict, Verdict::NotRun(why) if why.contains("stall_max_ms")));
        assert_eq!(rows[0].target, 3);
    }

    #[test]
    fn every_part_has_a_name_of_its_own() {
        let parts = crate::targets::all();
        let names: BTreeSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names.len(), parts.len());
        for target in 0..=8 {
            assert!(parts.iter().any(|part| part.target == target), "{target}");
        }
    }
}
