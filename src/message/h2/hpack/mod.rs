//! HPACK (RFC 7541): the fields of a head as bytes that refer to what was said before.
//!
//! Both directions go through one [`Decoder`] and one [`Encoder`] a connection, block by block. Neither allocates for a
//! field once its tables have grown.

mod decode;
mod encode;
mod huffman;
mod table;
#[cfg(test)]
mod tests;

pub(super) use decode::{Decoder, FieldSink};
pub(super) use encode::Encoder;

/// Why a block cannot be read. All but [`Self::TooLarge`] leave the table out of step: the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HpackError {
    /// The block was read, and is more than its reader takes.
    #[error("the block says more than is taken")]
    TooLarge,
    /// An index that stands for nothing.
    #[error("an index stands for nothing")]
    Index,
    /// A number beyond what any table or block can have.
    #[error("a number is too large")]
    Number,
    /// A code that is none.
    #[error("a string's code is not valid")]
    Huffman,
    /// A table size beyond what was allowed, or within a block.
    #[error("a table size is not allowed")]
    TableSize,
    /// The block ends within a field.
    #[error("the block ends within a field")]
    Truncated,
}
