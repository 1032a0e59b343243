//! Damaged, incomplete and foreign checkpoints: refused by name, and left as they are.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod on_disk;
mod small_job;

#[path = "damage/files.rs"]
mod files;
#[path = "damage/graph.rs"]
mod graph;
#[path = "damage/input.rs"]
mod input;
#[path = "damage/large.rs"]
mod large;

use std::path::{Path, PathBuf};

use millstream::{Error, ErrorKind, Outcome};
use small_job::{SHAPE, Shape, run};
use tempfile::TempDir;

/// A job that was stopped twice, and its checkpoints at the first stop.
struct Stopped {
    dir: TempDir,
    earlier: PathBuf,
}

fn stopped() -> Stopped {
    stopped_as(SHAPE)
}

fn stopped_as(shape: Shape) -> Stopped {
    let dir = tempfile::tempdir().unwrap();
    let earlier = dir.path().join("earlier");
    assert_eq!(run(shape, dir.path(), Some(2)).unwrap(), Outcome::Stopped);
    on_disk::copy(&dir.path().join("checkpoints"), &earlier);
    assert_eq!(run(shape, dir.path(), Some(2)).unwrap(), Outcome::Stopped);
    Stopped { dir, earlier }
}

impl Stopped {
    /// A copy to be damaged.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        on_disk::copy(self.dir.path(), copy.path());
        copy
    }
}

/// The start is refused with a message that holds all of `named`; the directory stays as it is.
fn check_refused(shape: Shape, dir: &Path, named: &[&str], what: &str) {
    let before = on_disk::snapshot(&dir.join("checkpoints"));
    let error = match run(shape, dir, None) {
        Err(error) => error,
        Ok(outcome) => panic!("{what}: accepted, {outcome:?}"),
    };
    check_error(&error, named, what);
    let after = on_disk::snapshot(&dir.join("checkpoints"));
    assert!(
        before == after,
        "{what}: the checkpoint directory was changed"
    );
}

fn check_error(error: &Error, named: &[&str], what: &str) {
    assert_eq!(error.kind(), ErrorKind::Checkpoint, "{what}: {error}");
    for part in named {
        assert!(
            error.to_string().contains(part),
            "{what}: no `{part}` in: {error}"
        );
    }
}
