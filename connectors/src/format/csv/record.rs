//! Makes records of rows, with serde.
//!
//! Columns are matched by name with the fields of a struct, and only the columns that the struct
//! has are looked at: that is what makes a file of many columns cheap to read.

use std::marker::PhantomData;
use std::sync::OnceLock;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::cell::Cell;
pub use super::fault::Fault;
use super::fault::not_utf8;
use super::rows::Row;
use super::unknown::passes_over_unknown_fields;

/// Makes records of type `T` of rows.
#[derive(Debug)]
pub struct Decoder<T> {
    layout: Layout,
    record: PhantomData<fn() -> T>,
}

/// What is known of every row.
#[derive(Debug)]
struct Layout {
    /// The names of the columns, if there is a header.
    names: Option<Vec<String>>,
    /// How many cells each row has to have; `None`: any number.
    width: Option<usize>,
    /// Whether columns that the record has no field for may be left out.
    leaves_out: bool,
    used: OnceLock<Used>,
}

/// The columns that the fields of a struct name.
#[derive(Debug)]
struct Used {
    fields: &'static [&'static str],
    columns: Box<[usize]>,
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Rows with the columns that a header names.
    pub fn with_header(names: Vec<String>) -> Self {
        let width = Some(names.len());
        Self::new(Some(names), width)
    }

    /// Rows whose columns are matched by their place: the first column with the first field.
    /// Each has to have `width` of them.
    pub fn by_place(width: Option<usize>) -> Self {
        Self::new(None, width)
    }

    fn new(names: Option<Vec<String>>, width: Option<usize>) -> Self {
        Decoder {
            layout: Layout {
                names,
                width,
                leaves_out: passes_over_unknown_fields::<T>(),
                used: OnceLock::new(),
            },
            record: PhantomData,
        }
    }

    /// The record that the row holds.
    ///
    /// # Errors
    /// A [`Fault`], boxed so that the good way stays small.
    #[inline]
    pub fn decode(&self, row: Row<'_>) -> Result<T, Box<Fault>> {
        let cells = self.layout.check(row)?;
        T::deserialize(Record {
            cells,
            layout: &self.layout,
        })
    }

    /// What to call column `index` in a message.
    pub fn column_name(&self, index: usize) -> String {
        match self.layout.names.as_ref().and_then(|n| n.get(index)) {
            Some(name) => format!("`{name}`"),
            None => format!("number {}", index + 1),
        }
    }
}

impl Layout {
    #[inline]
    fn check<'r>(&self, row: Row<'r>) -> Result<Cells<'r>, Box<Fault>> {
        if let Some(fault) = row.fault {
            return Err(fault.into());
        }
        if self.width.is_some_and(|width| width != row.ends.len()) {
            return Err(self.wrong_width(row.ends.len()));
        }
        match std::str::from_utf8(row.text) {
            Ok(text) => Ok(Cells {
                text,
                ends: row.ends,
            }),
            Err(cause) => Err(not_utf8(row.ends, cause.valid_up_to())),
        }
    }

    #[cold]
    fn wrong_width(&self, found: usize) -> Box<Fault> {
        let first = if self.names.is_some() {
            "the header"
        } else {
            "the first row"
        };
        let width = self.width.unwrap_or_default();
        Fault::row(format!("the row has {found} columns, {first} has {width}"))
    }

    /// The columns that `fields` names, in the order of the columns.
    fn find_used(&self, fields: &'static [&'static str]) -> Result<Used, Box<Fault>> {
        let names = self.names.as_deref().unwrap_or_default();
        let is_field = |name: &String| fields.contains(&name.as_str());
        for (i, name) in names.iter().enumerate() {
            if is_field(name) && names.iter().take(i).any(|earlier| earlier == name) {
                return Err(Fault::columns(format!(
                    "the header names column `{name}` twice"
                )));
            }
        }
        let columns = names
            .iter()
            .enumerate()
            .filter(|(_, name)| !self.leaves_out || is_field(name))
            .map(|(column, _)| column)
            .collect();
        Ok(Used { fields, columns })
    }
}

/// A row whose text is valid.
#[derive(Clone, Copy)]
struct Cells<'r> {
    text: &'r str,
    ends: &'r [usize],
}

impl<'r> Cells<'r> {
    #[inline]
    fn get(self, index: usize) -> Result<Cell<'r>, Box<Fault>> {
        let start = if index == 0 { 0 } else { self.end(index - 1)? };
        match self.text.get(start..self.end(index)?) {
            Some(text) => Ok(Cell(text)),
            // Halves of a character on both sides of a delimiter look like a whole one here.
            None => Err(not_utf8(self.ends, start.saturating_sub(1))),
        }
    }

    #[inline]
    fn end(self, index: usize) -> Result<usize, Box<Fault>> {
        match self.ends.get(index) {
            Some(end) => Ok(*end),
            None => Err(Fault::row(format!("the row has no column {}", index + 1))),
        }
    }
}

