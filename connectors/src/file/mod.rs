//! Files: [`csv()`] reads them, [`jsonl()`] writes them.
//!
//! Reading: `splits` lists the files, `position` proves that a file is still the one a
//! position was taken in, `read_ahead` reads and decompresses on a thread of its own, `csv`
//! makes records on the worker. Writing: `part` names the files and publishes them,
//! `part_writer` fills them, `recovery` brings a directory to what a checkpoint says.

pub mod csv;
mod position;
mod read_ahead;
mod splits;

pub use self::csv::csv;
pub use self::position::FilePosition;
