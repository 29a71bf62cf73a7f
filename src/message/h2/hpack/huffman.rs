//! The code of HPACK's strings (RFC 7541 section 5.2 and appendix B).
//!
//! Pure: bytes in, bytes out. The code is canonical: within one length the symbols are in order, and each length goes on
//! where the one before it ended. So the lengths say all; codes and tables are made of them when this is compiled.

/// The symbols of each length in bits, in the order of their codes. EOS, of 30 bits, is the last code of all.
const BY_LENGTH: [(u32, &[u8]); 21] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (
        22,
        b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    ),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\
          \xc5\xe7\xef",
    ),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\
          \x7f\xdc\xf9",
    ),
    (30, b"\x0a\x0d\x16"),
];

/// A string that has EOS in it, or ends as none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotInTheCode;

/// The longest code, in bits.
const LONGEST: u32 = 30;
/// Bits that one look into [`STEPS`] reads; two of the most usual symbols fit.
const STEP: u32 = 12;
/// Looks that 56 bits are enough for, whatever they are.
const LOOKS: usize = 56 / STEP as usize;
/// Room for what one round gives, which writes two bytes at each look.
const ROUND: usize = 2 * LOOKS + 2;

/// The codes of one length: where they begin, and where their symbols begin in [`SYMBOLS`].
#[derive(Clone, Copy)]
struct Codes {
    first: u32,
    count: u32,
    symbols: u32,
}

/// By length in bits.
const CODES: [Codes; LONGEST as usize + 1] = {
    let mut table = [Codes { first: 0, count: 0, symbols: 0 }; LONGEST as usize + 1];
    let (mut code, mut bits, mut symbols, mut row) = (0, 0, 0, 0);
    while row < BY_LENGTH.len() {
        let (length, of) = BY_LENGTH[row];
        code <<= length - bits;
        bits = length;
        table[length as usize] = Codes { first: code, count: of.len() as u32, symbols };
        code += of.len() as u32;
        symbols += of.len() as u32;
        row += 1;
    }
    // All 256 are there, and what is left over is EOS alone.
    assert!(symbols == 256 && code == (1 << LONGEST) - 1);
    table
};

/// All symbols in the order of their codes.
static SYMBOLS: [u8; 256] = {
    let mut table = [0; 256];
    let (mut at, mut row) = (0, 0);
    while row < BY_LENGTH.len() {
        let mut i = 0;
        while i < BY_LENGTH[row].1.len() {
            table[at] = BY_LENGTH[row].1[i];
            at += 1;
            i += 1;
        }
        row += 1;
    }
    table
};

/// By symbol: its code, at the low end.
static CODE: [u32; 256] = {
    let mut table = [0; 256];
    let mut row = 0;
    while row < BY_LENGTH.len() {
        let (length, of) = BY_LENGTH[row];
        let mut i = 0;
        while i < of.len() {
            table[of[i] as usize] = CODES[length as usize].first + i as u32;
            i += 1;
        }
        row += 1;
    }
    table
};

/// By symbol: the length of its code in bits.
static BITS: [u8; 256] = {
    let mut table = [0; 256];
    let mut row = 0;
    while row < BY_LENGTH.len() {
        let (length, of) = BY_LENGTH[row];
        let mut i = 0;
        while i < of.len() {
            table[of[i] as usize] = length as u8;
            i += 1;
        }
        row += 1;
    }
    table
};

/// What the next bits are: two symbols, or one, or none when its code is longer than [`STEP`]. From the low end: the bits
/// of all, their number, the symbols, in a byte each; a shift by the whole word is one by the bits.
#[derive(Clone, Copy)]
struct Step(u32);

impl Step {
    const fn bits(self) -> u32 {
        self.0 & 0xff
    }

    const fn count(self) -> usize {
        (self.0 >> 8 & 0xff) as usize
    }

