//! Checkpoints.
pub mod coordinator;
pub mod directory;
pub mod manifest;
