//! Fields to header blocks (RFC 7541 section 6).
//!
//! A field goes into the table when it comes a second time: what never repeats (an id, a date seldom asked for) then costs
//! neither the table's entries nor the copies of both ends, and a connection of one request costs none at all. Nor does
//! what seldom repeats or must not be guessed at (section 7.1). The same holds of names that the static table lacks.
//! Pure. Invariants: the table is at most [`INITIAL`] bytes, and at most what the peer allows; an entry is named only
//! after its bytes were compared.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::FixedState;

use super::huffman;
use super::table::{Entry, INITIAL, Name, OVERHEAD, STATIC, Table, static_index};

/// A cookie of fewer bytes may be guessed at by the length of a block, byte by byte.
const GUESSED: usize = 20;

/// First byte of a field of a table; of a literal that is added to it, that is not, that nobody may add. And the bits of
/// it that the index has.
const INDEXED: (u8, u8) = (0x80, 0x7f);
const ADDED: (u8, u8) = (0x40, 0x3f);
const PLAIN: (u8, u8) = (0, 0xf);
const NEVER: (u8, u8) = (0x10, 0xf);
const UPDATE: (u8, u8) = (0x20, 0x1f);

/// The encoder of one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    pub(super) table: Table,
    /// What the table's maximum is to be, and the lowest that it was to be since the last block, when that is to be told.
    wanted: usize,
    due: Option<usize>,
    memory: Box<Memory>,
    /// A name in lower case.
    lower: Vec<u8>,
}

/// How a field of the static table is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// By the table, once it repeats.
    Repeats,
    /// Spelled out: its value is another each time.
    Plain,
    /// Spelled out, and so by every hop: its value is a secret.
    Never,
}

impl Rule {
    fn of(index: u8, value: &[u8]) -> Self {
        match index {
            // authorization, proxy-authorization, set-cookie
            23 | 49 | 55 => Self::Never,
            // cookie
            32 if value.len() < GUESSED => Self::Never,
            // age, content-length, content-range, etag
            21 | 28 | 30 | 34 => Self::Plain,
            // if-match, if-modified-since, if-none-match, if-range, if-unmodified-since, last-modified
            39..=44 => Self::Plain,
            // location, range, retry-after
            46 | 50 | 53 => Self::Plain,
            _ => Self::Repeats,
        }
    }
}

impl Default for Encoder {
    /// One whose peer has said nothing yet.
    fn default() -> Self {
        let memory = Box::new(Memory::EMPTY);
        Self { table: Table::new(INITIAL), wanted: INITIAL, due: None, memory, lower: Vec::new() }
    }
}

impl Encoder {
    /// The peer's SETTINGS_HEADER_TABLE_SIZE is `size` bytes now.
    pub fn set_peer_limit(&mut self, size: u32) {
        self.wanted = INITIAL.min(size as usize);
        if self.due.is_some() || self.wanted != self.table.max() {
            self.due = Some(self.due.map_or(self.wanted, |due| due.min(self.wanted)));
        }
    }

    /// Begins a block: appends the size updates that are due (RFC 7541 section 4.2). What is appended from here on has to
    /// be sent, in this order: the peer's table follows it.
    pub fn begin_block(&mut self, out: &mut Vec<u8>) {
        let Some(lowest) = self.due.take() else { return };
        for max in
            [Some(lowest).filter(|lowest| *lowest < self.wanted), Some(self.wanted)].into_iter().flatten()
        {
            self.table.resize(max);
            integer(UPDATE, max, out);
        }
    }

