//! Stub.
#![allow(missing_docs)]
use crate::checkpoint::manifest::{Manifest, StateEntry};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
pub struct CheckpointDir;
pub enum Start {
    First,
    Restored(Manifest),
}
impl CheckpointDir {
    pub fn open(_: &Path, _: &str, _: bool) -> Result<(Self, Start)> {
        Err(Error::internal("stub"))
    }
    pub fn live_dir(&self) -> PathBuf {
        PathBuf::new()
    }
    pub fn prepare_live(&self, _: &Start) -> Result<()> {
        Ok(())
    }
    pub fn new_epoch_dir(&self, _: u64) -> Result<PathBuf> {
        Ok(PathBuf::new())
    }
    pub fn seal(&self, _: u64, _: &Path, _: Option<&StateEntry>) -> Result<StateEntry> {
        Ok(StateEntry::default())
    }
    pub fn commit(&mut self, _: &Manifest) -> Result<()> {
        Ok(())
    }
    pub fn collect_garbage(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
}
