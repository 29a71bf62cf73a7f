//! HPACK, the compression of fields in HTTP/2 (RFC 7541).
//!
//! Pure: a [`Decoder`] turns header blocks into fields, an [`Encoder`] fields into header blocks; each belongs to one
//! direction of one connection, and takes or makes its blocks in the order in which they are on it. Knows bytes only: what
//! a name may look like, and which pseudo-header fields a head needs, are questions of the caller.

mod decode;
mod encode;
mod huffman;
mod table;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Field, FieldSink, HpackError};
pub use encode::Encoder;
pub use table::static_name;
