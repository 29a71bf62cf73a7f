//! Header blocks to fields (RFC 7541 section 6).
//!
//! Pure: a whole block in, fields out, each lent for one call. Whatever is refused for its size is read to its end all
//! the same, so the table stays in step; whatever breaks the format ends the connection, and so does a block that stands
//! for many times what is taken. Invariants: no more than `max_decoded` bytes are handed out; memory is bounded by that,
//! the table's limit and the block.

use super::huffman::{self, NotInTheCode};
use super::table::{INITIAL, Name, OVERHEAD, Table};

/// What a decoder keeps of its room for decoded strings from block to block, in bytes.
const KEPT: usize = 4 * 1024;
/// A block that stands for more than so many times what is taken, and [`SLACK`], is not read to its end: strings that are
/// spelled out never are (the Huffman code makes eight bits of five at least), only entries named again and again.
const TIMES: usize = 4;
/// In bytes, as RFC 9113 section 6.5.2 counts them.
const SLACK: usize = 64 * 1024;

/// A decoded field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As the peer wrote it.
    pub name: &'a [u8],
    /// As the peer wrote it.
    pub value: &'a [u8],
    /// The lowest index that the static table has for the name (RFC 7541 appendix A, from 1), where the peer used one;
    /// 0: it spelled the name out, which may be any.
    pub known: u8,
    /// No hop may index it (RFC 7541 section 6.2.3): sent on by [`super::Encoder::sensitive`].
    pub sensitive: bool,
}

/// Who takes decoded fields.
pub trait FieldSink {
    /// Takes the next field of a block.
    fn field(&mut self, field: Field<'_>);
}

/// Why a block gave no fields, or not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HpackError {
    /// An integer above what means anything, or of too many bytes.
    #[error("an integer of the header block is too large")]
    Integer,
    /// No entry has that index.
    #[error("the header block names an entry that is not there")]
    Index,
    /// Not in the Huffman code: EOS, or an end that is not one.
    #[error("a string of the header block is not in the Huffman code")]
    Huffman,
    /// A size update above our setting, not at the start of a block, or missing where our setting went down.
    #[error("the header block's table size update is not allowed, or missing")]
    SizeUpdate,
    /// The block ends within a field.
    #[error("the header block ends within a field")]
    Truncated,
    /// The fields are more than the caller takes. It alone leaves the decoder in step.
    #[error("the fields are too large")]
    TooLarge,
    /// They are many times more: an HPACK bomb (CVE-2016-6581).
    #[error("the header block stands for many times more than is taken")]
    Bomb,
}

/// The decoder of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    pub(super) table: Table,
    /// Our setting: what the peer may make of the table's maximum.
    limit: usize,
    /// The peer owes an update of the maximum to at most so much: our setting went below what it uses.
    owed: Option<usize>,
    /// Strings of the current field that were in the Huffman code.
    pub(super) scratch: Vec<u8>,
    /// See [`Self::stood_for`].
    stood_for: usize,
}

/// How a literal field wants to be remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Indexed,
    Plain,
    Never,
}

impl Literal {
    /// What the first byte of a literal field says, and the bits of it that its index has.
    fn of(byte: u8) -> (Self, u8) {
        match byte {
            0x40.. => (Self::Indexed, 0x3f),
            0x10.. => (Self::Never, 0xf),
            0x00.. => (Self::Plain, 0xf),
        }
    }
}

/// A string of a literal field.
#[derive(Clone, Copy)]
enum Text<'a> {
    /// In the block as it is.
    Plain(&'a [u8]),
    /// In the scratch.
    Packed { from: usize, to: usize },
    /// Longer than what the table or the sink could take.
    Long,
}

impl<'a> Text<'a> {
    fn bytes<'b>(self, scratch: &'b [u8]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        match self {
            Text::Plain(bytes) => Some(bytes),
            Text::Packed { from, to } => scratch.get(from..to),
            Text::Long => None,
        }
    }
}

/// The sink, and what it may still be given.
struct Outlet<'a, S> {
    sink: &'a mut S,
    left: usize,
    too_large: bool,
    /// Bytes of fields until the block is a bomb.
    patience: usize,
}

impl<S: FieldSink> Outlet<'_, S> {
    /// Hands a field out; after one that is too much none is.
    fn give(&mut self, name: &[u8], value: &[u8], known: u8, sensitive: bool) -> Result<(), HpackError> {
        let size = name.len() + value.len() + OVERHEAD;
        self.patience = self.patience.checked_sub(size).ok_or(HpackError::Bomb)?;
        self.too_large |= size > self.left;
        if !self.too_large {
            self.left -= size;
            self.sink.field(Field { name, value, known, sensitive });
        }
        Ok(())
    }
}

impl Decoder {
    /// A decoder with a table of at most `limit` bytes, our SETTINGS_HEADER_TABLE_SIZE. The table begins with 4,096 at
    /// most, and its memory is taken as the peer adds entries.
    pub fn new(limit: u32) -> Self {
        let limit = limit as usize;
        Self { table: Table::new(limit.min(INITIAL)), limit, owed: None, scratch: Vec::new(), stood_for: 0 }
    }

    /// Bytes of all the fields that the last block stood for, as RFC 9113 section 6.5.2 counts them, but for strings that
    /// nobody could take.
    pub fn stood_for(&self) -> usize {
        self.stood_for
    }

