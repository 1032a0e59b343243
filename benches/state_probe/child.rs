//! Runs in processes of their own, by turns: memory is measured for each, none warms another.

use std::process::{Command, Stdio};

use millstream_benches::median;

use crate::Failure;
use crate::side::{Figures, Plan};

/// The arguments of a child.
pub(crate) fn arguments(command: &str, plan: &Plan) -> Result<[String; 2], Failure> {
    Ok([command.to_owned(), serde_json::to_string(plan)?])
}

/// Runs each of `plans` `runs` times, by turns; medians of each.
pub(crate) fn by_turns(plans: &[Plan], runs: usize) -> Result<Vec<Figures>, Failure> {
    let mut all = vec![Vec::new(); plans.len()];
    for run in 1..=runs.max(1) {
        for (number, (plan, figures)) in plans.iter().zip(&mut all).enumerate() {
            let came = run_one(plan)?;
            note(&format!("run {run}, side {number}: {came:?}"));
            figures.push(came);
        }
    }
    Ok(all.iter().map(|figures| medians(figures)).collect())
}

#[expect(clippy::print_stderr, reason = "progress; the result goes to stdout")]
fn note(what: &str) {
    eprintln!("{what}");
}

fn run_one(plan: &Plan) -> Result<Figures, Failure> {
    let folder;
    let mut plan = plan.clone();
    if let Some(within) = &plan.checkpoints {
        std::fs::create_dir_all(within)?;
        folder = tempfile::tempdir_in(within)?;
        plan.checkpoints = Some(folder.path().join("checkpoints"));
    }
    let done = Command::new(std::env::current_exe()?)
        .args(arguments("side", &plan)?)
        .stderr(Stdio::inherit())
        .output()?;
    if !done.status.success() {
        return Err(format!("a run ended with {}", done.status).into());
    }
    Ok(serde_json::from_slice(&done.stdout)?)
}

/// The median of each figure; of stalls, the worst.
fn medians(figures: &[Figures]) -> Figures {
    let of =
        |figure: fn(&Figures) -> f64| median(&mut figures.iter().map(figure).collect::<Vec<_>>());
    let worst = |figure: fn(&Figures) -> f64| figures.iter().map(figure).fold(f64::NAN, f64::max);
    Figures {
        build_secs: of(|f| f.build_secs),
        events: of(|f| f.events as f64) as u64,
        secs: of(|f| f.secs),
        cpu_secs: of(|f| f.cpu_secs),
        events_per_sec: of(|f| f.events_per_sec),
        cpu_ns_per_event: of(|f| f.cpu_ns_per_event),
        checkpoints: of(|f| f.checkpoints as f64) as u64,
        peak_rss_mib: worst(|f| f.peak_rss_mib),
        stall_max_ms: worst(|f| f.stall_max_ms),
        stall_p999_ms: worst(|f| f.stall_p999_ms),
        stall_p50_ms: of(|f| f.stall_p50_ms),
        stall_cpu_max_ms: worst(|f| f.stall_cpu_max_ms),
        stall_cpu_p999_ms: worst(|f| f.stall_cpu_p999_ms),
    }
}
