//! How long a job is away after `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream::{Clock, Counted, Environment};
use serde::Serialize;

use crate::side::{Plan, job};
use crate::{Failure, child};

/// What a restart came to.
#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    pub(crate) probe: &'static str,
    pub(crate) state_mib: u64,
    pub(crate) rows: u64,
    /// From the start of the process to the first record behind the state.
    pub(crate) first_output_secs: f64,
    /// The same to the first checkpoint, with which output becomes visible.
    pub(crate) first_commit_secs: f64,
    /// The checkpoint directory at the kill.
    pub(crate) disk_mib: f64,
}

/// Builds the state in a child, kills it, and starts it again.
pub(crate) fn measure(plan: &Plan, state_mib: u64) -> Result<Recovery, Failure> {
    let (mut first, mut lines) = start(plan)?;
    wait_for(&mut lines, "built")?;
    first.kill()?;
    first.wait()?;
    let disk_mib = plan.checkpoints.as_deref().map_or(0.0, mib_in);
    let clock = Clock::system();
    let from_us = clock.monotonic_us();
    let (mut second, mut lines) = start(plan)?;
    let secs = || (clock.monotonic_us() - from_us) as f64 / 1e6;
    wait_for(&mut lines, "output")?;
    let first_output_secs = secs();
    wait_for(&mut lines, "commit")?;
    let first_commit_secs = secs();
    second.kill()?;
    second.wait()?;
    Ok(Recovery {
        probe: "recovery",
        state_mib,
        rows: plan.keys.all,
        first_output_secs,
        first_commit_secs,
        disk_mib,
    })
}

type Lines = std::io::Lines<BufReader<ChildStdout>>;

fn start(plan: &Plan) -> Result<(Child, Lines), Failure> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(child::arguments("recovery-child", plan)?)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = process.stdout.take().ok_or("a child without a stdout")?;
    Ok((process, BufReader::new(stdout).lines()))
}

fn wait_for(lines: &mut Lines, word: &str) -> Result<(), Failure> {
    for line in lines {
        if line? == word {
            return Ok(());
        }
    }
    Err(format!("the child ended before it said `{word}`").into())
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may have seen enough.
    let _ = writeln!(out, "{word}");
    let _ = out.flush();
}

/// Runs until it is killed; says on stdout how far it has come.
pub(crate) fn run_child(plan: &Plan) -> Result<(), Failure> {
    let (spoken, all) = (Arc::new(AtomicBool::new(false)), plan.keys.all);
    let out = spoken.clone();
    let job = job(
        plan,
        |_| {},
        move |_| {
            if !out.load(Ordering::Relaxed) && !out.swap(true, Ordering::Relaxed) {
                say("output");
            }
        },
    );
    let (mut built, mut committed) = (None, false);
    let environment = Environment {
        observe: Box::new(move |counted: &Counted| {
            if counted.checkpoints > 0 && spoken.load(Ordering::Relaxed) && !committed {
                committed = true;
                say("commit");
            }
            if counted.read < all {
                return;
            }
            // Two whole checkpoints behind the last row.
            let enough = *built.get_or_insert(counted.checkpoints + 3);
            if counted.checkpoints == enough {
                say("built");
            }
        }),
        ..Environment::default()
    };
    job.run_in(&plan.settings(), environment)?;
    Ok(())
}

/// The bytes of all files below a directory, each counted once.
fn mib_in(dir: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let (mut seen, mut bytes) = (std::collections::HashSet::new(), 0);
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) if seen.insert(meta.ino()) => bytes += meta.len(),
                _ => {}
            }
        }
    }
    bytes as f64 / f64::from(1 << 20)
}
