//! Part of Millstream.
