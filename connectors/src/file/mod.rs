//! Files: [`csv()`] reads them, [`jsonl()`] writes them.
//!
//! Reading: `splits` lists the files, `position` proves that a file is still the one a
//! position was taken in, `read_ahead` reads and decompresses on a thread of its own, `csv`
//! makes records on the worker. Writing: `part` names the files and publishes them,
//! `part_writer` fills them, `recovery` brings a folder to what a checkpoint says.

pub mod csv;
pub mod jsonl;
pub mod part;
pub mod part_writer;
mod position;
mod read_ahead;
mod recovery;
mod splits;

pub use self::csv::csv;
pub use self::jsonl::jsonl;
pub use self::position::FilePosition;
