//! From blocks to fields (RFC 7541 section 6).

use super::table::{Dynamic, OVERHEAD, STATIC};
use super::{HpackError, huffman};

/// What takes the fields of a block.
pub(crate) trait FieldSink {
    /// The next field.
    fn field(&mut self, name: &[u8], value: &[u8]);
}

/// A string longer than this leaves no memory behind, in bytes.
const KEEP: usize = 16 * 1024;

/// Reads the blocks of one direction of a connection.
pub(crate) struct Decoder {
    table: Dynamic,
    /// What this side has said its table may be.
    most: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The next bytes of a block.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, HpackError> {
        let (byte, rest) = self.0.split_first().ok_or(HpackError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// The number whose first `bits` bits end `first` (section 5.1).
    fn number(&mut self, first: u8, bits: u32) -> Result<usize, HpackError> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(first) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(HpackError::Number)
    }

    /// A string (section 5.2): where it lies, or in `decoded`.
    fn string<'s>(&mut self, decoded: &'s mut Vec<u8>) -> Result<&'s [u8], HpackError>
    where
        'a: 's,
    {
        let first = self.byte()?;
        let len = self.number(first, 7)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(HpackError::Truncated)?;
        self.0 = rest;
        if first & 0x80 == 0 {
            return Ok(text);
        }
        decoded.clear();
        huffman::decode(text, decoded)?;
        Ok(decoded)
    }
}

impl Decoder {
    /// A reader whose table has no more than `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: Dynamic::new(most), most, name: Vec::new(), value: Vec::new() }
    }

    /// Reads a whole block. `most`: bytes of fields that are handed out, as RFC 9113 section 6.5.2 counts them; the rest is
    /// only read, so that the table stays in step.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        sink: &mut impl FieldSink,
        most: usize,
    ) -> Result<(), HpackError> {
        let mut input = Input(block);
        let mut left = Some(most);
        let mut begun = false;
        while let Ok(first) = input.byte() {
            if first & 0xe0 == 0x20 {
                let size = input.number(first, 5)?;
                if begun || size > self.most {
                    return Err(HpackError::TableSize);
                }
                self.table.set_limit(size);
                continue;
            }
            begun = true;
            self.field(first, &mut input, &mut |name, value| {
                left = left.and_then(|left| left.checked_sub(name.len() + value.len() + OVERHEAD));
                if left.is_some() {
                    sink.field(name, value);
                }
            })?;
        }
        for kept in [&mut self.name, &mut self.value] {
            if kept.capacity() > KEEP {
                *kept = Vec::new();
            }
        }
        left.map(|_| ()).ok_or(HpackError::TooLarge)
    }

    fn field(
        &mut self,
        first: u8,
        input: &mut Input<'_>,
        tell: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        if first & 0x80 != 0 {
            let index = input.number(first, 7)?;
            let (name, value) = entry(&self.table, index)?;
            tell(name, value);
            return Ok(());
        }
        let indexed = first & 0x40 != 0;
        let index = input.number(first, if indexed { 6 } else { 4 })?;
        let Self { table, name: name_room, value: value_room, .. } = self;
        let name = match index {
            0 => input.string(name_room)?,
            _ => {
                let (name, _) = entry(table, index)?;
                if !indexed || index <= STATIC.len() {
                    // Nothing that is added pushes it out before it was read.
                    let value = input.string(value_room)?;
                    tell(name, value);
                    if indexed {
                        let (name, _) = STATIC.get(index - 1).ok_or(HpackError::Index)?;
                        table.add(name, value);
                    }
                    return Ok(());
                }
                name_room.clear();
                name_room.extend_from_slice(name);
                name_room
            }
        };
        let value = input.string(value_room)?;
        tell(name, value);
        if indexed {
            table.add(name, value);
        }
        Ok(())
    }
}

fn entry(table: &Dynamic, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
    match index.checked_sub(1) {
        None => Err(HpackError::Index),
        Some(at) if at < STATIC.len() => STATIC.get(at).copied().ok_or(HpackError::Index),
        Some(at) => table.get(at - STATIC.len()).ok_or(HpackError::Index),
    }
}
