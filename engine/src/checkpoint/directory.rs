//! The directory that a job's checkpoints are kept in.
//!
//! ```text
//! LOCK                            held by the process that runs the job
//! JOB                             whose directory it is, and the last epoch known to be committed
//! MANIFEST-00000000000000000042   what epoch 42 says; making it by rename is the commit point
//! epoch-00000000000000000042-…/   its state: hard links of RocksDB's files, and
//!   changes-00000000000000000043  what a later epoch has changed of it
//! changes.open                    what the running epoch has changed, until it is saved
//! live/                           RocksDB's working directory; rebuilt at each start
//! ```

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::checkpoint::changes::{self, ChangesFile};
use crate::checkpoint::envelope::{self, REMEDY};
use crate::checkpoint::fail_points::reach;
use crate::checkpoint::files::{
    AtomicPoints, checksum, failed, list, parent, sync_dir, sync_file, write_atomically,
};
use crate::checkpoint::manifest::{FileEntry, Manifest, StateEntry};
use crate::error::{Error, Result};
use crate::state::codec;
use crate::state::run::Run;

const JOB: &str = "JOB";
const LOCK: &str = "LOCK";
const LIVE: &str = "live";
const MANIFEST: &str = "MANIFEST-";
const EPOCH: &str = "epoch-";
const CHANGES: &str = "changes-";
const OPEN_CHANGES: &str = "changes.open";
const JOB_MAGIC: [u8; 8] = *b"MILLJOB\0";

/// Files up to this length are checked in full at the start; larger ones (RocksDB's data) are
/// checked block by block when they are read, and by [`CheckpointDir::verify`].
const CHECKED_BYTES_MAX: u64 = 1 << 20;

const MANIFEST_POINTS: AtomicPoints = AtomicPoints {
    write: "ckpt.manifest.write",
    fsync: "ckpt.manifest.fsync",
    rename: "ckpt.manifest.rename",
    renamed: "ckpt.manifest.renamed",
    parent: "ckpt.parent.fsync",
};
const JOB_POINTS: AtomicPoints = AtomicPoints {
    write: "ckpt.identity.write",
    fsync: "ckpt.identity.fsync",
    rename: "ckpt.identity.rename",
    renamed: "ckpt.identity.renamed",
    parent: "ckpt.parent.fsync",
};

/// Whose directory it is. It is there from the beginning, so that a manifest that has vanished
/// can be told from one that was never made.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    job: String,
    committed_epoch: u64,
}

/// An open, locked checkpoint directory.
#[derive(Debug)]
pub struct CheckpointDir {
    path: PathBuf,
    job: String,
    unique: u64,
    _lock: File,
}

/// What a job starts from.
#[derive(Clone, Debug)]
pub enum Start {
    /// Nothing: there is no checkpoint.
    First,
    /// This checkpoint.
    Restored(Manifest),
}

