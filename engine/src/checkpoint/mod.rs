//! Checkpoints.
pub mod manifest;
