//! RocksDB as the engine uses it: written behind, without a log, read on demand.
//!
//! The checkpoint is the truth, so the write-ahead log is off: what RocksDB's working directory
//! holds between checkpoints is a cache that a restart throws away.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode,
    IteratorMode, MultiThreaded, Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::error::{Error, Result};
use crate::state::run::{Run, namespace_range};

type Db = DBWithThreadMode<MultiThreaded>;

/// The state store of one task: one RocksDB, a column family per table.
pub struct Store {
    db: Db,
}

impl Store {
    /// Opens the database in `dir` with these column families, making what is missing.
    ///
    /// # Errors
    /// When RocksDB refuses the directory: it is damaged, or in use.
    pub fn open(dir: &Path, column_families: &[String], memory_bytes: usize) -> Result<Store> {
        let cache = Cache::new_lru_cache((memory_bytes / 2).max(8 << 20));
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
        Ok(Store { db })
    }

    /// Reads one row.
    ///
    /// # Errors
    /// When a block's checksum is wrong, or the disk fails.
    pub fn get(&self, column_family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let family = self.family(column_family)?;
        self.db
            .get_cf(&family, key)
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
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        for item in self
            .db
            .iterator_cf_opt(&family, options, IteratorMode::Start)
        {
            let (key, value) = item
                .map_err(|e| damaged(&format!("state of `{column_family}` cannot be read"), e))?;
            if row(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Writes sorted runs to RocksDB's memory.
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
            for (key, value) in run.rows() {
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
            .map_err(failed)
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

/// Every block is checked when it is read; files carry bloom filters so that a key that is not
/// there costs no read.
fn options(cache: &Cache, memory_bytes: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(false);
    table.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(2);
    options.set_write_buffer_size((memory_bytes / 4).clamp(8 << 20, 128 << 20));
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
