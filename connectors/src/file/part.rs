//! Part files: their names, what is promised of them, and how one becomes visible.
//!
//! A part is written as `.part-000-000000.jsonl.tmp` (writer, sequence number), and renamed to
//! `part-000-000000.jsonl` by the commit of the epoch that finished it. Readers see whole parts
//! and nothing else.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use millstream_engine::error::{Error, Result};

/// What part files end with.
const EXTENSION: &str = "jsonl";

/// Which part: the `seq`-th of writer `writer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartId {
    /// The index of the writer.
    pub writer: usize,
    /// The writer's parts are numbered from 0, without gaps.
    pub seq: u64,
}

impl PartId {
    /// The name under which readers see the part.
    pub fn final_name(self) -> String {
        format!("part-{:03}-{:06}.{EXTENSION}", self.writer, self.seq)
    }

    /// The name that the part has until it is committed.
    pub fn temporary_name(self) -> String {
        format!(".{}.tmp", self.final_name())
    }

    /// The part of that final name; `None` for every name that is not exactly one.
    pub(crate) fn from_final_name(name: &str) -> Option<Self> {
        let numbers = name
            .strip_prefix("part-")?
            .strip_suffix(EXTENSION)?
            .strip_suffix('.')?;
        let (writer, seq) = numbers.split_once('-')?;
        let part = PartId {
            writer: writer.parse().ok()?,
            seq: seq.parse().ok()?,
        };
        (part.final_name() == name).then_some(part)
    }

    /// The part of that temporary name.
    pub(crate) fn from_temporary_name(name: &str) -> Option<Self> {
        Self::from_final_name(name.strip_prefix('.')?.strip_suffix(".tmp")?)
    }
}

/// A part, or the beginning of one, that is durable: so long, with that checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// Which part.
    pub part: PartId,
    /// Bytes.
    pub length: u64,
    /// CRC-32 of these bytes.
    pub crc: u32,
}

/// What a writer of part files has prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsPending {
    /// The index of the writer.
    pub writer: usize,
    /// The sequence number of the next part that is begun.
    pub next_seq: u64,
    /// The part that goes on in the next epoch, as far as it is committed.
    pub open: Option<Durable>,
    /// Parts that are complete, and to be made visible.
    pub finished: Vec<Durable>,
}

/// The folder that a sink writes to.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn final_path(&self, part: PartId) -> PathBuf {
        self.0.join(part.final_name())
    }

    pub(crate) fn temporary_path(&self, part: PartId) -> PathBuf {
        self.0.join(part.temporary_name())
    }

    /// Makes the folder, and its entries in those above it durable.
    pub(crate) fn create(&self) -> Result<()> {
        let above = self
            .0
            .ancestors()
            .skip(1)
            .map(|path| match path.as_os_str().is_empty() {
                true => Path::new("."),
                false => path,
            });
        let mut changed = Vec::new();
        if !self.0.is_dir() {
            for path in above {
                changed.push(Folder(path.to_path_buf()));
                if path.is_dir() {
                    break;
                }
            }
        }
        fs::create_dir_all(&self.0).map_err(|cause| {
            Error::io(
                format!("cannot make the folder `{}`", self.0.display()),
                cause,
            )
            .remedy("check the path of the sink and the permissions above it")
        })?;
        changed.iter().try_for_each(Folder::sync)
    }

    /// Makes names that were added, changed or removed durable.
    pub(crate) fn sync(&self) -> Result<()> {
        fail::fail_point!("sink.dir.fsync", |_| Err(injected("fsync", &self.0)));
        File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| {
                Error::io(
                    format!("cannot fsync the folder `{}`", self.0.display()),
                    cause,
                )
            })
    }

    /// The parts in the folder: `(final, temporary)`.
    pub(crate) fn parts(&self) -> Result<(Vec<PartId>, Vec<PartId>)> {
        let failed = |cause| {
            Error::io(
                format!("cannot list the folder `{}`", self.0.display()),
                cause,
            )
        };
        let (mut finals, mut temporaries) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            finals.extend(PartId::from_final_name(name));
            temporaries.extend(PartId::from_temporary_name(name));
        }
        finals.sort_unstable();
        temporaries.sort_unstable();
        Ok((finals, temporaries))
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Error::io(
                format!("cannot remove `{}`", path.display()),
                cause,
            )),
            _ => Ok(()),
        }
    }

    /// Gives a complete part its final name. Doing it again changes nothing. The folder is not
    /// fsynced.
    pub(crate) fn publish(&self, part: &Durable) -> Result<()> {
        let (from, to) = (self.temporary_path(part.part), self.final_path(part.part));
        fail::fail_point!("sink.part.rename", |_| Err(injected("rename", &from)));
        match rename_to_new(&from, &to) {
            Ok(()) => {}
            Err(cause) if cause.kind() == ErrorKind::NotFound => self.check_published(part)?,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                self.check_published(part)?;
                self.remove(&from)?;
            }
            Err(cause) => {
                return Err(Error::io(
                    format!("cannot rename `{}` to `{}`", from.display(), to.display()),
                    cause,
                ));
            }
        }
        fail::fail_point!("sink.part.renamed", |_| Err(injected(
            "continue after renaming",
            &to
        )));
        Ok(())
    }

    /// Whether the part is there under its final name, as it was promised.
    pub(crate) fn check_published(&self, part: &Durable) -> Result<()> {
        let path = self.final_path(part.part);
        match checksum(&path, u64::MAX)? {
            Some(found) if found == (part.length, part.crc) => Ok(()),
            found => Err(broken(&path, part, found)),
        }
    }

    /// Whether the part is there under its temporary name, at least as long as it was promised
    /// and with the same beginning. `None`: it is not there at all.
    pub(crate) fn check_prefix(&self, part: &Durable) -> Result<Option<()>> {
        let path = self.temporary_path(part.part);
        match checksum(&path, part.length)? {
            None => Ok(None),
            Some(found) if found == (part.length, part.crc) => Ok(Some(())),
            found => Err(broken(&path, part, found)),
        }
    }
}

