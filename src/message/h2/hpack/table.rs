//! The tables of HPACK (RFC 7541 section 2.3): the one that all know, and the one that grows with what was said.

use std::collections::VecDeque;

/// The static table (appendix A); the first entry has the index 1.
pub(super) const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// What an entry takes beside its bytes (section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// FNV-1a, 32 bits (Fowler, Noll and Vo).
pub(super) const fn hash(mut sum: u32, bytes: &[u8]) -> u32 {
    let mut at = 0;
    while at < bytes.len() {
        sum = (sum ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    sum
}

/// Where a hash begins.
pub(super) const HASH: u32 = 0x811c_9dc5;

const SLOTS: usize = 256;

/// By the hash of a name: its first index in the static table.
const NAMES: [u8; SLOTS] = {
    let mut slots = [0; SLOTS];
    let mut index = STATIC.len();
    while index > 0 {
        index -= 1;
        // The first of several with one name overwrites the others.
        let first = index == 0 || !same(STATIC[index - 1].0, STATIC[index].0);
        if first {
            let mut slot = hash(HASH, STATIC[index].0) as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = index as u8 + 1;
        }
    }
    slots
};

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The first index of `name`, whose hash is `hashed`, in the static table; 0: it is not there.
pub(super) fn static_name(name: &[u8], hashed: u32) -> usize {
    let mut slot = hashed as usize % SLOTS;
    loop {
        let index = usize::from(NAMES[slot]);
        match index.checked_sub(1).and_then(|at| STATIC.get(at)) {
            None => return 0,
            Some((known, _)) if *known == name => return index,
            Some(_) => slot = (slot + 1) % SLOTS,
        }
    }
}

/// The index of the pair in the static table, of whose name the first is `first`; 0: it is not there.
pub(super) fn static_pair(name: &[u8], value: &[u8], first: usize) -> usize {
    let Some(from) = first.checked_sub(1) else { return 0 };
    let of_name = STATIC.iter().skip(from).take_while(|(known, _)| *known == name);
    of_name.zip(first..).find(|((_, known), _)| *known == value).map_or(0, |(_, index)| index)
}

#[derive(Clone, Copy)]
struct Entry {
    at: usize,
    name: usize,
    value: usize,
}

/// The dynamic table: entries in the order in which they were said, no more bytes than its limit. Its bytes lie in one
/// block, which is moved together when it is full, so an entry costs no allocation.
pub(super) struct Dynamic {
    limit: usize,
    size: usize,
    entries: VecDeque<Entry>,
    block: Vec<u8>,
    /// Entries that were said so far.
    said: u32,
}

impl Dynamic {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, size: 0, entries: VecDeque::new(), block: Vec::new(), said: 0 }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(0);
    }

    /// Makes room for an entry of `size` bytes.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.limit {
            let Some(Entry { name, value, .. }) = self.entries.pop_front() else { return };
            self.size -= name + value + OVERHEAD;
        }
        if self.entries.is_empty() {
            self.block.clear();
        }
    }

    /// Adds an entry; one larger than the table empties it (section 4.4). Its number, where it was added.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) -> Option<u32> {
        let size = name.len() + value.len() + OVERHEAD;
        self.evict(size);
        if size > self.limit {
            return None;
        }
        if self.block.len() + size > 2 * self.limit {
            self.compact();
        }
        let at = self.block.len();
        self.block.extend_from_slice(name);
        self.block.extend_from_slice(value);
        self.entries.push_back(Entry { at, name: name.len(), value: value.len() });
        self.size += size;
        self.said = self.said.wrapping_add(1);
        Some(self.said)
    }

    fn compact(&mut self) {
        let from = self.entries.front().map_or(self.block.len(), |entry| entry.at);
        self.block.drain(..from);
        self.entries.iter_mut().for_each(|entry| entry.at -= from);
    }

    /// The entry that was said `back` entries before the last.
    pub(super) fn get(&self, back: usize) -> Option<(&[u8], &[u8])> {
        let at = self.entries.len().checked_sub(back + 1)?;
        let Entry { at, name, value } = *self.entries.get(at)?;
        let name_end = at + name;
        Some((self.block.get(at..name_end)?, self.block.get(name_end..name_end + value)?))
    }

    /// How many entries before the last the one with this number was said; `None`: it is gone.
    pub(super) fn back(&self, number: u32) -> Option<usize> {
        let back = self.said.wrapping_sub(number) as usize;
        (back < self.entries.len()).then_some(back)
    }
}
