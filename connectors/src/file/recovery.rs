//! Brings a folder of part files to what the last checkpoint says. Every step may be repeated:
//! a crash in the middle of it is mended by doing it again.

use std::fs::OpenOptions;

use millstream_engine::error::{Error, Result};
use millstream_engine::graph::sink::SinkStart;

use super::part::{Durable, Folder, PartId, PartsPending};

/// Does what the start of the job asks for.
pub(crate) fn recover(folder: &Folder, start: &SinkStart<'_, PartsPending>) -> Result<()> {
    folder.create()?;
    match start {
        SinkStart::Fresh => remove_all(folder),
        SinkStart::First => refuse_output(folder),
        SinkStart::Restored { pending, writers } => restore(folder, pending, *writers),
    }
}

fn remove_all(folder: &Folder) -> Result<()> {
    let (finals, temporaries) = folder.parts()?;
    for part in finals {
        folder.remove(&folder.final_path(part))?;
    }
    remove_temporaries(folder, &temporaries)
}

fn refuse_output(folder: &Folder) -> Result<()> {
    let (finals, temporaries) = folder.parts()?;
    if let Some(part) = finals.first() {
        return Err(Error::config(format!(
            "the folder `{}` holds output of an earlier run ({} files, the first is `{}`), but there is no checkpoint to go on from",
            folder.path().display(),
            finals.len(),
            part.final_name()
        ))
        .remedy("start with `--fresh` to remove it, choose another folder for the sink, or name the checkpoint it belongs to"));
    }
    remove_temporaries(folder, &temporaries)
}

fn remove_temporaries(folder: &Folder, parts: &[PartId]) -> Result<()> {
    for part in parts {
        folder.remove(&folder.temporary_path(*part))?;
    }
    folder.sync()
}

fn restore(folder: &Folder, pending: &[PartsPending], writers: usize) -> Result<()> {
    refuse_later_output(folder, pending)?;
    for part in pending.iter().flat_map(|p| &p.finished) {
        complete(folder, part)?;
    }
    for (writer, part) in pending
        .iter()
        .enumerate()
        .filter_map(|(w, p)| Some((w, p.open.as_ref()?)))
    {
        if writer < writers {
            cut(folder, part)?;
        } else {
            complete(folder, part)?;
        }
    }
    let goes_on = |id: &PartId| {
        let mut open = pending.iter().take(writers).filter_map(|p| p.open.as_ref());
        open.any(|part| part.part == *id)
    };
    let (_, mut temporaries) = folder.parts()?;
    temporaries.retain(|part| !goes_on(part));
    remove_temporaries(folder, &temporaries)
}

/// A part that this checkpoint does not know of was committed by a later one: going on from here
/// would write its records again.
fn refuse_later_output(folder: &Folder, pending: &[PartsPending]) -> Result<()> {
    let (finals, _) = folder.parts()?;
    let is_later = |part: &&PartId| {
        pending
            .iter()
            .any(|p| p.writer == part.writer && p.next_seq <= part.seq)
    };
    match finals.iter().find(is_later) {
        Some(part) => Err(Error::checkpoint(format!(
            "output file `{}` was committed after this checkpoint was taken",
            folder.final_path(*part).display()
        ))
        .remedy("go on from the newest checkpoint; to go back to an older one, move the files that came after it away")),
        None => Ok(()),
    }
}

/// Makes a part visible that has all its records.
fn complete(folder: &Folder, part: &Durable) -> Result<()> {
    if cut_if_there(folder, part)? {
        folder.publish(part)
    } else {
        folder.check_published(part)
    }
}

/// Takes away what was written to a part after the checkpoint.
fn cut(folder: &Folder, part: &Durable) -> Result<()> {
    if !folder.final_path(part.part).exists() && cut_if_there(folder, part)? {
        return Ok(());
    }
    // A start with fewer writers that did not come far has completed it. If it came only as far
    // as giving it both names, what is added to one would show under the other.
    folder.check_published(part)?;
    folder.remove(&folder.temporary_path(part.part))
}

fn cut_if_there(folder: &Folder, part: &Durable) -> Result<bool> {
    if folder.check_prefix(part)?.is_none() {
        return Ok(false);
    }
    let path = folder.temporary_path(part.part);
    let failed = |cause| {
        Error::io(
            format!("cannot cut `{}` to {} bytes", path.display(), part.length),
            cause,
        )
    };
    let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() != part.length {
        file.set_len(part.length).map_err(failed)?;
        file.sync_all().map_err(failed)?;
    }
    Ok(true)
}
