//! How bytes come into a Millstream job and go out of it.
//!
//! | module | reads | writes |
//! |---|---|---|
//! | [`file`](mod@file) | [`file::csv()`]: CSV files, plain or gzip | [`file::jsonl()`]: JSON lines, exactly once |
//! | [`stdout`] | | [`stdout::debug`], [`stdout::json`]: lines, at least once |
//! | [`generator`] | [`generator::generate`]: records as a function of their number | |
//! | [`memory`] | [`memory::source`]: lists with crash and pause markers | [`memory::sink()`]: rows a test can look at |
//!
//! [`format`](mod@format) turns bytes into records and back without any IO. [`conformance`] holds the laws that
//! every source and sink must keep: a connector of your own calls it in its tests.

pub mod conformance;
pub mod file;
pub mod format;
pub mod generator;
pub mod memory;
pub mod stdout;
