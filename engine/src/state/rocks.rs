//! RocksDB as the engine uses it: written behind, without a log, read on demand.
//!
//! The checkpoint is the truth, so the write-ahead log is off: what RocksDB's working directory
//! holds between checkpoints is a cache that a restart throws away.

use std::ops::{ControlFlow, Deref, Range};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompactionStyle, DBCompressionType,
    DBPinnableSlice, DBWithThreadMode, IngestExternalFileOptions, IteratorMode, MultiThreaded,
    Options, ReadOptions, SstFileWriter, WriteBatch, WriteOptions,
};

use crate::error::{Error, Result};
use crate::state::merge::{Merged, by_family};
use crate::state::overlay::Overlay;
use crate::state::run::{FULL_BYTES, RowBytes, Run, namespace_range};

type Db = DBWithThreadMode<MultiThreaded>;

/// The state store of one task: one RocksDB, a column family per table.
pub struct Store {
    db: Db,
    options: Options,
    /// What stands over the database since the start.
    overlay: RwLock<Option<Arc<Overlay>>>,
    /// How many files of rows have been made so far.
    ingested: AtomicU64,
    /// The last checkpoint holds changes that are not in the database.
    unwritten: AtomicBool,
    /// Workers have written to the database since the last checkpoint.
    spilled: AtomicBool,
    /// Bytes on their way from workers to the keeper.
    in_flight: AtomicUsize,
    /// The memory of runs that are written.
    spare: Mutex<Vec<Run>>,
    spare_max: usize,
    families: Vec<String>,
    /// What the indexes and filters of its files take, as far as known.
    reader_bytes: AtomicUsize,
}

/// A value as it is read.
pub enum Value<'s> {
    /// In RocksDB's memory.
    Pinned(DBPinnableSlice<'s>),
    /// A copy.
    Copied(Vec<u8>),
}

impl Deref for Value<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Value::Pinned(bytes) => bytes,
            Value::Copied(bytes) => bytes,
        }
    }
}

impl Store {
    /// Opens the database in `dir` with these column families, making what is missing.
    ///
    /// # Errors
    /// When RocksDB refuses the directory: it is damaged, or in use.
    pub fn open(dir: &Path, column_families: &[String], memory_bytes: usize) -> Result<Store> {
        let cache = Cache::new_lru_cache((memory_bytes / 4).max(2 << 20));
        let options = options(&cache, memory_bytes);
        // A working directory that was restored may hold families that the job no longer has;
        // RocksDB insists on opening all of them.
        let mut names: Vec<String> = Db::list_cf(&options, dir).unwrap_or_default();
        names.push("default".to_owned());
        names.extend(column_families.iter().cloned());
        names.sort();
        names.dedup();
        let families = names
            .iter()
            .map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = Db::open_cf_descriptors(&options, dir, families).map_err(|e| {
            damaged(
                &format!("the state in {} cannot be opened", dir.display()),
                e,
            )
        })?;
        let store = Store {
            db,
            options,
            overlay: RwLock::default(),
            ingested: AtomicU64::new(0),
            unwritten: AtomicBool::new(false),
            spilled: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            spare: Mutex::default(),
            spare_max: (memory_bytes / 16 / FULL_BYTES).clamp(1, 1024),
            families: names,
            reader_bytes: AtomicUsize::new(0),
        };
        store.measure();
        Ok(store)
    }

    /// What the indexes and filters of the files in use take, as of the last checkpoint. They are
    /// in memory all the time, whatever the budget: less is left for rows.
    pub(crate) fn reader_bytes(&self) -> usize {
        self.reader_bytes.load(Ordering::Relaxed)
    }