impl CheckpointDir {
    /// Opens and locks a directory, and finds the newest checkpoint in it. `fresh` removes
    /// everything of ours first.
    ///
    /// # Errors
    /// When another process has it, when it belongs to another job, or when anything in it is
    /// missing or damaged: then nothing is changed.
    pub fn open(path: &Path, job: &str, fresh: bool) -> Result<(CheckpointDir, Start)> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        let lock = lock(path)?;
        let dir = CheckpointDir {
            path: path.to_owned(),
            job: job.to_owned(),
            unique: std::process::id().into(),
            _lock: lock,
        };
        if fresh {
            dir.wipe()?;
        }
        let start = dir.find_start()?;
        if matches!(start, Start::First) {
            dir.write_identity(0)?;
        }
        Ok((dir, start))
    }

    fn wipe(&self) -> Result<()> {
        // JOB goes last: while anything else is there, it says whose it is.
        let names = list(&self.path)?;
        let ours = |name: &&String| {
            name.starts_with(MANIFEST)
                || name.starts_with(EPOCH)
                || name.as_str() == LIVE
                || name.as_str() == OPEN_CHANGES
                || name.starts_with("JOB.")
        };
        for name in names.iter().filter(ours) {
            remove(&self.path.join(name))?;
        }
        if names.iter().any(|name| name == JOB) {
            remove(&self.path.join(JOB))?;
        }
        sync_dir(&self.path, "ckpt.parent.fsync")
    }

    fn find_start(&self) -> Result<Start> {
        reach("rec.manifest.read")?;
        let names = list(&self.path)?;
        let newest = names
            .iter()
            .filter_map(|name| Some((manifest_epoch(name)?, name)))
            .max();
        let stray = names.iter().find(|name| name.starts_with(EPOCH));
        if !names.iter().any(|name| name == JOB) {
            return match newest.map(|(_, name)| name).or(stray) {
                None => Ok(Start::First),
                Some(name) => Err(self.missing(JOB, &format!("although there is {name}"))),
            };
        }
        let identity = self.read_identity()?;
        let newest_epoch = newest.map_or(0, |(epoch, _)| epoch);
        if identity.committed_epoch > newest_epoch {
            let name = manifest_name(identity.committed_epoch);
            return Err(self.missing(&name, "although JOB says that its epoch was committed"));
        }
        match newest {
            None => Ok(Start::First),
            Some((epoch, name)) => {
                let manifest = self.read_manifest(epoch, name)?;
                self.check_state(&manifest)?;
                Ok(Start::Restored(manifest))
            }
        }
    }

    fn missing(&self, name: &str, why: &str) -> Error {
        Error::checkpoint(format!(
            "{} is missing, {why}",
            self.path.join(name).display()
        ))
        .remedy(REMEDY)
    }

    fn read_identity(&self) -> Result<Identity> {
        let path = self.path.join(JOB);
        let read = |bytes: &[u8]| codec::decode::<Identity>(envelope::open(JOB_MAGIC, bytes)?);
        let identity = read(&read_small(&path)?).map_err(|e| e.at(path.display()))?;
        self.check_owner(&identity.job, &path)?;
        Ok(identity)
    }

    fn check_owner(&self, job: &str, path: &Path) -> Result<()> {
        if job == self.job {
            return Ok(());
        }
        Err(Error::checkpoint(format!(
            "{} belongs to the job `{job}`, this is `{}`",
            path.display(),
            self.job
        ))
        .remedy("give each job a checkpoint directory of its own"))
    }

    fn write_identity(&self, committed_epoch: u64) -> Result<()> {
        let identity = Identity {
            job: self.job.clone(),
            committed_epoch,
        };
        let bytes = envelope::seal(JOB_MAGIC, &codec::encode(&identity)?);
        write_atomically(&self.path.join(JOB), &bytes, &JOB_POINTS)
    }

    fn read_manifest(&self, epoch: u64, name: &str) -> Result<Manifest> {
        let path = self.path.join(name);
        let manifest = Manifest::decode(&read_small(&path)?).map_err(|e| e.at(path.display()))?;
        self.check_owner(&manifest.job, &path)?;
        if manifest.epoch != epoch {
            return Err(Error::checkpoint(format!(
                "{} should be of epoch {epoch} and is of epoch {}",
                path.display(),
                manifest.epoch
            ))
            .remedy(REMEDY));
        }
        Ok(manifest)
    }

    /// Every file is there with its length; small ones have their checksum.
    fn check_state(&self, manifest: &Manifest) -> Result<()> {
        reach("rec.verify")?;
        for file in manifest.state.files.iter().chain(&manifest.state.changes) {
            self.check_file(&manifest.state, file, CHECKED_BYTES_MAX)?;
        }
        Ok(())
    }

    /// Checks the whole content of every state file of a checkpoint.
    ///
    /// # Errors
    /// When a file is missing or damaged: its name, what was expected, what was found.
    pub fn verify(&self, manifest: &Manifest) -> Result<()> {
        for file in manifest.state.files.iter().chain(&manifest.state.changes) {
            self.check_file(&manifest.state, file, u64::MAX)?;
        }
        Ok(())
    }

    fn check_file(&self, state: &StateEntry, file: &FileEntry, whole_up_to: u64) -> Result<()> {
        let path = self.path.join(&state.directory).join(&file.name);
        let refuse =
            |what: String| Error::checkpoint(format!("{} {what}", path.display())).remedy(REMEDY);
        let len = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(refuse("is missing".to_owned()));
            }
            Err(e) => return Err(failed("look at", &path)(e)),
        };
        if len != file.len {
            return Err(refuse(format!(
                "should have {} bytes and has {len}",
                file.len
            )));
        }
        if len <= whole_up_to {
            let (_, crc32) = checksum(&path)?;
            if crc32 != file.crc32 {
                let expected = file.crc32;
                return Err(refuse(format!(
                    "should have the checksum {expected:08x} and has {crc32:08x}"
                )));
            }
        }
        Ok(())
    }

    /// RocksDB's working directory.
    pub fn live_dir(&self) -> PathBuf {
        self.path.join(LIVE)
    }

    /// Rebuilds RocksDB's working directory from a checkpoint. Data files never change, so they
    /// are linked; what RocksDB appends to is copied.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn prepare_live(&self, start: &Start) -> Result<()> {
        reach("rec.live")?;
        let live = self.live_dir();
        remove(&live)?;
        fs::create_dir(&live).map_err(failed("create", &live))?;
        let Start::Restored(manifest) = start else {
            return Ok(());
        };
        for file in &manifest.state.files {
            let from = self.path.join(&manifest.state.directory).join(&file.name);
            let to = live.join(&file.name);
            if file.name.ends_with(".sst") {
                fs::hard_link(&from, &to).map_err(failed("link", &from))?;
            } else {
                fs::copy(&from, &to).map_err(failed("copy", &from))?;
            }
        }
        Ok(())
    }

    /// Where the state of an epoch is to be saved: a directory that does not exist yet.
    ///
    /// # Errors
    /// When what a crashed attempt left cannot be removed.
    pub fn new_epoch_dir(&self, epoch: u64) -> Result<PathBuf> {
        reach("ckpt.mkdir")?;
        let path = self
            .path
            .join(format!("{EPOCH}{epoch:020}-{}", self.unique));
        // Only an attempt that was never committed can have left this name: epochs grow.
        remove(&path)?;
        Ok(path)
    }

    /// Makes the saved state of an epoch durable and lists its files.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn seal(&self, saved: &Path, previous: Option<&StateEntry>) -> Result<StateEntry> {
        reach("ckpt.link")?;
        let mut files = Vec::new();
        for name in list(saved)? {
            files.push(self.seal_file(saved, name, previous)?);
        }
        sync_dir(saved, "ckpt.dir.fsync")?;
        sync_dir(parent(saved), "ckpt.dir.fsync")?;
        let directory = saved.file_name().map(|n| n.to_string_lossy().into_owned());
        Ok(StateEntry {
            directory: directory.unwrap_or_default(),
            files,
            changes: Vec::new(),
        })
    }

    /// Begins the file of what an epoch changes. Until [`keep_changes`](Self::keep_changes) it
    /// belongs to nothing.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn begin_changes(&self) -> Result<ChangesFile<File>> {
        let path = self.open_changes();
        reach("ckpt.changes.write")?;
        // Never opened and cut: where a rename was half undone, it could be another file's name.
        remove(&path)?;
        let file = File::create_new(&path).map_err(failed("create", &path))?;
        ChangesFile::begin(file).map_err(failed("write", &path))
    }

    /// Where the file stands that [`begin_changes`](Self::begin_changes) has begun.
    fn open_changes(&self) -> PathBuf {
        self.path.join(OPEN_CHANGES)
    }

    /// Adds runs to the file that has been begun.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn add_changes(&self, file: &mut ChangesFile<File>, runs: &[Run]) -> Result<()> {
        let mut runs = runs.iter();
        runs.try_for_each(|run| file.add(run))
            .map_err(|e| failed("write", &self.open_changes())(e))
    }

    /// Closes the file, makes it durable, and adds it to a whole checkpoint that this process has
    /// saved.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn keep_changes(
        &self,
        file: ChangesFile<File>,
        base: &StateEntry,
        epoch: u64,
    ) -> Result<FileEntry> {
        let path = self.open_changes();
        let (file, len, crc32) = file.finish().map_err(failed("write", &path))?;
        reach("ckpt.changes.fsync")?;
        file.sync_all().map_err(failed("sync", &path))?;
        let folder = self.path.join(&base.directory);
        let name = format!("{CHANGES}{epoch:020}");
        fs::rename(&path, folder.join(&name)).map_err(failed("rename", &path))?;
        sync_dir(&folder, "ckpt.dir.fsync")?;
        Ok(FileEntry { name, len, crc32 })
    }

    /// Closes the file, reads it back and removes it.
    ///
    /// # Errors
    /// As [`read_changes`](Self::read_changes).
    pub(crate) fn take_back_changes(
        &self,
        file: ChangesFile<File>,
        read: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let path = self.open_changes();
        file.finish().map_err(failed("write", &path))?;
        read(&path)?;
        remove(&path)
    }

    /// The files of what has changed since the state's whole checkpoint, the oldest first.
    pub(crate) fn changes_of(&self, state: &StateEntry) -> Vec<PathBuf> {
        let folder = self.path.join(&state.directory);
        state.changes.iter().map(|f| folder.join(&f.name)).collect()
    }

    /// What has changed since the state's whole checkpoint, the oldest first.
    ///
    /// # Errors
    /// When a file is damaged: its name, what was expected, what was found.
    pub fn read_changes(&self, state: &StateEntry) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for path in self.changes_of(state) {
            changes::read(&path, Run::new, |run| {
                runs.push(run);
                Ok(())
            })?;
        }
        Ok(runs)
    }

    fn seal_file(
        &self,
        saved: &Path,
        name: String,
        previous: Option<&StateEntry>,
    ) -> Result<FileEntry> {
        use std::os::unix::fs::MetadataExt;
        let path = saved.join(&name);
        if let Some(previous) = previous
            && let Some(known) = previous.files.iter().find(|f| f.name == name)
            && let Ok(before) = fs::metadata(self.path.join(&previous.directory).join(&name))
        {
            let now = fs::metadata(&path).map_err(failed("look at", &path))?;
            // The same file under another name: it was synced and summed up before.
            if now.ino() == before.ino() && now.dev() == before.dev() && now.len() == known.len {
                return Ok(known.clone());
            }
        }
        sync_file(&path)?;
        let (len, crc32) = checksum(&path)?;
        Ok(FileEntry { name, len, crc32 })
    }

    /// The commit point: from the rename on, the epoch is committed.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn commit(&self, manifest: &Manifest) -> Result<()> {
        let path = self.path.join(manifest_name(manifest.epoch));
        write_atomically(&path, &manifest.encode()?, &MANIFEST_POINTS)?;
        self.write_identity(manifest.epoch)
    }

    /// Removes what is older than `epoch`, and attempts that were never committed. Called when
    /// the commit of `epoch` is complete in every sink.
    ///
    /// # Errors
    /// When the directory cannot be listed or something cannot be removed.
    pub fn collect_garbage(&self, epoch: u64) -> Result<()> {
        reach("gc.list")?;
        let names = list(&self.path)?;
        let kept = self
            .read_manifest(epoch, &manifest_name(epoch))?
            .state
            .directory;
        let old_manifest = |name: &str| manifest_epoch(name).is_some_and(|e| e < epoch);
        let old_state = |name: &str| epoch_of_dir(name).is_some_and(|e| e <= epoch) && name != kept;
        // Manifests first: none must be left that names what is gone.
        let manifests = names.iter().filter(|name| old_manifest(name));
        for name in manifests.chain(names.iter().filter(|name| old_state(name))) {
            reach("gc.delete")?;
            remove(&self.path.join(name))?;
        }
        Ok(())
    }
}