    /// Appends `:status`, a number of three digits.
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match status {
            200 => out.push(0x88),
            204 => out.push(0x89),
            _ => {
                let digit = |of: u16| b'0' + (of % 10) as u8;
                self.known(8, &[digit(status / 100), digit(status / 10), digit(status)], out);
            }
        }
    }

    /// Appends `:method`.
    pub fn method(&mut self, method: &[u8], out: &mut Vec<u8>) {
        self.known(2, method, out);
    }

    /// Appends `:scheme`.
    pub fn scheme(&mut self, scheme: &[u8], out: &mut Vec<u8>) {
        self.known(6, scheme, out);
    }

    /// Appends `:path`.
    pub fn path(&mut self, path: &[u8], out: &mut Vec<u8>) {
        self.known(4, path, out);
    }

    /// Appends `:authority`.
    pub fn authority(&mut self, authority: &[u8], out: &mut Vec<u8>) {
        self.known(1, authority, out);
    }

    /// Appends a field. Its name, in any case, is written in lower case. What is a secret by its name is written as
    /// [`Self::sensitive`] does.
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        match static_index(name) {
            0 => self.in_lower_case(name, |encoder, name| match static_index(name) {
                0 => encoder.named(name, value, out),
                index => encoder.known(index, value, out),
            }),
            index => self.known(index, value, out),
        }
    }

    /// Appends a field that no hop may put into a table (RFC 7541 section 7.1.3).
    pub fn sensitive(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        self.in_lower_case(name, |_, name| literal(NEVER, static_index(name).into(), name, value, out));
    }

    fn in_lower_case(&mut self, name: &[u8], field: impl FnOnce(&mut Self, &[u8])) {
        if !name.iter().any(u8::is_ascii_uppercase) {
            return field(self, name);
        }
        let mut lower = std::mem::take(&mut self.lower);
        lower.clear();
        lower.extend(name.iter().map(u8::to_ascii_lowercase));
        field(self, &lower);
        self.lower = lower;
    }

    /// A field whose name is at `index` of the static table, the lowest of that name.
    fn known(&mut self, index: u8, value: &[u8], out: &mut Vec<u8>) {
        let rule = Rule::of(index, value);
        if rule == Rule::Never {
            return literal(NEVER, index.into(), b"", value, out);
        }
        if let Some(index) = with_value(index, value) {
            return integer(INDEXED, index, out);
        }
        if rule == Rule::Plain || !self.fits(0, value) {
            return literal(PLAIN, index.into(), b"", value, out);
        }
        let hash = hash(index.into(), value);
        let same = |entry: &Entry<'_>| entry.known == index && entry.value == value;
        if let Some(index) = self.memory.fields.find(hash, &self.table, same) {
            return integer(INDEXED, index, out);
        }
        let index = usize::from(index);
        if !self.memory.again(hash) {
            return literal(PLAIN, index, b"", value, out);
        }
        literal(ADDED, index, b"", value, out);
        self.table.add(Name::At(index), value);
        self.memory.fields.put(hash, &self.table);
    }

    /// A field whose name, in lower case, is not in the static table.
    fn named(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if !self.fits(name.len(), value) {
            return literal(PLAIN, 0, name, value, out);
        }
        let of_name = hash(0, name);
        let of_both = hash(of_name, value);
        let same = |entry: &Entry<'_>| entry.name == name && entry.value == value;
        if let Some(index) = self.memory.fields.find(of_both, &self.table, same) {
            return integer(INDEXED, index, out);
        }
        let index = self.memory.names.find(of_name, &self.table, |entry| entry.name == name);
        let again = self.memory.again(of_both);
        if !(again || index.is_none() && self.memory.again(of_name)) {
            return literal(PLAIN, index.unwrap_or(0), name, value, out);
        }
        literal(ADDED, index.unwrap_or(0), name, value, out);
        self.table.add(index.map_or(Name::Spelled(name), Name::At), value);
        self.memory.fields.put(of_both, &self.table);
        self.memory.names.put(of_name, &self.table);
    }

    /// May the table take such an entry? One of more than half of it would drive the others out.
    fn fits(&self, name: usize, value: &[u8]) -> bool {
        name + value.len() + OVERHEAD <= self.table.max() / 2
    }
}