    fn measure(&self) {
        let families = self.families.iter();
        let bytes = families.filter_map(|name| {
            let family = self.db.cf_handle(name)?;
            let readers = rocksdb::properties::ESTIMATE_TABLE_READERS_MEM;
            self.db.property_int_value_cf(&family, readers).ok()?
        });
        let bytes = usize::try_from(bytes.sum::<u64>()).unwrap_or(usize::MAX);
        self.reader_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether the last checkpoint holds changes that are not in the database.
    pub fn has_unwritten(&self) -> bool {
        self.unwritten.load(Ordering::Acquire)
    }

    /// Says so.
    pub fn set_unwritten(&self, unwritten: bool) {
        self.unwritten.store(unwritten, Ordering::Release);
    }

    /// Puts changes that a restart has read over the database, until
    /// [`tell_overlay`](Store::tell_overlay).
    ///
    /// # Errors
    /// As [`write`](Store::write).
    pub fn lay_over(&self, runs: Vec<Run>) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let overlay = Overlay::of(runs);
        self.write(&overlay.ranges())?;
        *self.overlay.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(overlay));
        Ok(())
    }

    /// Writes to the database what stands over it. Nobody else may write until it has ended: see
    /// [`is_covered`](Store::is_covered).
    ///
    /// # Errors
    /// As [`write`](Store::write).
    pub fn tell_overlay(&self) -> Result<()> {
        let Some(overlay) = self.overlay() else {
            return Ok(());
        };
        for (column_family, rows) in overlay.rows() {
            self.ingest_rows(column_family, rows)?;
        }
        *self.overlay.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Whether changes stand over the database: what is written would be hidden by older rows.
    pub fn is_covered(&self) -> bool {
        self.overlay().is_some()
    }

    fn overlay(&self) -> Option<Arc<Overlay>> {
        let overlay = self.overlay.read().unwrap_or_else(PoisonError::into_inner);
        overlay.clone()
    }

    /// A worker has written rows itself, to make room: the next checkpoint must hold the database.
    pub(crate) fn note_spill(&self) {
        self.spilled.store(true, Ordering::Release);
    }

    /// Whether that has happened since the last call.
    pub fn take_spill(&self) -> bool {
        self.spilled.swap(false, Ordering::AcqRel)
    }

    /// An empty run, from memory that was used before if there is some.
    pub(crate) fn new_run(&self, column_family: &str) -> Run {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        spare.map_or_else(|| Run::new(column_family), |run| run.reused(column_family))
    }

    /// Keeps the memory of runs that are written.
    pub(crate) fn reuse(&self, runs: Vec<Run>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.spare_max.saturating_sub(spare.len());
        spare.extend(runs.into_iter().filter(Run::is_worth_reusing).take(room));
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn set_off(&self, bytes: usize) {
        self.in_flight.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn arrived(&self, bytes: usize) {
        self.in_flight.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Reads one row.
    ///
    /// # Errors
    /// When a block's checksum is wrong, or the disk fails.
    pub fn get(&self, column_family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let overlay = self.overlay();
        if let Some((_, value)) = overlay.as_ref().and_then(|o| o.get(column_family, key)) {
            return Ok(value.map(<[u8]>::to_vec));
        }
        let family = self.family(column_family)?;
        self.db
            .get_cf(&family, key)
            .map_err(|e| damaged(&format!("state of `{column_family}` cannot be read"), e))
    }

    /// Reads many rows, whose keys are sorted; the values come in the same order. Rows that come
    /// back stay in their table, so blocks are not kept beside them: the system's cache of files
    /// holds them, and copying from there takes no longer than RocksDB's own cache.
    ///
    /// # Errors
    /// As [`get`](Store::get).
    pub fn get_sorted<'k>(
        &self,
        column_family: &str,
        keys: impl Iterator<Item = &'k Vec<u8>>,
    ) -> Result<Vec<Option<Value<'_>>>> {
        let overlay = self.overlay();
        let keys: Vec<&'k Vec<u8>> = keys.collect();
        let covered = |key: &Vec<u8>| overlay.as_ref().and_then(|o| o.get(column_family, key));
        let family = self.family(column_family)?;
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let values =
            self.db
                .batched_multi_get_cf_opt(&family, keys.iter().copied(), true, &options);
        let values = keys.iter().zip(values).map(|(key, value)| {
            Ok(match covered(key) {
                Some((_, value)) => value.map(|value| Value::Copied(value.to_vec())),
                None => value?.map(Value::Pinned),
            })
        });
        values
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| damaged(&format!("state of `{column_family}` cannot be read"), e))
    }

    /// Reads a worker's share of a namespace in key order, from behind `after` on, for as long as
    /// `row` says so.
    ///
    /// # Errors
    /// When a block's checksum is wrong, the disk fails, or `row` does.
    pub fn scan(
        &self,
        column_family: &str,
        namespace: i64,
        groups: &Range<u16>,
        after: Option<&[u8]>,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let family = self.family(column_family)?;
        let (mut from, to) = namespace_range(namespace, groups);
        if let Some(after) = after {
            from = [after, &[0]].concat();
        }
        let overlay = self.overlay();
        let over = overlay.iter().flat_map(|o| o.from(column_family, &from));
        let mut over = over.take_while(|(key, _)| *key < &to[..]).peekable();
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from.clone());
        options.set_iterate_upper_bound(to.clone());
        for item in self
            .db
            .iterator_cf_opt(&family, options, IteratorMode::Start)
        {
            let (key, value) = item
                .map_err(|e| damaged(&format!("state of `{column_family}` cannot be read"), e))?;
            while let Some((before, value)) = over.next_if(|(over, _)| **over < *key) {
                if let Some(value) = value
                    && row(before, value)?.is_break()
                {
                    return Ok(());
                }
            }
            let value = match over.next_if(|(over, _)| **over == *key) {
                Some((_, None)) => continue,
                Some((_, Some(value))) => value,
                None => &*value,
            };
            if row(&key, value)?.is_break() {
                return Ok(());
            }
        }
        for (key, value) in over {
            if let Some(value) = value
                && row(key, value)?.is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes runs to RocksDB's memory.
    ///
    /// # Errors
    /// When RocksDB has failed in the background; it must not be used any more then.
    pub fn write(&self, runs: &[Run]) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        for run in runs {
            let family = self.family(&run.column_family)?;
            let mut batch = WriteBatch::default();
            for (from, to) in run.ranges() {
                batch.delete_range_cf(&family, from, to);
            }
            for (key, value) in run.sorted_rows() {
                match value {
                    Some(value) => batch.put_cf(&family, key, value),
                    None => batch.delete_cf(&family, key),
                }
                if batch.size_in_bytes() > WRITE_BATCH_BYTES {
                    self.commit(std::mem::take(&mut batch), &options)?;
                }
            }
            self.commit(batch, &options)?;
        }
        Ok(())
    }

    /// Writes runs as files that RocksDB takes over, which is several times cheaper than
    /// [`write`](Store::write) if there is much.
    ///
    /// # Errors
    /// As `write`.
    pub fn ingest(&self, runs: &[Run]) -> Result<()> {
        for (column_family, runs) in by_family(runs) {
            let merged = Merged::of(runs);
            let mut ranges = Run::new(column_family);
            for range in merged.ranges() {
                ranges.delete_range(range.clone());
            }
            self.write(&[ranges])?;
            self.ingest_rows(column_family, merged.rows())?;
        }
        Ok(())
    }

    fn ingest_rows<'r>(
        &self,
        column_family: &str,
        rows: impl Iterator<Item = RowBytes<'r>>,
    ) -> Result<()> {
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            self.ingest_file(column_family, &mut rows)?;
        }
        Ok(())
    }

    fn ingest_file<'r>(
        &self,
        column_family: &str,
        rows: &mut impl Iterator<Item = RowBytes<'r>>,
    ) -> Result<()> {
        let family = self.family(column_family)?;
        let number = self.ingested.fetch_add(1, Ordering::Relaxed);
        let path = self.db.path().join(format!("ingest-{number}"));
        let failed = |e: rocksdb::Error| {
            let what = format!("state cannot be written to {}", path.display());
            // RocksDB reads its files where the new one overlaps them.
            match e.kind() {
                rocksdb::ErrorKind::Corruption => damaged(&what, e),
                _ => Error::new(crate::error::ErrorKind::Io, what).caused_by(e),
            }
        };
        let mut file = SstFileWriter::create(&self.options);
        file.open(&path).map_err(failed)?;
        let mut bytes = 0;
        for (key, value) in rows {
            match value {
                Some(value) => file.put(key, value),
                None => file.delete(key),
            }
            .map_err(failed)?;
            bytes += key.len() + value.map_or(0, <[u8]>::len);
            if bytes > INGEST_FILE_BYTES {
                break;
            }
        }
        file.finish().map_err(failed)?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db
            .ingest_external_file_cf_opts(&family, &options, vec![&path])
            .map_err(failed)
    }

    fn commit(&self, batch: WriteBatch, options: &WriteOptions) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.db.write_opt(batch, options).map_err(|e| {
            Error::new(crate::error::ErrorKind::Io, "state cannot be written").caused_by(e)
        })
    }

    /// Makes `dir` (which must not exist) a copy of the database as it is now: everything in
    /// memory is flushed to files first, the files are hard links.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn checkpoint(&self, dir: &Path) -> Result<()> {
        let what = || format!("the state cannot be saved to {}", dir.display());
        let failed =
            |e: rocksdb::Error| Error::new(crate::error::ErrorKind::Io, what()).caused_by(e);
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(dir))
            .map_err(failed)?;
        self.measure();
        Ok(())
    }

    fn family(&self, name: &str) -> Result<std::sync::Arc<rocksdb::BoundColumnFamily<'_>>> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| Error::internal(format!("no column family `{name}` in the state store")))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.db.cancel_all_background_work(true);
    }
}

