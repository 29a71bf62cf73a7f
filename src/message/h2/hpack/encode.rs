//! From fields to blocks (RFC 7541 section 6).
//!
//! What repeats is put into the table: content types, user agents, names. What does not, such as paths, ids and lengths,
//! is written out, and what is secret is marked as never to be put into a table (section 7.1.3).

use super::huffman;
use super::table::{Dynamic, HASH, OVERHEAD, STATIC, hash, static_name, static_pair};

/// Bytes of the table at most, whatever the peer allows.
const MOST: usize = 4_096;
/// A field of more bytes is not put into the table.
const LONG: usize = 512;
const SLOTS: usize = 256;

/// How a field is written that is in no table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    Plain,
    Never,
}

/// Names whose values do not repeat, or that are secret.
const KINDS: [(&[u8], Kind); 22] = [
    (b":path", Kind::Plain),
    (b"age", Kind::Plain),
    (b"authorization", Kind::Never),
    (b"content-length", Kind::Plain),
    (b"content-range", Kind::Plain),
    (b"etag", Kind::Plain),
    (b"expires", Kind::Plain),
    (b"grpc-timeout", Kind::Plain),
    (b"idempotency-key", Kind::Plain),
    (b"if-match", Kind::Plain),
    (b"if-modified-since", Kind::Plain),
    (b"if-none-match", Kind::Plain),
    (b"if-range", Kind::Plain),
    (b"if-unmodified-since", Kind::Plain),
    (b"last-modified", Kind::Plain),
    (b"location", Kind::Plain),
    (b"proxy-authorization", Kind::Never),
    (b"range", Kind::Plain),
    (b"set-cookie", Kind::Never),
    (b"traceparent", Kind::Plain),
    (b"x-api-key", Kind::Never),
    (b"x-request-id", Kind::Plain),
];

fn kind(name: &[u8], value: &[u8]) -> Kind {
    // A short cookie could be guessed from what it is compressed to.
    if name == b"cookie" && value.len() < 20 {
        return Kind::Never;
    }
    match KINDS.binary_search_by(|(known, _)| (*known).cmp(name)) {
        Ok(at) => KINDS.get(at).map_or(Kind::Plain, |(_, kind)| *kind),
        Err(_) if name.len() + value.len() > LONG => Kind::Plain,
        Err(_) => Kind::Added,
    }
}

/// Writes the blocks of one direction of a connection.
pub struct Encoder {
    table: Dynamic,
    /// The smallest size since the last block, and the last one.
    resized: Option<(usize, usize)>,
    /// By hash: the numbers of the entries with this name and value, and with this name, that were said last.
    pairs: Box<[u32; SLOTS]>,
    names: Box<[u32; SLOTS]>,
    /// A name in lower case.
    lower: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: Dynamic::new(MOST),
            resized: None,
            pairs: Box::new([0; SLOTS]),
            names: Box::new([0; SLOTS]),
            lower: Vec::new(),
        }
    }
}

impl Encoder {
    /// The peer's table has `bytes` at most.
    pub fn set_limit(&mut self, bytes: usize) {
        let bytes = bytes.min(MOST);
        let (least, last) = self.resized.unwrap_or((self.table.limit(), self.table.limit()));
        if bytes != last {
            self.resized = Some((least.min(bytes), bytes));
        }
    }

    /// A block begins.
    pub fn begin_block(&mut self, out: &mut Vec<u8>) {
        let Some((least, last)) = self.resized.take() else { return };
        for size in [least, last] {
            if size < self.table.limit() || size == last {
                self.table.set_limit(size);
                number(out, 0x20, 5, size);
            }
        }
    }

    /// Writes a field; its name in any case.
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if name.iter().any(u8::is_ascii_uppercase) {
            let mut lower = std::mem::take(&mut self.lower);
            lower.clear();
            lower.extend(name.iter().map(u8::to_ascii_lowercase));
            self.write(&lower, value, out);
            self.lower = lower;
        } else {
            self.write(name, value, out);
        }
    }

    fn write(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let named = hash(HASH, name);
        let of_name = static_name(name, named);
        match static_pair(name, value, of_name) {
            0 => {}
            index => return number(out, 0x80, 7, index),
        }
        let kind = kind(name, value);
        if kind != Kind::Added {
            let (pattern, index) =
                (if kind == Kind::Never { 0x10 } else { 0 }, self.name_index(name, named, of_name));
            return literal(out, (pattern, 4), index, name, value);
        }
        let slot = hash(named.wrapping_add(1), value) as usize % SLOTS;
        if let Some(back) = self.table.back(self.pairs[slot])
            && self.table.get(back) == Some((name, value))
        {
            return number(out, 0x80, 7, STATIC.len() + 1 + back);
        }
        let index = self.name_index(name, named, of_name);
        if name.len() + value.len() + OVERHEAD > self.table.limit() {
            return literal(out, (0, 4), index, name, value);
        }
        literal(out, (0x40, 6), index, name, value);
        if let Some(said) = self.table.add(name, value) {
            self.pairs[slot] = said;
            self.names[named as usize % SLOTS] = said;
        }
    }

    /// An index that stands for the name; 0: there is none.
    fn name_index(&self, name: &[u8], named: u32, of_name: usize) -> usize {
        if of_name > 0 {
            return of_name;
        }
        match self.table.back(self.names[named as usize % SLOTS]) {
            Some(back) if self.table.get(back).is_some_and(|(known, _)| known == name) => {
                STATIC.len() + 1 + back
            }
            Some(_) | None => 0,
        }
    }
}

fn literal(out: &mut Vec<u8>, (pattern, bits): (u8, u32), index: usize, name: &[u8], value: &[u8]) {
    number(out, pattern, bits, index);
    if index == 0 {
        string(out, name);
    }
    string(out, value);
}

/// A number whose first `bits` bits end the first byte, after `pattern` (section 5.1).
fn number(out: &mut Vec<u8>, pattern: u8, bits: u32, number: usize) {
    let most = (1_usize << bits) - 1;
    if number < most {
        return out.push(pattern | number as u8);
    }
    out.push(pattern | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A string, as its code where that is shorter (section 5.2).
fn string(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::len(text);
    if coded < text.len() {
        number(out, 0x80, 7, coded);
        huffman::encode(text, out);
    } else {
        number(out, 0, 7, text.len());
        out.extend_from_slice(text);
    }
}
