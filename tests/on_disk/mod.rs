//! What jobs leave on the disk.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a part of several test binaries; a test ends where it is surprised"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All rows of all parts in a folder. Nothing else may be there.
pub fn rows(dir: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("part-"), "{} is left over", path.display());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n'), "{} is cut", path.display());
        rows.extend(text.lines().map(str::to_owned));
    }
    rows
}

/// Every file below a folder with its content, but for the lock and the working directory of a
/// checkpoint directory, which belong to the running process.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "live" {
                files.extend(snapshot(&path));
            }
        } else if name != "LOCK" {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path() {
            path if path.is_dir() => copy(&path, &target),
            path => {
                fs::copy(&path, &target).unwrap();
            }
        }
    }
}