const WRITE_BATCH_BYTES: usize = 1 << 20;
/// RocksDB merges when there are some files: one for all that is handed over at a time is best.
const INGEST_FILE_BYTES: usize = 512 << 20;

/// How many sorted runs of a table RocksDB lets come together before it merges some.
const SORTED_RUNS: i32 = 8;
const BLOCK_BYTES: usize = 2 << 10;
/// While all of a large table is merged, which may take a minute, small runs must go on being merged:
/// else so many would come together that RocksDB makes its writers wait.
const BACKGROUND_JOBS: i32 = 4;

/// Every block is checked when it is read; files carry bloom filters so that a key that is not
/// there costs no read. What was chosen by measuring, with rows of random keys beyond memory:
///
/// - Runs of about the same size are merged (universal compaction), not each few of them with all
///   there is: half of the CPU time, a third with more rows.
/// - Small blocks that are not compressed: a third less for a read. Keys and counts compress
///   to two thirds at best.
fn options(cache: &Cache, memory_bytes: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(BLOCK_BYTES);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(false);
    table.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_level_zero_file_num_compaction_trigger(SORTED_RUNS);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_level_zero_slowdown_writes_trigger(4 * SORTED_RUNS);
    options.set_level_zero_stop_writes_trigger(8 * SORTED_RUNS);
    options.set_write_buffer_size((memory_bytes / 8).clamp(1 << 20, 128 << 20));
    options.set_max_open_files(256);
    options.set_keep_log_file_num(1);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

fn damaged(what: &str, e: rocksdb::Error) -> Error {
    Error::checkpoint(what).caused_by(e).remedy(
        "the state's files are damaged: restore the checkpoint directory from a copy, or start afresh with --fresh",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ingested_stands_over_what_was_written_and_under_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[String::from("a")], 64 << 20).unwrap();
        let run = |rows: &[(u64, Option<u64>)]| {
            let mut run = Run::new("a");
            for (key, value) in rows {
                match value {
                    Some(value) => drop(run.put((7, 3, key), 1, value).unwrap()),
                    None => run.delete((7, 3, key)).unwrap(),
                }
            }
            run
        };
        let mut shown = Vec::new();
        store
            .write(&[run(&[(1, Some(1)), (2, Some(1)), (3, Some(1))])])
            .unwrap();
        store
            .ingest(&[run(&[(2, None), (3, Some(2))]), run(&[(4, Some(2))])])
            .unwrap();
        store.write(&[run(&[(4, Some(3))])]).unwrap();
        let mut dropped = run(&[(9, Some(4))]);
        dropped.delete_range(namespace_range(6, &(0..128)));
        store.ingest(&[dropped]).unwrap();
        store
            .scan("a", 7, &(0..128), None, |key, value| {
                shown.push((key[10], value[1]));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(shown, [(1, 1), (3, 2), (4, 3), (9, 4)]);
    }

    #[test]
    fn a_checkpoint_holds_what_was_written_before_it_and_nothing_younger() {
        let dir = tempfile::tempdir().unwrap();
        let families = [String::from("a")];
        let store = Store::open(&dir.path().join("live"), &families, 64 << 20).unwrap();
        let put = |key: u64, value: u64| {
            let mut run = Run::new("a");
            run.put((7, 3, &key), 1, &value).unwrap();
            store.write(&[run]).unwrap();
        };
        put(1, 10);
        let copy = dir.path().join("copy");
        store.checkpoint(&copy).unwrap();
        put(1, 11);
        let mut range = Run::new("a");
        range.delete_range(namespace_range(7, &(0..128)));
        store.write(&[range]).unwrap();
        let count = |store: &Store| {
            let mut values = Vec::new();
            store
                .scan("a", 7, &(0..128), None, |_, v| {
                    values.push(v.to_vec());
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            values
        };
        assert!(count(&store).is_empty());
        let copy = Store::open(&copy, &families, 64 << 20).unwrap();
        assert_eq!(count(&copy), [vec![1, 10]]);
        assert!(copy.get("a", b"nothing").unwrap().is_none());
    }
}