/// The length and CRC-32 of a file's first `most` bytes; `None` if there is no such file.
fn checksum(path: &Path, most: u64) -> Result<Option<(u64, u32)>> {
    let failed = |cause| Error::io(format!("cannot read `{}`", path.display()), cause);
    let mut file = match File::open(path) {
        Ok(file) => file.take(most),
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    let mut hasher = crc32fast::Hasher::new();
    let mut block = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(Some((length, hasher.finalize()))),
            Ok(n) => {
                hasher.update(block.get(..n).unwrap_or_default());
                length += n as u64;
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
}

fn broken(path: &Path, part: &Durable, found: Option<(u64, u32)>) -> Error {
    let found = match found {
        Some((length, crc)) => format!("{length} bytes with checksum {crc:08x}"),
        None => "no such file".into(),
    };
    Error::checkpoint(format!(
        "output file `{}` is not as the checkpoint promises: expected {} bytes with checksum {:08x}, found {found}",
        path.display(),
        part.length,
        part.crc
    ))
    .remedy("put the file back as it was; or start again with `--fresh`, which removes this sink's output")
}

/// Renames, unless there is a file of the new name.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system without such a rename still refuses to link over a file. Between link
        // and removal the part has both names; `publish` takes the temporary one away.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => Ok(done?),
    }
}

/// What a fail point does where the system would refuse.
pub(crate) fn injected(what: &str, path: &Path) -> Error {
    Error::io(
        format!("cannot {what} `{}`", path.display()),
        io::Error::other("a fail point said so"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_parts() {
        let check = |name: &str, expect: Option<(usize, u64)>| {
            let expect = expect.map(|(writer, seq)| PartId { writer, seq });
            assert_eq!(PartId::from_final_name(name), expect, "{name}");
            assert_eq!(
                PartId::from_temporary_name(&format!(".{name}.tmp")),
                expect,
                "{name}"
            );
        };
        check("part-000-000000.jsonl", Some((0, 0)));
        check("part-012-000345.jsonl", Some((12, 345)));
        check("part-1234-12345678.jsonl", Some((1234, 12_345_678)));
        for name in [
            "part-00-000000.jsonl",
            "part-0000-000000.jsonl",
            "part-000-0.jsonl",
            "part-000-+00000.jsonl",
            "part-000-000000.json",
            "part-000-000000.jsonl.gz",
            "my-part-000-000000.jsonl",
            "part-000.jsonl",
            "",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        assert_eq!(
            rename_to_new(&from, &to).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&to).unwrap(), b"old");
        fs::remove_file(&to).unwrap();
        rename_to_new(&from, &to).unwrap();
        assert_eq!(
            rename_to_new(&from, &to).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}