    /// Our SETTINGS_HEADER_TABLE_SIZE is `limit` now, and the peer has acknowledged it. When that is less than the table
    /// uses, the next block must begin with an update (RFC 7541 section 4.2).
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit as usize;
        if self.limit < self.table.max() {
            self.owed = Some(self.owed.map_or(self.limit, |owed| owed.min(self.limit)));
        }
    }

    /// Hands the fields of a whole block to `sink`, until they are more than `max_decoded` bytes as RFC 9113 section
    /// 6.5.2 counts them (name, value and 32 for each). Then [`HpackError::TooLarge`] comes after the last one that
    /// fitted, and the decoder is in step for the next block; after any other error it is of no use.
    pub fn decode(
        &mut self,
        block: &[u8],
        sink: &mut impl FieldSink,
        max_decoded: usize,
    ) -> Result<(), HpackError> {
        let patience = max_decoded.saturating_mul(TIMES).saturating_add(SLACK);
        let mut outlet = Outlet { sink, left: max_decoded, too_large: false, patience };
        let mut rest = self.updates(block)?;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            match byte {
                0x80.. => self.indexed(integer(byte, 0x7f, &mut rest)?, &mut outlet)?,
                0x20..=0x3f => return Err(HpackError::SizeUpdate),
                _ => {
                    let (literal, mask) = Literal::of(byte);
                    let index = integer(byte, mask, &mut rest)?;
                    self.literal(literal, index, &mut rest, &mut outlet)?;
                }
            }
        }
        if self.scratch.capacity() > 2 * KEPT {
            self.scratch = Vec::with_capacity(KEPT);
        }
        self.stood_for = patience - outlet.patience;
        if outlet.too_large { Err(HpackError::TooLarge) } else { Ok(()) }
    }

    /// Takes the size updates that a block begins with; what is left of it.
    fn updates<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], HpackError> {
        let mut rest = block;
        while let Some((&byte @ 0x20..=0x3f, behind)) = rest.split_first() {
            rest = behind;
            let max = integer(byte, 0x1f, &mut rest)?;
            if max > self.owed.take().unwrap_or(self.limit) {
                return Err(HpackError::SizeUpdate);
            }
            self.table.resize(max);
        }
        if self.owed.is_some() && !rest.is_empty() {
            return Err(HpackError::SizeUpdate);
        }
        Ok(rest)
    }

    /// A field of a table.
    fn indexed(&self, index: usize, outlet: &mut Outlet<'_, impl FieldSink>) -> Result<(), HpackError> {
        let entry = self.table.entry(index).ok_or(HpackError::Index)?;
        outlet.give(entry.name, entry.value, entry.known, false)
    }

    /// A field whose value is spelled out, and its name too when `index` is 0.
    fn literal(
        &mut self,
        literal: Literal,
        index: usize,
        rest: &mut &[u8],
        outlet: &mut Outlet<'_, impl FieldSink>,
    ) -> Result<(), HpackError> {
        self.scratch.clear();
        // A longer string is of use to nobody.
        let most = outlet.left.max(self.table.max());
        let spelled = if index == 0 { Some(text(rest, &mut self.scratch, most)?) } else { None };
        let value = text(rest, &mut self.scratch, most)?.bytes(&self.scratch);
        let (name, known) = match spelled {
            Some(spelled) => (spelled.bytes(&self.scratch), 0),
            None => {
                let entry = self.table.entry(index).ok_or(HpackError::Index)?;
                (Some(entry.name), entry.known)
            }
        };
        let (Some(name), Some(value)) = (name, value) else {
            outlet.too_large = true;
            if literal == Literal::Indexed {
                self.table.clear();
            }
            return Ok(());
        };
        outlet.give(name, value, known, literal == Literal::Never)?;
        if literal == Literal::Indexed {
            let name = match spelled.and_then(|spelled| spelled.bytes(&self.scratch)) {
                Some(name) => Name::Spelled(name),
                None => Name::At(index),
            };
            self.table.add(name, value);
        }
        Ok(())
    }
}

/// The string that comes next (RFC 7541 section 5.2). One of more than `most` bytes is read over.
fn text<'a>(rest: &mut &'a [u8], scratch: &mut Vec<u8>, most: usize) -> Result<Text<'a>, HpackError> {
    let (&byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = behind;
    let length = integer(byte, 0x7f, rest)?;
    let (text, behind) = rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if byte & 0x80 == 0 {
        return Ok(Text::Plain(text));
    }
    let from = scratch.len();
    let length = huffman::decode(text, scratch, most).map_err(|NotInTheCode| HpackError::Huffman)?;
    if length > most {
        scratch.truncate(from);
        return Ok(Text::Long);
    }
    Ok(Text::Packed { from, to: from + length })
}

/// The integer that begins in the bits of `byte` that `mask` has (RFC 7541 section 5.1). None that means anything here
/// takes more than five further bytes.
#[inline]
fn integer(byte: u8, mask: u8, rest: &mut &[u8]) -> Result<usize, HpackError> {
    if byte & mask < mask {
        return Ok(usize::from(byte & mask));
    }
    let mut value = u64::from(mask);
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
        *rest = behind;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map(|value| value as usize).map_err(|_| HpackError::Integer);
        }
    }
    Err(HpackError::Integer)
}
