//! The code of HPACK's strings (RFC 7541 section 5.2, appendix B).
//!
//! It is canonical: the lengths of its codes say all of it.

use super::HpackError;

/// Bits of the code of each byte, and of the end of a string.
#[rustfmt::skip]
const BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];
/// Bits of the longest code.
const LONGEST: usize = 30;
/// Bits that are looked up at once: the codes of most text are shorter.
const STEP: usize = 8;

/// Codes in the order of their numbers.
struct Canonical {
    /// The code of each byte.
    codes: [u32; 257],
    /// The bytes in the order of their codes.
    symbols: [u16; 257],
    /// Per length: the first code of it.
    first: [u32; LONGEST + 2],
    /// Per length: the place of that in `symbols`.
    at: [u16; LONGEST + 2],
    /// Per first eight bits: the byte and the length of its code; 0: it is longer.
    short: [(u8, u8); 1 << STEP],
}

const CANONICAL: Canonical = {
    let mut codes = [0; 257];
    let mut symbols = [0; 257];
    let mut first = [0; LONGEST + 2];
    let mut at = [0; LONGEST + 2];
    let mut short = [(0, 0); 1 << STEP];
    let (mut code, mut placed, mut bits) = (0_u32, 0, 1);
    while bits <= LONGEST {
        first[bits] = code;
        at[bits] = placed as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if BITS[symbol] as usize == bits {
                codes[symbol] = code;
                symbols[placed] = symbol as u16;
                if bits <= STEP {
                    let from = (code as usize) << (STEP - bits);
                    let mut fill = 0;
                    while fill < 1 << (STEP - bits) {
                        short[from + fill] = (symbol as u8, bits as u8);
                        fill += 1;
                    }
                }
                code += 1;
                placed += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        bits += 1;
    }
    first[LONGEST + 1] = u32::MAX;
    at[LONGEST + 1] = placed as u16;
    Canonical { codes, symbols, first, at, short }
};
static TABLE: Canonical = CANONICAL;

/// Bytes that `text` takes as a code.
pub(super) fn len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(BITS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut waiting, mut bits) = (0_u64, 0_u32);
    for byte in text {
        let symbol = usize::from(*byte);
        waiting = waiting << BITS[symbol] | u64::from(TABLE.codes[symbol]);
        bits += u32::from(BITS[symbol]);
        if bits >= 32 {
            bits -= 32;
            out.extend_from_slice(&((waiting >> bits) as u32).to_be_bytes());
        }
    }
    while bits >= 8 {
        bits -= 8;
        out.push((waiting >> bits) as u8);
    }
    if bits > 0 {
        // The beginning of the code for the end of a string, all ones.
        out.push((waiting << (8 - bits)) as u8 | (0xff >> bits));
    }
}

/// Appends what `code` stands for. An error: it is none, holds the end of a string, or is padded by more than it needs.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    // The next bits, from the highest on.
    let (mut next, mut bits) = (0_u64, 0_usize);
    let mut rest = code;
    loop {
        while bits <= 56 {
            let Some((byte, later)) = rest.split_first() else { break };
            next |= u64::from(*byte) << (56 - bits);
            bits += 8;
            rest = later;
        }
        let (symbol, taken) = TABLE.short[(next >> (64 - STEP)) as usize];
        let (symbol, taken) = match usize::from(taken) {
            0 => match long(next) {
                Some(found) => found,
                None => return padding(next, bits),
            },
            taken => (symbol, taken),
        };
        if taken > bits {
            return padding(next, bits);
        }
        out.push(symbol);
        next <<= taken;
        bits -= taken;
    }
}

/// A code of more than eight bits at the front of `next`; `None`: the end of a string.
fn long(next: u64) -> Option<(u8, usize)> {
    for bits in STEP + 1..=LONGEST {
        let code = (next >> (64 - bits)) as u32;
        let count = u32::from(TABLE.at[bits + 1] - TABLE.at[bits]);
        let nth = code.wrapping_sub(TABLE.first[bits]);
        if nth < count {
            let symbol = TABLE.symbols.get(usize::from(TABLE.at[bits]) + nth as usize)?;
            return u8::try_from(*symbol).ok().map(|symbol| (symbol, bits));
        }
    }
    None
}

/// What is left is less than a code: fewer than eight bits, all ones.
fn padding(next: u64, bits: usize) -> Result<(), HpackError> {
    let ones = bits == 0 || next >> (64 - bits) == (1 << bits) - 1;
    if bits < 8 && ones { Ok(()) } else { Err(HpackError::Huffman) }
}