fn manifest_name(epoch: u64) -> String {
    format!("{MANIFEST}{epoch:020}")
}

fn manifest_epoch(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(MANIFEST)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn epoch_of_dir(name: &str) -> Option<u64> {
    name.strip_prefix(EPOCH)?.get(..20)?.parse().ok()
}

/// Removes a file or a directory with all that is in it, if it is there.
fn remove(path: &Path) -> Result<()> {
    let gone = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(failed("remove", path)(e)),
    };
    match fs::symlink_metadata(path) {
        Err(e) => gone(e),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).or_else(gone),
        Ok(_) => fs::remove_file(path).or_else(gone),
    }
}

/// Reads a file that must be small: a damaged name must not make us read gigabytes.
fn read_small(path: &Path) -> Result<Vec<u8>> {
    const BYTES_MAX: u64 = 256 << 20;
    let file = File::open(path).map_err(failed("open", path))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    Ok(bytes)
}

/// Only one process runs a job at a time.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open", &path))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Who holds it is a courtesy: the lock itself decides.
        let _ = file.read_to_string(&mut holder);
        return Err(Error::config(format!(
            "{} is in use by another process (pid {})",
            dir.display(),
            holder.trim()
        ))
        .remedy("stop that process, or give this job a checkpoint directory of its own"));
    }
    file.set_len(0).map_err(failed("write", &path))?;
    file.seek(SeekFrom::Start(0))
        .map_err(failed("write", &path))?;
    writeln!(file, "{}", std::process::id()).map_err(failed("write", &path))?;
    Ok(file)
}