    const fn symbols(self) -> [u8; 2] {
        ((self.0 >> 16) as u16).to_le_bytes()
    }
}

static STEPS: [Step; 1 << STEP] = {
    let mut table = [Step(0); 1 << STEP];
    let mut window = 0;
    while window < table.len() {
        let bits = (window as u64) << (64 - STEP);
        if let Some((one, first)) = symbol(bits, STEP) {
            table[window] = match symbol(bits << first, STEP - first) {
                Some((two, second)) => {
                    Step((first + second) | 2 << 8 | (one as u32) << 16 | (two as u32) << 24)
                }
                None => Step(first | 1 << 8 | (one as u32) << 16),
            };
        }
        window += 1;
    }
    table
};

/// The symbol that `bits` begin with, and the length of its code, if that is at most `most`. EOS is none.
const fn symbol(bits: u64, most: u32) -> Option<(u8, u32)> {
    let mut length = 5;
    while length <= most && length <= LONGEST {
        let codes = CODES[length as usize];
        let nth = ((bits >> (64 - length)) as u32).wrapping_sub(codes.first);
        if nth < codes.count {
            return Some((SYMBOLS[(codes.symbols + nth) as usize & 0xff], length));
        }
        length += 1;
    }
    None
}

/// The input as a stream of bits.
struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, from the top. Behind those that are filled come zeros, or bits that come next and are filled again.
    next: u64,
    filled: u32,
}

impl Bits<'_> {
    /// Fills up to at least 56 bits, or with all that is left.
    #[inline]
    fn fill(&mut self) {
        while self.filled <= 56
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.next |= u64::from(*byte) << (56 - self.filled);
            self.filled += 8;
            self.rest = rest;
        }
    }

    /// The same at once, when eight bytes are left.
    #[inline]
    fn fill_whole(&mut self) -> bool {
        let Some(word) = self.rest.first_chunk::<8>() else { return false };
        self.next |= u64::from_be_bytes(*word) >> self.filled;
        self.rest = self.rest.get(((63 - self.filled) / 8) as usize..).unwrap_or_default();
        self.filled |= 56;
        true
    }

    #[inline]
    fn take(&mut self, bits: u32) {
        self.next <<= bits;
        self.filled -= bits;
    }

    /// Takes the symbols of [`LOOKS`] looks out of at least 56 bits, without a branch for each. How many; and was the last
    /// look one at a longer code?
    #[inline]
    fn round(&mut self, out: &mut [u8; ROUND]) -> (usize, bool) {
        let (mut count, mut last) = (0, STEPS[0]);
        for _ in 0..LOOKS {
            last = STEPS[(self.next >> (64 - STEP)) as usize];
            if let Some(place) = out.get_mut(count..count + 2) {
                place.copy_from_slice(&last.symbols());
            }
            self.take(last.bits());
            count += last.count();
        }
        (count, last.count() == 0)
    }

    /// Takes what a look gives, if there are bits for it.
    #[inline]
    fn look(&mut self) -> Option<Step> {
        let step = STEPS[(self.next >> (64 - STEP)) as usize];
        let whole = step.count() > 0 && step.bits() <= self.filled;
        whole.then(|| {
            self.take(step.bits());
            step
        })
    }

    /// One symbol, whatever its length; none when the input ends within it.
    fn one(&mut self) -> Result<Option<u8>, NotInTheCode> {
        match symbol(self.next, self.filled) {
            Some((symbol, length)) => {
                self.take(length);
                Ok(Some(symbol))
            }
            // Nothing that long is a code but EOS, which must not come.
            None if self.filled >= LONGEST => Err(NotInTheCode),
            None => Ok(None),
        }
    }

    /// May a string end here? What is left of its last byte are ones.
    fn may_end(&self) -> bool {
        self.filled < 8 && self.next.leading_ones() >= self.filled
    }
}

/// Where decoded bytes go. What comes behind `most` goes over the ones before it: it is counted, and of no use.
struct Place<'a> {
    bytes: &'a mut [u8],
    at: usize,
    gone: usize,
}

