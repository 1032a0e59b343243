//! Every file of a checkpoint damaged in every way.

use std::fs;
use std::path::{Path, PathBuf};

use millstream::engine::checkpoint::directory::CheckpointDir;
use millstream::{ErrorKind, Outcome};

use crate::small_job::{SHAPE, check_output, run};
use crate::{check_refused, on_disk, stopped};

type Mutation = (String, Option<Vec<u8>>);

/// What may become of a file: a name for it, and the new content, or none.
fn mutations(content: &[u8]) -> Vec<Mutation> {
    let mut all = vec![("deleted".to_owned(), None)];
    let longer = [content, b"x"].concat();
    all.push(("longer by a byte".to_owned(), Some(longer)));
    if content.is_empty() {
        return all;
    }
    all.push(("emptied".to_owned(), Some(Vec::new())));
    for len in [content.len() / 2, content.len() - 1] {
        all.push((format!("cut to {len}"), Some(content[..len].to_vec())));
    }
    for eighth in 0..=8 {
        let at = (content.len() - 1) * eighth / 8;
        let mut flipped = content.to_vec();
        flipped[at] ^= 1 << eighth.min(7);
        all.push((format!("flipped at {at}"), Some(flipped)));
    }
    all
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What has the same name in another epoch, with another content.
fn namesakes(earlier: &Path, name: &str, content: &[u8]) -> Vec<Mutation> {
    let same = |other: &str| {
        other == name
            || name.starts_with("MANIFEST-0000000000") && other.starts_with("MANIFEST-0000000000")
    };
    on_disk::snapshot(earlier)
        .into_iter()
        .filter(|(path, other)| same(&name_of(path)) && other != content)
        .map(|(_, other)| ("of another epoch".to_owned(), Some(other)))
        .collect()
}

#[test]
fn every_damaged_file_is_refused_by_name() {
    let stopped = stopped();
    let root = stopped.dir.path();
    let (mut replaced, mut refused) = (0, 0);
    for (path, content) in on_disk::snapshot(&root.join("checkpoints")) {
        let relative: PathBuf = path.strip_prefix(root).unwrap().to_owned();
        let name = name_of(&path);
        let others = namesakes(&stopped.earlier, &name, &content);
        replaced += others.len();
        for (how, content) in mutations(&content).into_iter().chain(others) {
            let what = format!("{} {how}", relative.display());
            let copy = stopped.copy();
            let target = copy.path().join(&relative);
            match content {
                Some(content) => fs::write(&target, content).unwrap(),
                None => fs::remove_file(&target).unwrap(),
            }
            if name == "JOB" && how == "of another epoch" {
                // It only says which epoch there is at the least.
                assert_eq!(run(SHAPE, copy.path(), None).unwrap(), Outcome::Completed);
                check_output(copy.path(), &what);
            } else {
                check_refused(SHAPE, copy.path(), &[&name], &what);
                refused += 1;
            }
        }
    }
    assert!(replaced >= 3, "only {replaced} files have a namesake");
    assert!(refused >= 60, "only {refused} mutations");
}

#[test]
fn a_missing_epoch_directory_is_refused_by_name() {
    let stopped = stopped();
    let checkpoints = stopped.dir.path().join("checkpoints");
    let epoch = fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| name_of(path).starts_with("epoch-"))
        .unwrap();
    fs::remove_dir_all(&epoch).unwrap();
    let named = name_of(&epoch);
    check_refused(SHAPE, stopped.dir.path(), &[&named, "missing"], "no epoch");
}

#[test]
fn another_format_version_is_refused_by_name() {
    let stopped = stopped();
    let checkpoints = stopped.dir.path().join("checkpoints");
    for (path, mut content) in on_disk::snapshot(&checkpoints) {
        let name = name_of(&path);
        if path.parent() != Some(&checkpoints) {
            continue;
        }
        let copy = stopped.copy();
        content[8..12].copy_from_slice(&77_u32.to_le_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&content[..24]);
        content[24..28].copy_from_slice(&crc.sum().to_le_bytes());
        fs::write(copy.path().join("checkpoints").join(&name), content).unwrap();
        let named = [name.as_str(), "format version 77"];
        check_refused(SHAPE, copy.path(), &named, &name);
    }
}

#[test]
fn a_directory_that_is_in_use_is_refused_by_name() {
    let stopped = stopped();
    let checkpoints = stopped.dir.path().join("checkpoints");
    let held = CheckpointDir::open(&checkpoints, SHAPE.job, false).unwrap();
    let before = on_disk::snapshot(&checkpoints);
    let error = run(SHAPE, stopped.dir.path(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let pid = format!("in use by another process (pid {})", std::process::id());
    for named in [checkpoints.to_str().unwrap(), &pid] {
        assert!(
            error.to_string().contains(named),
            "no `{named}` in: {error}"
        );
    }
    assert!(before == on_disk::snapshot(&checkpoints));
    drop(held);
    assert_eq!(
        run(SHAPE, stopped.dir.path(), None).unwrap(),
        Outcome::Completed
    );
    check_output(stopped.dir.path(), "after the lock was let go");
}