/// What is remembered of fields by their hashes, to find entries and what came before. It may forget, and be wrong: entries
/// are compared. In sets of four, so that a few that fall together do not drive each other out.
#[derive(Debug)]
struct Memory {
    fields: Sets<64>,
    names: Sets<16>,
    /// The upper halves of hashes that came and were not added.
    seen: [[u16; 4]; 32],
    /// By chance: whose place in its set the next one takes. By order, five in turn would never be seen again.
    chance: u32,
}

impl Memory {
    const EMPTY: Self = Self { fields: Sets::EMPTY, names: Sets::EMPTY, seen: [[0; 4]; 32], chance: 0 };

    /// Did this hash come not long ago?
    fn again(&mut self, hash: u32) -> bool {
        let set = &mut self.seen[hash as usize % 32];
        let half = (hash >> 16) as u16;
        if set.contains(&half) {
            return true;
        }
        self.chance = self.chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        set[(self.chance >> 30) as usize] = half;
        false
    }
}

/// Numbers of entries by hashes.
#[derive(Debug)]
struct Sets<const N: usize>([[Slot; 4]; N]);

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The upper half.
    hash: u16,
    /// Of the entry: the lower half of how many the table had been given with it.
    number: u16,
}

impl<const N: usize> Sets<N> {
    const EMPTY: Self = Self([[Slot { hash: 0, number: 0 }; 4]; N]);

    /// The index of the entry with this hash that is the `same`.
    fn find(&self, hash: u32, table: &Table, same: impl Fn(&Entry<'_>) -> bool) -> Option<usize> {
        let set = &self.0[hash as usize % N];
        set.iter().filter(|slot| slot.hash == (hash >> 16) as u16).find_map(|slot| {
            let nth = usize::from((table.added() as u16).wrapping_sub(slot.number));
            table.newest(nth).is_some_and(|entry| same(&entry)).then_some(STATIC.len() + 1 + nth)
        })
    }

    /// Remembers the newest entry, in place of the oldest of its set.
    fn put(&mut self, hash: u32, table: &Table) {
        let number = table.added() as u16;
        let set = &mut self.0[hash as usize % N];
        if let Some(oldest) = set.iter_mut().max_by_key(|slot| number.wrapping_sub(slot.number)) {
            *oldest = Slot { hash: (hash >> 16) as u16, number };
        }
    }
}

/// The index in the static table of the name at `index`, the lowest of that name, with this value.
fn with_value(index: u8, value: &[u8]) -> Option<usize> {
    let first = usize::from(index);
    let last = match first {
        2 | 4 | 6 => first + 1,
        8 => 14,
        other => other,
    };
    (first..=last).find(|at| STATIC.get(at - 1).is_some_and(|(_, of)| *of == value))
}

/// A hash of `bytes`, good enough where entries are compared.
fn hash(seed: u32, bytes: &[u8]) -> u32 {
    const STATE: FixedState = FixedState::with_seed(0);
    let mut hasher = STATE.build_hasher();
    hasher.write_u32(seed);
    hasher.write(bytes);
    hasher.finish() as u32
}

/// Appends a field that is spelled out, its name only when `index` is 0.
fn literal(kind: (u8, u8), index: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    integer(kind, index, out);
    if index == 0 {
        text(name, out);
    }
    text(value, out);
}

/// Appends a string (RFC 7541 section 5.2), in the Huffman code where that is shorter.
fn text(text: &[u8], out: &mut Vec<u8>) {
    let packed = huffman::encoded_len(text);
    if packed < text.len() {
        integer((0x80, 0x7f), packed, out);
        huffman::encode(text, out);
    } else {
        integer((0, 0x7f), text.len(), out);
        out.extend_from_slice(text);
    }
}

/// Appends an integer whose first bits are those of `mask` in a byte that has `first` beside them (RFC 7541 section 5.1).
fn integer((first, mask): (u8, u8), value: usize, out: &mut Vec<u8>) {
    if value < usize::from(mask) {
        return out.push(first | value as u8);
    }
    out.push(first | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests;
