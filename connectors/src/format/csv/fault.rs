//! Why a row is no record.

use std::fmt;

use serde::de;

use super::MAX_ROW_BYTES;
use super::rows::RowFault;

/// Why a row gives no record.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something is wrong with this row.
    Row {
        /// The number of the column, from 0, if one is to blame.
        column: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The columns do not fit the record type: no row can be read.
    Columns(String),
}

#[cold]
pub(super) fn not_utf8(ends: &[usize], valid_up_to: usize) -> Box<Fault> {
    Box::new(Fault::Row {
        column: Some(ends.partition_point(|end| *end <= valid_up_to)),
        reason: "it is not valid UTF-8".into(),
    })
}

impl From<RowFault> for Box<Fault> {
    #[cold]
    fn from(fault: RowFault) -> Self {
        Fault::row(match fault {
            RowFault::TooLong(bytes) => {
                format!(
                    "the row has {bytes} bytes, more than the {MAX_ROW_BYTES} that a row may have (is a quote not closed?)"
                )
            }
            RowFault::UnclosedQuote => "a quote is opened in the row and never closed".into(),
        })
    }
}

impl Fault {
    pub(super) fn row(reason: impl Into<String>) -> Box<Self> {
        Box::new(Fault::Row {
            column: None,
            reason: reason.into(),
        })
    }

    pub(super) fn columns(reason: impl Into<String>) -> Box<Self> {
        Box::new(Fault::Columns(reason.into()))
    }

    /// Blames column `index`, if nobody is blamed yet.
    #[cold]
    pub(super) fn in_column(mut self: Box<Self>, index: usize) -> Box<Self> {
        if let Fault::Row { column, .. } = &mut *self {
            column.get_or_insert(index);
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Row { reason, .. } | Fault::Columns(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Box<Fault> {
    #[cold]
    fn custom<M: fmt::Display>(message: M) -> Self {
        Fault::row(message.to_string())
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Fault::columns(format!("there is no column `{field}`"))
    }

    #[cold]
    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Fault::columns(format!("the record has no field for column `{field}`"))
    }
}
