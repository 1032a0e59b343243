//! Whether a checkpoint fits the job that wants to go on from it. Nothing is ever dropped or
//! started anew in silence.

use std::collections::BTreeSet;

use crate::checkpoint::manifest::Manifest;
use crate::error::{Error, Result};
use crate::runtime::job::JobGraph;
use crate::state::key_group::KEY_GROUPS;

/// Refuses a checkpoint whose parts have no place in the job, and a job with parts that the
/// checkpoint knows nothing of.
///
/// # Errors
/// [`ErrorKind::Checkpoint`](crate::error::ErrorKind::Checkpoint) that names the part.
pub(crate) fn check(graph: &JobGraph, manifest: &Manifest) -> Result<()> {
    let sources = graph.sources.iter().map(|p| p.id.as_str());
    same_ids("source", sources, manifest.sources.keys(), manifest)?;
    let operators = graph.operators.iter().map(|p| p.id.as_str());
    same_ids("operator", operators, manifest.operators.keys(), manifest)?;
    let sinks = graph.sinks.iter().map(|p| p.id.as_str());
    same_ids("sink", sinks, manifest.sinks.keys(), manifest)?;
    if manifest.key_groups != KEY_GROUPS {
        return Err(refused(format!(
            "its keys are dealt into {} groups, this program deals them into {KEY_GROUPS}",
            manifest.key_groups
        )));
    }
    for part in &graph.operators {
        let Some(entry) = manifest.operators.get(&part.id) else {
            continue;
        };
        if entry.kind != part.kind {
            return Err(refused(format!(
                "operator `{}` was `{}` when the checkpoint was made and is `{}` now",
                part.id, entry.kind, part.kind
            )));
        }
        for &(name, version) in &part.tables {
            match entry.tables.get(name) {
                Some(table) if table.version == u32::from(version) => {}
                Some(table) => {
                    return Err(refused(format!(
                        "table `{name}` of operator `{}` holds values of version {}, this program reads version {version}",
                        part.id, table.version
                    )));
                }
                None => {
                    return Err(refused(format!(
                        "it holds no table `{name}` of operator `{}`",
                        part.id
                    )));
                }
            }
        }
    }
    Ok(())
}

fn same_ids<'a>(
    role: &str,
    job: impl Iterator<Item = &'a str>,
    stored: impl Iterator<Item = &'a String>,
    manifest: &Manifest,
) -> Result<()> {
    let job: BTreeSet<&str> = job.collect();
    let stored: BTreeSet<&str> = stored.map(String::as_str).collect();
    if let Some(id) = stored.difference(&job).next() {
        return Err(refused(format!(
            "epoch {} holds the {role} `{id}`, which the job no longer has (it has {job:?})",
            manifest.epoch
        )));
    }
    if let Some(id) = job.difference(&stored).next() {
        return Err(refused(format!(
            "epoch {} knows nothing of the {role} `{id}` (it knows {stored:?})",
            manifest.epoch
        )));
    }
    Ok(())
}

fn refused(what: String) -> Error {
    Error::checkpoint(what).remedy(
        "run the program that made the checkpoint, undo the change of the graph, or start over with --fresh",
    )
}