/// A row as serde sees it.
struct Record<'r> {
    cells: Cells<'r>,
    layout: &'r Layout,
}

impl<'r> Record<'r> {
    /// A record that is a single value stands in a row with a single cell.
    fn only_cell(&self) -> Result<Cell<'r>, Box<Fault>> {
        match self.cells.ends.len() {
            1 => self.cells.get(0),
            n => Err(Fault::columns(format!(
                "a single value is asked for, but rows have {n} columns; use a struct or a tuple"
            ))),
        }
    }

    fn by_place<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Box<Fault>> {
        visitor.visit_seq(ByPlace {
            cells: self.cells,
            next: 0,
        })
    }

    fn by_name<V: Visitor<'r>>(
        self,
        names: &'r [String],
        columns: impl Iterator<Item = usize>,
        visitor: V,
    ) -> Result<V::Value, Box<Fault>> {
        visitor.visit_map(ByName {
            cells: self.cells,
            names,
            columns,
            column: 0,
        })
    }
}

macro_rules! single_values {
    ($($method:ident($($arg:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, Self::Error> {
            self.only_cell()?.$method($($arg,)* visitor).map_err(|fault| fault.in_column(0))
        }
    )*};
}

impl<'de> Deserializer<'de> for Record<'de> {
    type Error = Box<Fault>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match &self.layout.names {
            Some(names) => self.by_name(names, 0..names.len(), visitor),
            None => self.by_place(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match &self.layout.names {
            Some(names) => self.by_name(names, 0..names.len(), visitor),
            None => Err(Fault::columns(
                "records are matched by column name, but there is no header",
            )),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Some(names) = &self.layout.names else {
            return self.by_place(visitor);
        };
        let used = match self.layout.used.get() {
            Some(used) => used,
            None => {
                let used = self.layout.find_used(fields)?;
                self.layout.used.get_or_init(|| used)
            }
        };
        if !std::ptr::eq(used.fields, fields) {
            return self.by_name(names, 0..names.len(), visitor);
        }
        self.by_name(names, used.columns.iter().copied(), visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.by_place(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.by_place(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.by_place(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    single_values! {
        deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64()
        deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char()
        deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    forward_to_deserialize_any! { unit unit_struct identifier ignored_any }
}

/// Cells one after the other.
struct ByPlace<'r> {
    cells: Cells<'r>,
    next: usize,
}

impl<'de> SeqAccess<'de> for ByPlace<'de> {
    type Error = Box<Fault>;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        let column = self.next;
        if column >= self.cells.ends.len() {
            return Ok(None);
        }
        self.next += 1;
        match seed.deserialize(self.cells.get(column)?) {
            Ok(value) => Ok(Some(value)),
            Err(fault) => Err(fault.in_column(column)),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.cells.ends.len() - self.next)
    }
}

/// Cells with the names of their columns.
struct ByName<'r, C> {
    cells: Cells<'r>,
    names: &'r [String],
    columns: C,
    column: usize,
}

impl<'de, C: Iterator<Item = usize>> MapAccess<'de> for ByName<'de, C> {
    type Error = Box<Fault>;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        let Some(column) = self.columns.next() else {
            return Ok(None);
        };
        self.column = column;
        let name = self.names.get(column).map_or("", String::as_str);
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        match seed.deserialize(self.cells.get(self.column)?) {
            Ok(value) => Ok(value),
            Err(fault) => Err(fault.in_column(self.column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::super::rows::Rows;
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Flight {
        from: String,
        miles: u32,
        delay: Option<f64>,
        #[serde(default)]
        gate: Option<char>,
        #[serde(default, alias = "state")]
        status: Status,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Status {
        #[default]
        OnTime,
        Late,
    }

    fn decode<T: DeserializeOwned>(decoder: &Decoder<T>, row: &[u8]) -> Result<T, Fault> {
        let mut rows = Rows::new(b',', 1);
        rows.advance(row);
        rows.finish();
        decoder.decode(rows.row()).map_err(|fault| *fault)
    }

    fn with_header<T: DeserializeOwned>(header: &str, row: &[u8]) -> Result<T, Fault> {
        let names = header.split(',').map(String::from).collect();
        decode(&Decoder::with_header(names), row)
    }

    fn flight(from: &str, miles: u32, delay: Option<f64>) -> Flight {
        Flight {
            from: from.into(),
            miles,
            delay,
            gate: None,
            status: Status::OnTime,
        }
    }

    fn bad(column: usize, reason: &str) -> Fault {
        Fault::Row {
            column: Some(column),
            reason: reason.into(),
        }
    }

    #[test]
    fn columns_are_matched_by_name() {
        let check = |header: &str, row: &str, expect: Flight| {
            assert_eq!(
                with_header(header, row.as_bytes()),
                Ok(expect),
                "{header} / {row}"
            );
        };
        check(
            "from,miles,delay",
            "JFK,120,-1.5",
            flight("JFK", 120, Some(-1.5)),
        );
        check(
            "x,delay,y,miles,from,z",
            ",,,1,JFK,",
            flight("JFK", 1, None),
        );
        let late = Flight {
            gate: Some('B'),
            status: Status::Late,
            ..flight("JFK", 1, None)
        };
        check("from,miles,gate,state", "JFK,1,B,late", late);
        check(
            "from,miles",
            "\"\"\"J\nFK,\"\"\",+7",
            flight("\"J\nFK,\"", 7, None),
        );
    }

    #[test]
    fn a_cell_that_does_not_fit_is_named_with_its_column() {
        let check = |row: &[u8], expect: Fault| {
            assert_eq!(
                with_header::<Flight>("from,x,miles,delay,status", row),
                Err(expect),
                "{}",
                row.escape_ascii()
            );
        };
        check(
            b"a,,-1,,late",
            bad(
                2,
                "it is not a whole number of type u32 (invalid digit found in string)",
            ),
        );
        check(
            b"a,,4294967296,,late",
            bad(
                2,
                "it is not a whole number of type u32 (number too large to fit in target type)",
            ),
        );
        check(
            b"a,,,,late",
            bad(
                2,
                "it is not a whole number of type u32 (cannot parse integer from empty string)",
            ),
        );
        check(
            b"a,,1,1e400,late",
            bad(3, "it is not a number of type f64 (it is out of range)"),
        );
        check(
            b"a,,1,x,late",
            bad(3, "it is not a number of type f64 (invalid float literal)"),
        );
        check(
            b"a,,1,1,LATE",
            bad(4, "unknown variant `LATE`, expected `on-time` or `late`"),
        );
        check(b"a,\xff,1,1,late", bad(1, "it is not valid UTF-8"));
        check(b"a\xc3,\xa9,1,1,late", bad(0, "it is not valid UTF-8"));
        check(
            b"a,1,1",
            *Fault::row("the row has 3 columns, the header has 5"),
        );
    }

    #[test]
    fn infinity_and_nan_may_be_said() {
        assert_eq!(
            with_header::<(f64, f32)>("a,b", b"inf,-inf"),
            Ok((f64::INFINITY, f32::NEG_INFINITY))
        );
        assert!(with_header::<f64>("a", b"NaN").unwrap().is_nan());
    }

    #[test]
    fn columns_that_fit_no_row_are_told_apart_from_bad_rows() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            #[allow(dead_code)]
            a: u8,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Nested {
            #[allow(dead_code)]
            a: Vec<u8>,
        }
        fn check<T: DeserializeOwned + std::fmt::Debug + PartialEq>(
            header: &str,
            row: &[u8],
            expect: &str,
        ) {
            assert_eq!(
                with_header::<T>(header, row),
                Err(Fault::Columns(expect.into())),
                "{header}"
            );
        }
        check::<Flight>("from,delay", b"a,1", "there is no column `miles`");
        check::<Flight>(
            "from,miles,from",
            b"a,1,b",
            "the header names column `from` twice",
        );
        check::<Strict>("a,b", b"1,2", "the record has no field for column `b`");
        check::<u8>(
            "a,b",
            b"1,2",
            "a single value is asked for, but rows have 2 columns; use a struct or a tuple",
        );
        check::<Nested>(
            "a",
            b"1",
            "a cell holds one value; a field of several values cannot be read from it",
        );
        assert!(with_header::<Strict>("a", b"1").is_ok());
    }

    #[test]
    fn a_name_twice_that_nobody_uses_does_no_harm() {
        assert_eq!(
            with_header("from,,miles,", b"a,x,1,y"),
            Ok(flight("a", 1, None))
        );
    }

    #[test]
    fn every_shape_of_record_can_be_read() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Line(String);
        #[derive(Debug, PartialEq, Deserialize)]
        struct Rest {
            a: u8,
            #[serde(flatten)]
            rest: BTreeMap<String, String>,
        }
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect()
        };
        assert_eq!(
            with_header("a,b", b"1,x"),
            Ok(map(&[("a", "1"), ("b", "x")]))
        );
        assert_eq!(
            with_header("a,b", b"1,x"),
            Ok(Rest {
                a: 1,
                rest: map(&[("b", "x")])
            })
        );
        assert_eq!(
            with_header("a,b", b"1,x"),
            Ok(vec!["1".to_string(), "x".to_string()])
        );
        assert_eq!(with_header("a", b"x y"), Ok(Line("x y".into())));
        assert_eq!(
            decode(&Decoder::by_place(Some(2)), b"1,x"),
            Ok((1u8, "x".to_string()))
        );
        assert_eq!(
            decode(&Decoder::by_place(None), b"JFK,1,,B,late"),
            Ok(Flight {
                gate: Some('B'),
                status: Status::Late,
                ..flight("JFK", 1, None)
            })
        );
        assert!(matches!(
            decode::<BTreeMap<String, String>>(&Decoder::by_place(None), b"1,2"),
            Err(Fault::Columns(_))
        ));
    }
}
