//! The bytes of a head, and where its fields are.
//!
//! Blocks come from, and go back to, their thread's shelf. Invariant: every [`ByteSpan`] of a store
//! lies within its bytes.

use std::cell::RefCell;
use std::time::Duration;

use super::account::Charge;
use super::known::{HOP_BY_HOP, Known};

/// A piece of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSpan {
    /// Offset of the first byte.
    pub at: u32,
    pub len: u32,
}

impl ByteSpan {
    /// The piece from `at` to before `end`.
    pub fn new(at: usize, end: usize) -> Self {
        debug_assert!(at <= end && u32::try_from(end).is_ok());
        Self { at: at as u32, len: (end - at) as u32 }
    }

    /// The piece of `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.at as usize..(self.at + self.len) as usize).unwrap_or_default()
    }
}

/// One field line of a head, by where its parts lie.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name as it came.
    pub name: ByteSpan,
    /// The value without surrounding blanks.
    pub value: ByteSpan,
    /// Which one it is.
    pub known: Known,
    /// Not to be forwarded: hop-by-hop by name, or nominated by `Connection`.
    pub hop: bool,
    /// No hop may keep it in a table (RFC 7541 section 6.2.3).
    pub sensitive: bool,
}

/// The bytes of a head and where its fields are. Blocks come from, and go back to, their thread's shelf.
#[derive(Debug, Default)]
pub struct HeadStore {
    /// The head as it came, with its last empty line.
    pub bytes: Vec<u8>,
    /// In the order of the bytes.
    pub fields: Vec<Field>,
    charge: Charge,
}

/// Heads kept per thread.
const SHELF: usize = 256;
/// A head that grew beyond this is not kept.
const KEEP: usize = 8 * 1024;

thread_local! {
    static SHELVES: RefCell<Vec<(Vec<u8>, Vec<Field>)>> = const { RefCell::new(Vec::new()) };
}

impl Drop for HeadStore {
    fn drop(&mut self) {
        if self.bytes.capacity() == 0 || self.bytes.capacity() > KEEP {
            return;
        }
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        let _ = SHELVES.try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            if shelf.len() < SHELF {
                shelf.push((bytes, fields));
            }
        });
    }
}

impl HeadStore {
    /// An empty one, from the shelf when there is one.
    pub fn take() -> Self {
        let kept = SHELVES.try_with(|shelf| shelf.borrow_mut().pop()).ok().flatten();
        let (bytes, fields) = kept.unwrap_or_default();
        Self { bytes, fields, charge: Charge::default() }
    }

    /// The head is there: what it takes beyond an ordinary one counts from now on.
    pub(in crate::message) fn count(&mut self) {
        let bytes = self.bytes.capacity();
        self.charge.set(if bytes > KEEP { bytes } else { 0 });
    }

    /// The piece as text; empty when it is not UTF-8.
    pub fn text(&self, span: ByteSpan) -> &str {
        std::str::from_utf8(span.of(&self.bytes)).unwrap_or_default()
    }

    /// The first value of a known field.
    pub fn known(&self, known: Known) -> Option<&[u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of(&self.bytes))
    }

    /// All values of a known field, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.known == known).map(|field| field.value.of(&self.bytes))
    }

    /// The first value of the field `name`, in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.named(name.as_bytes()).next().map(|field| field.value.of(&self.bytes))
    }

    /// All field lines of the name `name`, in any case.
    pub fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.name.of(&self.bytes).eq_ignore_ascii_case(name))
    }

    /// Does the list of `known` hold `token`, in any case?
    pub fn lists(&self, known: Known, token: &str) -> bool {
        self.all(known)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Adds one field line and notes where it is.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_as(name, value, Known::of(name));
    }

    /// Adds `Retry-After`, rounded up: coming back too early only costs another refusal.
    pub fn push_retry_after(&mut self, wait: Duration) {
        self.push(b"retry-after", wait.as_millis().div_ceil(1_000).max(1).to_string().as_bytes());
    }

    /// The same, of a field that is `known` by its name.
    pub(super) fn push_as(&mut self, name: &[u8], value: &[u8], known: Known) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let value_at = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        self.fields.push(Field {
            name: ByteSpan::new(at, at + name.len()),
            value: ByteSpan::new(value_at, end),
            known,
            hop: HOP_BY_HOP.has(known),
            sensitive: false,
        });
    }

    /// Adds one field line to a head that is there in whole.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.truncate(self.bytes.len().saturating_sub(2));
        self.push(name, value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Marks the fields that `Connection` nominates as not to be forwarded (RFC 9110 section 7.6.1).
    pub fn mark_nominated(&mut self) {
        let Self { bytes, fields, .. } = self;
        for at in 0..fields.len() {
            let Some(connection) = fields.get(at).filter(|field| field.known == Known::Connection).copied()
            else {
                continue;
            };
            for token in connection.value.of(bytes).split(|b| *b == b',') {
                let token = token.trim_ascii();
                if token.is_empty()
                    || token.eq_ignore_ascii_case(b"close")
                    || token.eq_ignore_ascii_case(b"keep-alive")
                {
                    continue;
                }
                for field in fields.iter_mut() {
                    field.hop |= field.name.of(bytes).eq_ignore_ascii_case(token);
                }
            }
        }
    }

    /// Copies the lines of all fields that `keep` agrees to, as verbatim runs.
    pub fn copy_lines(&self, out: &mut Vec<u8>, keep: impl Fn(&Field) -> bool) {
        let mut run: Option<usize> = None;
        for field in &self.fields {
            let at = field.name.at as usize;
            match (keep(field), run) {
                (true, None) => run = Some(at),
                (false, Some(from)) => {
                    out.extend_from_slice(self.bytes.get(from..at).unwrap_or_default());
                    run = None;
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        if let Some(from) = run {
            // Up to the empty line that ends the head.
            let end = self.bytes.len().saturating_sub(2);
            out.extend_from_slice(self.bytes.get(from..end).unwrap_or_default());
        }
    }
}