impl Place<'_> {
    /// Room for a round.
    #[inline]
    fn room(&mut self) -> &mut [u8; ROUND] {
        if self.at + ROUND > self.bytes.len() {
            self.gone += self.at;
            self.at = 0;
        }
        self.bytes
            .get_mut(self.at..)
            .and_then(<[u8]>::first_chunk_mut)
            .expect("it is never shorter than a round")
    }

    #[inline]
    fn put(&mut self, symbols: [u8; 2], count: usize) {
        let [first, second, ..] = self.room();
        [*first, *second] = symbols;
        self.at += count;
    }
}

/// Appends what `input` stands for to `out` and returns its length in bytes. Of a text longer than `most` nothing that
/// is appended means anything: it is read to its end for its length and its errors, in bounded memory.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>, most: usize) -> Result<usize, NotInTheCode> {
    let from = out.len();
    // No code is shorter than 5 bits.
    let bound = (input.len() / 5 * 8 + 8).min(most) + ROUND;
    out.resize(from + bound, 0);
    let mut place = Place { bytes: out.get_mut(from..).unwrap_or_default(), at: 0, gone: 0 };
    let mut bits = Bits { rest: input, next: 0, filled: 0 };
    while bits.fill_whole() {
        let (count, longer) = bits.round(place.room());
        place.at += count;
        if longer && let Some(symbol) = bits.one()? {
            place.put([symbol, 0], 1);
        }
    }
    bits.fill();
    loop {
        if let Some(step) = bits.look() {
            place.put(step.symbols(), step.count());
        } else if let Some(symbol) = bits.one()? {
            place.put([symbol, 0], 1);
            bits.fill();
        } else if bits.rest.is_empty() {
            break;
        } else {
            bits.fill();
        }
    }
    let (at, gone) = (place.at, place.gone);
    if !bits.may_end() {
        return Err(NotInTheCode);
    }
    out.truncate(from + at);
    Ok(gone + at)
}

/// Bytes of `text` in the code.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(BITS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text` in the code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let mut sink = Sink { out, bits: 0, filled: 0 };
    let (fours, rest) = text.as_chunks::<4>();
    for four in fours {
        let [a, b, c, d] = four.map(|byte| (CODE[usize::from(byte)], u32::from(BITS[usize::from(byte)])));
        // Most codes are that short, and a branch for each costs more than the codes.
        if a.1 + b.1 + c.1 + d.1 <= 32 {
            let (left, right) = (a.0 << b.1 | b.0, c.0 << d.1 | d.0);
            sink.put(u64::from(left) << (c.1 + d.1) | u64::from(right), a.1 + b.1 + c.1 + d.1);
        } else {
            [a, b, c, d].iter().for_each(|(code, bits)| sink.put(u64::from(*code), *bits));
        }
    }
    for byte in rest {
        sink.put(CODE[usize::from(*byte)].into(), BITS[usize::from(*byte)].into());
    }
    // Filled up with ones, the beginning of EOS.
    let last = (sink.bits << 32 | u64::from(u32::MAX)) >> sink.filled;
    let bytes = sink.filled.div_ceil(8) as usize;
    sink.out.extend_from_slice((last as u32).to_be_bytes().get(..bytes).unwrap_or_default());
}

/// Bits on their way into bytes.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    /// Those not yet written, at the low end; above them may be anything.
    bits: u64,
    /// How many, fewer than 32.
    filled: u32,
}

impl Sink<'_> {
    /// Up to 32 bits.
    #[inline]
    fn put(&mut self, bits: u64, count: u32) {
        self.bits = self.bits << count | bits;
        self.filled += count;
        if self.filled >= 32 {
            self.filled -= 32;
            self.out.extend_from_slice(&((self.bits >> self.filled) as u32).to_be_bytes());
        }
    }
}
