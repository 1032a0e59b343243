//! Fills part files: one writer for each worker.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use millstream_engine::error::{Error, Result};
use millstream_engine::graph::sink::Writer;
use millstream_engine::time::clock::Clock;

use super::part::{Durable, Folder, PartId, PartsPending, injected};

const BUFFER_BYTES: usize = 64 * 1024;

/// When a part is complete.
#[derive(Clone, Debug)]
pub(crate) struct Roll {
    pub(crate) bytes: u64,
    pub(crate) after: Duration,
    pub(crate) clock: Clock,
}

/// Writes the part files of one worker.
#[derive(Debug)]
pub struct PartWriter {
    folder: Folder,
    roll: Roll,
    writer: usize,
    next_seq: u64,
    open: Option<OpenPart>,
    /// Complete and durable, but not yet known to be committed.
    finished: Vec<Durable>,
    /// A part was begun since the folder was last fsynced.
    folder_changed: bool,
    /// Something failed. What the disk holds then is unknown until recovery has looked at it.
    failed: bool,
}

#[derive(Debug)]
struct OpenPart {
    id: PartId,
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    hasher: crc32fast::Hasher,
    /// Something was written since the file was last fsynced.
    changed: bool,
    opened_us: u64,
}

impl PartWriter {
    /// A writer that goes on after `restored`. `taken`: the greatest number of a part of this
    /// writer that is there already.
    pub(crate) fn open(
        folder: Folder,
        roll: Roll,
        writer: usize,
        restored: Option<PartsPending>,
        taken: Option<u64>,
    ) -> Result<Self> {
        let free = taken.map_or(0, |seq| seq.saturating_add(1));
        let (next_seq, part) = restored.map_or((0, None), |p| (p.next_seq, p.open));
        let opened_us = roll.clock.monotonic_us();
        let open = match part {
            Some(part) => OpenPart::reopen(&folder, &part, opened_us)?,
            None => None,
        };
        Ok(PartWriter {
            next_seq: next_seq.max(free),
            folder,
            roll,
            writer,
            open,
            finished: Vec::new(),
            folder_changed: false,
            failed: false,
        })
    }

    fn begin_part(&mut self) -> Result<OpenPart> {
        let id = PartId {
            writer: self.writer,
            seq: self.next_seq,
        };
        let part = OpenPart::create(&self.folder, id, self.roll.clock.monotonic_us())?;
        self.next_seq += 1;
        self.folder_changed = true;
        Ok(part)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut part = match self.open.take() {
            Some(part) => part,
            None => self.begin_part()?,
        };
        part.append(bytes)?;
        self.open = Some(part);
        Ok(())
    }

    fn make_durable(&mut self, last: bool) -> Result<PartsPending> {
        let now_us = self.roll.clock.monotonic_us();
        if let Some(part) = &mut self.open {
            part.sync()?;
        }
        if self.folder_changed {
            self.folder.sync()?;
            self.folder_changed = false;
        }
        let roll = &self.roll;
        if let Some(part) = self
            .open
            .take_if(|part| last || part.is_complete(roll, now_us))
        {
            self.finished.push(part.durable());
        }
        Ok(PartsPending {
            writer: self.writer,
            next_seq: self.next_seq,
            open: self.open.as_ref().map(OpenPart::durable),
            finished: self.finished.clone(),
        })
    }

    fn make_visible(&mut self, pending: &PartsPending) -> Result<()> {
        for part in &pending.finished {
            self.folder.publish(part)?;
        }
        if !pending.finished.is_empty() {
            self.folder.sync()?;
        }
        self.finished
            .retain(|part| !pending.finished.contains(part));
        Ok(())
    }

    /// After a failure nothing is tried again: an fsync that failed once may succeed the next
    /// time although what it was to keep is gone.
    fn once<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(Error::internal(format!(
                "the writer of `{}` is used after it failed",
                self.folder.path().display()
            )));
        }
        let done = step(self);
        self.failed = done.is_err();
        done
    }
}

impl Writer for PartWriter {
    type Chunk = Vec<u8>;
    type Pending = PartsPending;

    fn write(&mut self, chunk: Vec<u8>) -> Result<()> {
        self.once(|writer| writer.append(&chunk))
    }

    fn prepare(&mut self, _epoch: u64, last: bool) -> Result<PartsPending> {
        self.once(|writer| writer.make_durable(last))
    }

    fn commit(&mut self, pending: &PartsPending) -> Result<()> {
        self.once(|writer| writer.make_visible(pending))
    }
}

impl OpenPart {
    fn create(folder: &Folder, id: PartId, opened_us: u64) -> Result<Self> {
        let path = folder.temporary_path(id);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|cause| {
            let taken = cause.kind() == ErrorKind::AlreadyExists;
            let error = Error::io(format!("cannot make `{}`", path.display()), cause);
            if taken {
                return error.remedy(
                    "give each sink a folder of its own, and run the job only once at a time",
                );
            }
            error
        })?;
        Ok(OpenPart {
            id,
            path,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            length: 0,
            hasher: crc32fast::Hasher::new(),
            changed: false,
            opened_us,
        })
    }

    /// Goes on with a part that recovery has cut to its committed length. `None`: an earlier
    /// recovery has completed it, for a job with fewer writers that did not come far.
    fn reopen(folder: &Folder, part: &Durable, opened_us: u64) -> Result<Option<Self>> {
        let path = folder.temporary_path(part.part);
        let failed = |cause| Error::io(format!("cannot open `{}`", path.display()), cause);
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                folder.check_published(part)?;
                return Ok(None);
            }
            Err(cause) => return Err(failed(cause)),
        };
        let end = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if end != part.length {
            return Err(Error::internal(format!(
                "`{}` has {end} bytes after recovery, not the {} that are committed",
                path.display(),
                part.length
            )));
        }
        Ok(Some(OpenPart {
            id: part.part,
            path,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            length: part.length,
            hasher: crc32fast::Hasher::new_with_initial_len(part.crc, part.length),
            changed: false,
            opened_us,
        }))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        fail::fail_point!("sink.part.write", |how| Err(
            self.write_torn(how.as_deref(), bytes)
        ));
        self.file.write_all(bytes).map_err(|cause| {
            Error::io(format!("cannot write to `{}`", self.path.display()), cause)
        })?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.changed = true;
        Ok(())
    }

    /// The fail point's `return(torn)` leaves half of what was to be written.
    #[allow(dead_code, reason = "without fail points nothing tears")]
    fn write_torn(&mut self, how: Option<&str>, bytes: &[u8]) -> Error {
        if how == Some("torn") {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            if let Err(cause) = self.file.write_all(half).and_then(|()| self.file.flush()) {
                return Error::io(format!("cannot write to `{}`", self.path.display()), cause);
            }
        }
        injected("write to", &self.path)
    }

    fn sync(&mut self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        self.file.flush().map_err(|cause| {
            Error::io(format!("cannot write to `{}`", self.path.display()), cause)
        })?;
        fail::fail_point!("sink.part.fsync", |_| Err(injected("fsync", &self.path)));
        self.file
            .get_ref()
            .sync_data()
            .map_err(|cause| Error::io(format!("cannot fsync `{}`", self.path.display()), cause))?;
        self.changed = false;
        Ok(())
    }

    fn is_complete(&self, roll: &Roll, now_us: u64) -> bool {
        let age_us = now_us.saturating_sub(self.opened_us);
        self.length >= roll.bytes || u128::from(age_us) >= roll.after.as_micros()
    }

    fn durable(&self) -> Durable {
        Durable {
            part: self.id,
            length: self.length,
            crc: self.hasher.clone().finalize(),
        }
    }
}
