//! The value of one cell, for serde: text, a number, a flag, or nothing.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::Fault;

/// The text of a cell.
#[derive(Clone, Copy)]
pub(super) struct Cell<'r>(pub(super) &'r str);

impl Cell<'_> {
    #[cold]
    fn is_not(self, what: &str, cause: impl fmt::Display) -> Box<Fault> {
        Fault::row(format!("it is not {what} ({cause})"))
    }

    /// The number, unless it is so great that only infinity is left of it.
    #[inline]
    fn float(self) -> Result<f64, Box<Fault>> {
        match self.0.parse::<f64>() {
            Ok(number) if number.is_infinite() && self.has_digits() => {
                Err(self.is_not("a number of type f64", "it is out of range"))
            }
            Ok(number) => Ok(number),
            Err(cause) => Err(self.is_not("a number of type f64", cause)),
        }
    }

    fn has_digits(self) -> bool {
        self.0.bytes().any(|b| b.is_ascii_digit())
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            match self.0.parse::<$type>() {
                Ok(number) => visitor.$visit(number),
                Err(cause) => {
                    Err(self.is_not(concat!("a whole number of type ", stringify!($type)), cause))
                }
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = Box<Fault>;

    /// What the text looks like: a truth value, a whole number, a number, or text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if let Ok(value) = self.0.parse::<bool>() {
            visitor.visit_bool(value)
        } else if let Ok(value) = self.0.parse::<u64>() {
            visitor.visit_u64(value)
        } else if let Ok(value) = self.0.parse::<i64>() {
            visitor.visit_i64(value)
        } else if let Some(value) = self.0.parse::<f64>().ok().filter(|n| n.is_finite()) {
            visitor.visit_f64(value)
        } else {
            visitor.visit_borrowed_str(self.0)
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.parse() {
            Ok(value) => visitor.visit_bool(value),
            Err(cause) => Err(self.is_not("a truth value", cause)),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_f64(self.float()?)
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.parse::<f32>() {
            Ok(number) if number.is_infinite() && self.has_digits() => {
                Err(self.is_not("a number of type f32", "it is out of range"))
            }
            Ok(number) => visitor.visit_f32(number),
            Err(cause) => Err(self.is_not("a number of type f32", cause)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.0)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.0)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_bytes(self.0.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_bytes(self.0.as_bytes())
    }

    /// An empty cell is `None`.
    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_empty() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_empty() {
            visitor.visit_unit()
        } else {
            Err(self.is_not("empty", "nothing is to stand here"))
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// The name of a variant that holds nothing.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(BorrowedStrDeserializer::new(self.0))
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(several_values())
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Self::Error> {
        Err(several_values())
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Self::Error> {
        Err(several_values())
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(several_values())
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        Err(several_values())
    }

    forward_to_deserialize_any! { unit_struct identifier }
}

fn several_values() -> Box<Fault> {
    Fault::columns("a cell holds one value; a field of several values cannot be read from it")
}
