//! HPACK's tables (RFC 7541 section 2.3): the static one, and the dynamic one that both ends keep in step.
//!
//! Pure. Invariants: the sizes of the entries (name, value and 32 bytes each) add up to at most the table's maximum;
//! the memory for their bytes is at most twice that, and 256 bytes; in the steady state nothing is allocated.

use std::collections::VecDeque;

/// The maximum in bytes that both ends begin with (RFC 9113 section 6.5.2).
pub(super) const INITIAL: usize = 4096;
/// What an entry counts beside its bytes (RFC 7541 section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// The static table (RFC 7541 appendix A), from index 1.
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

/// The name at `index` of the static table (1 to 61), for maps from [`super::Field::known`]; empty beyond.
pub const fn static_name(index: u8) -> &'static [u8] {
    if index == 0 || index as usize > STATIC.len() {
        return b"";
    }
    STATIC[index as usize - 1].0
}

/// The lowest index of the static table with the name that `index` has.
pub(super) const fn lowest(index: u8) -> u8 {
    match index {
        3 => 2,
        5 => 4,
        7 => 6,
        9..=14 => 8,
        other => other,
    }
}

/// By [`slot`]: the lowest index of a name of the static table.
static NAMES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < STATIC.len() {
        let index = at as u8 + 1;
        if lowest(index) == index {
            let slot = slot(STATIC[at].0);
            assert!(table[slot] == 0, "two names in one slot");
            table[slot] = index;
        }
        at += 1;
    }
    table
};

/// Where `name` stands in [`NAMES`], if it stands there: its first, middle and last byte and its length, times an odd
/// number that was found to bring no two names together.
const fn slot(name: &[u8]) -> usize {
    let [first, .., last] = name else { return 0 };
    let key = u32::from_le_bytes([*first, name[name.len() / 2], *last, name.len() as u8]);
    (key.wrapping_mul(1_304_659_205) >> 24) as usize
}

/// The lowest index of `name`, given in lower case, in the static table; 0: it is not there.
pub(super) fn static_index(name: &[u8]) -> u8 {
    let index = NAMES[slot(name)];
    let found = STATIC.get(usize::from(index).wrapping_sub(1)).is_some_and(|(found, _)| *found == name);
    if found { index } else { 0 }
}

/// An entry of either table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// The lowest index of its name in the static table; 0: unknown.
    pub(super) known: u8,
}

/// The name of a new entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    Spelled(&'a [u8]),
    /// That of the entry at this index.
    At(usize),
}

/// Where an entry's bytes are.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of its name, its value behind it; counted like [`Table::base`].
    at: u32,
    name: u32,
    value: u32,
    known: u8,
}

impl Place {
    fn size(&self) -> usize {
        self.name as usize + self.value as usize + OVERHEAD
    }
}

/// A dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    /// The bytes of all entries, oldest first, without gaps, behind those of entries that went.
    pub(super) bytes: Vec<u8>,
    /// How many of `bytes` are of entries that went.
    gone: usize,
    /// Where `bytes` begin, counted (and wrapping) from the first byte ever.
    base: u32,
    /// Oldest first.
    places: VecDeque<Place>,
    pub(super) size: usize,
    max: usize,
    /// Entries that were ever added, wrapping.
    added: u32,
}

impl Table {
    pub(super) fn new(max: usize) -> Self {
        let (bytes, places) = (Vec::new(), VecDeque::new());
        Self { bytes, gone: 0, base: 0, places, size: 0, max, added: 0 }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Entries that were ever added, wrapping: the number of the newest one.
    pub(super) fn added(&self) -> u32 {
        self.added
    }

    /// Sets the maximum; what no longer fits goes.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.evict(0);
        if max == 0 {
            *self = Self { added: self.added, ..Self::new(0) };
        }
    }

    /// The entry at `index` of both tables: from 1 the static one, behind it the dynamic one from its newest (RFC 7541
    /// section 2.3.3).
    pub(super) fn entry(&self, index: usize) -> Option<Entry<'_>> {
        match index.checked_sub(STATIC.len() + 1) {
            Some(nth) => self.newest(nth),
            None => {
                let (name, value) = *STATIC.get(index.checked_sub(1)?)?;
                Some(Entry { name, value, known: lowest(index as u8) })
            }
        }
    }

    /// The entry of the dynamic table that `nth` others were added after.
    pub(super) fn newest(&self, nth: usize) -> Option<Entry<'_>> {
        let place = self.places.get(self.places.len().checked_sub(nth)?.checked_sub(1)?)?;
        let from = place.at.wrapping_sub(self.base) as usize;
        let bytes = self.bytes.get(from..from + place.name as usize + place.value as usize)?;
        let (name, value) = bytes.split_at_checked(place.name as usize)?;
        Some(Entry { name, value, known: place.known })
    }

    /// Adds an entry; for its room older ones go, and one that is larger than the table empties it (RFC 7541 section
    /// 4.4).
    pub(super) fn add(&mut self, name: Name<'_>, value: &[u8]) {
        let (length, known) = match name {
            Name::Spelled(name) => (name.len(), 0),
            Name::At(index) => self.entry(index).map_or((0, 0), |entry| (entry.name.len(), entry.known)),
        };
        let size = length + value.len() + OVERHEAD;
        if size > self.max {
            return self.clear();
        }
        // Before older ones go: the name may be theirs.
        self.make_room(length + value.len());
        let at = self.base.wrapping_add(self.bytes.len() as u32);
        self.append(name);
        self.bytes.extend_from_slice(value);
        self.evict(size);
        self.places.push_back(Place { at, name: length as u32, value: value.len() as u32, known });
        self.size += size;
        self.added = self.added.wrapping_add(1);
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.size = 0;
        self.gone = self.bytes.len();
    }

    fn append(&mut self, name: Name<'_>) {
        let name = match name {
            Name::Spelled(name) => name,
            Name::At(index) => match index.checked_sub(STATIC.len() + 1) {
                None => static_name(index as u8),
                Some(nth) => {
                    let place = self.places.len().checked_sub(nth + 1).and_then(|at| self.places.get(at));
                    let Some(place) = place else { return };
                    let from = place.at.wrapping_sub(self.base) as usize;
                    return self.bytes.extend_from_within(from..from + place.name as usize);
                }
            },
        };
        self.bytes.extend_from_slice(name);
    }

    /// The oldest go until there is room for `size`.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.max
            && let Some(place) = self.places.pop_front()
        {
            self.size -= place.size();
            self.gone += place.name as usize + place.value as usize;
        }
    }

    /// Room for `more` bytes behind the others. They are moved to the front once as many as they are have gone, so a byte
    /// is moved about once.
    fn make_room(&mut self, more: usize) {
        if self.bytes.len() + more <= self.bytes.capacity() {
            return;
        }
        self.bytes.copy_within(self.gone.., 0);
        self.bytes.truncate(self.bytes.len() - self.gone);
        self.base = self.base.wrapping_add(self.gone as u32);
        self.gone = 0;
        let wanted = (2 * (self.bytes.len() + more)).min(2 * self.max).max(256);
        if wanted > self.bytes.capacity() {
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests;
