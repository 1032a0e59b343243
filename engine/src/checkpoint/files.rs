//! Files done right: everything that a checkpoint promises is on the disk before it promises it.
//!
//! No `fsync` is ever tried again after it has failed: the kernel may have dropped the pages it
//! could not write and report success the second time.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::checkpoint::fail_points::reach;
use crate::error::{Error, Result};

/// An IO error with what was tried on which path.
pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = format!("cannot {what} {}", path.display());
    move |e| Error::io(what, e)
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(path: &Path, point: &'static str) -> Result<()> {
    reach(point)?;
    let dir = File::open(path).map_err(failed("open", path))?;
    dir.sync_all().map_err(failed("sync", path))
}

/// Makes a file's content durable.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    reach("ckpt.file.fsync")?;
    let file = File::open(path).map_err(failed("open", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// Replaces or makes a small file in one step: a reader sees the old content or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], points: &AtomicPoints) -> Result<()> {
    let temporary = with_suffix(path, ".tmp");
    reach(points.write)?;
    let mut file = File::create(&temporary).map_err(failed("create", &temporary))?;
    file.write_all(bytes).map_err(failed("write", &temporary))?;
    reach(points.fsync)?;
    file.sync_all().map_err(failed("sync", &temporary))?;
    reach(points.rename)?;
    fs::rename(&temporary, path).map_err(failed("rename a file to", path))?;
    reach(points.renamed)?;
    sync_dir(parent(path), points.parent)
}

/// The fail points of [`write_atomically`].
pub(crate) struct AtomicPoints {
    pub(crate) write: &'static str,
    pub(crate) fsync: &'static str,
    pub(crate) rename: &'static str,
    pub(crate) renamed: &'static str,
    pub(crate) parent: &'static str,
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The directory that a path is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The names in a directory, sorted. What cannot be listed is an error, never empty.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let entry = entry.map_err(failed("list", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The length and the checksum of a file.
pub(crate) fn checksum(path: &Path) -> Result<(u64, u32)> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut block = vec![0; 1 << 18];
    let mut len = 0;
    loop {
        match file.read(&mut block).map_err(failed("read", path))? {
            0 => return Ok((len, hasher.finalize())),
            n => {
                hasher.update(&block[..n]);
                len += n as u64;
            }
        }
    }
}
