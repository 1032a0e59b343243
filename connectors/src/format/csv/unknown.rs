//! Whether a type looks at fields that it does not know.

use std::cell::Cell as Flag;
use std::iter;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::Fault;

/// Whether `T` takes a field that it does not know, and does not look at it: then columns without
/// a field need not be shown to it. False with `#[serde(deny_unknown_fields)]`.
pub(super) fn passes_over_unknown_fields<T: DeserializeOwned>() -> bool {
    let looked_at = Flag::new(false);
    let unknown = iter::once(("\0", Unknown(&looked_at)));
    // Whether this gives a record does not matter, only whether the value was asked for.
    let _: Result<T, Box<Fault>> = T::deserialize(MapDeserializer::new(unknown));
    looked_at.get()
}

struct Unknown<'f>(&'f Flag<bool>);

impl<'de> IntoDeserializer<'de, Box<Fault>> for Unknown<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Unknown<'_> {
    type Error = Box<Fault>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.set(true);
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
