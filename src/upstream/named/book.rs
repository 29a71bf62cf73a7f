//! Which name an operation of the application has, and for how long it keeps it.
//!
//! A name is made of method and path, so that it is the same after a restart, and it stays with its operation for as long as its
//! slot does: while the operation is there, and for an hour after it has gone. Then the slot is given back.
//!
//! Invariants: no two slots have one name, none has a name that the config has given, there are at most [`MOST_SLOTS`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::document::{DocumentedOperation, MOST_OPERATIONS};
use super::table::NamedOperation;
use crate::config::route_letters;
use crate::names::RouteName;
use crate::reliability::party::Party;

/// Names that are in force, and those whose history is kept.
const MOST_SLOTS: usize = 2 * MOST_OPERATIONS;
/// How long the history of a name is kept that has gone.
const KEPT: Duration = Duration::from_secs(3_600);
/// The longest name.
const LONGEST: usize = 63;

/// A name that is given.
#[derive(Clone, Debug)]
struct NameSlot {
    name: RouteName,
    /// Since when its operation is not there; `None`: it is.
    gone: Option<Instant>,
}

/// All names that are given.
#[derive(Default)]
pub(super) struct NameBook {
    slots: BTreeMap<DocumentedOperation, NameSlot>,
}

impl NameBook {
    /// The names of these operations, and of none else from now on. `taken`: the names that the config gives. How many got none.
    pub(super) fn adopt(
        &mut self,
        wanted: &[DocumentedOperation],
        taken: &BTreeSet<String>,
        now: Instant,
    ) -> (Vec<NamedOperation>, usize) {
        let there: BTreeSet<&DocumentedOperation> = wanted.iter().collect();
        for (operation, slot) in &mut self.slots {
            if !there.contains(operation) {
                slot.gone.get_or_insert(now);
            }
        }
        self.slots.retain(|_, slot| !taken.contains(slot.name.as_str()));
        let mut used: BTreeSet<String> = taken.clone();
        used.extend(self.slots.values().map(|slot| slot.name.as_str().to_owned()));
        let mut named = Vec::with_capacity(wanted.len());
        for operation in wanted {
            if let Some(slot) = self.slots.get_mut(operation) {
                slot.gone = None;
                named.push(NamedOperation::new(operation, &slot.name));
            } else if let Some(name) = free(operation, &used).filter(|_| self.slots.len() < MOST_SLOTS) {
                used.insert(name.as_str().to_owned());
                named.push(NamedOperation::new(operation, &name));
                self.slots.insert(operation.clone(), NameSlot { name, gone: None });
            }
        }
        let without = wanted.len() - named.len();
        (named, without)
    }

    /// Names whose operation has gone an hour ago; their slots are given back.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<RouteName> {
        let over =
            |slot: &NameSlot| slot.gone.is_some_and(|gone| now.saturating_duration_since(gone) >= KEPT);
        let names = self.slots.values().filter(|slot| over(slot)).map(|slot| slot.name.clone()).collect();
        self.slots.retain(|_, slot| !over(slot));
        names
    }

    /// Operations that have gone, their names, and since when.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&DocumentedOperation, &RouteName, Instant)> {
        self.slots.iter().filter_map(|(operation, slot)| Some((operation, &slot.name, slot.gone?)))
    }
}

/// When the history of a name is forgotten that has gone then.
pub(super) fn kept_until(gone: Instant) -> Instant {
    gone + KEPT
}

/// A name that nobody has: of method and path, with a fingerprint of both where that is taken or too long.
fn free(operation: &DocumentedOperation, used: &BTreeSet<String>) -> Option<RouteName> {
    let DocumentedOperation { method, template } = operation;
    let letters = route_letters(template);
    let path = if letters.is_empty() { "root" } else { &letters };
    let plain = format!("{}_{path}", method.label().to_ascii_lowercase());
    let print = Party::named(&operation.label());
    let cut = plain.get(..plain.len().min(LONGEST - 9)).unwrap_or(&plain);
    let printed = format!("{cut}_{print:08x}");
    let free = |name: &&String| !used.contains(*name);
    [plain, printed].iter().filter(free).find_map(|name| RouteName::new(name).ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::head::Method;

    fn operation(method: Method, template: &str) -> DocumentedOperation {
        DocumentedOperation { method, template: Arc::from(template) }
    }

    fn names(named: &[NamedOperation]) -> Vec<&str> {
        named.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn a_name_is_made_of_method_and_path_and_no_two_are_alike() {
        let all = [
            operation(Method::Get, "/"),
            operation(Method::Get, "/bookings/{id}"),
            operation(Method::Delete, "/bookings/{id}"),
            operation(Method::Get, "/bookings/{id}/"),
            operation(Method::Post, "/Files/a.b-c"),
            operation(Method::Get, &format!("/{}", "a".repeat(80))),
            operation(Method::Put, "/taken"),
        ];
        let taken = ["put_taken".to_owned()].into();
        let (named, without) = NameBook::default().adopt(&all, &taken, Instant::now());
        let got = names(&named);
        assert_eq!(got[..3], ["get_root", "get_bookings_id", "delete_bookings_id"]);
        assert!(got[3].starts_with("get_bookings_id_") && got[3].len() == 24, "{got:?}");
        assert_eq!(got[4], "post_files_a_b-c");
        assert_eq!(got[5].len(), LONGEST);
        assert!(got[6].starts_with("put_taken_"), "{got:?}");
        assert_eq!((without, got.iter().collect::<BTreeSet<_>>().len()), (0, all.len()));
    }

    #[test]
    fn a_name_that_goes_is_kept_for_an_hour_and_is_the_same_when_it_comes_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (one, other) = (operation(Method::Get, "/a/"), operation(Method::Get, "/a"));
        let mut book = NameBook::default();
        let none = BTreeSet::new();
        let both = [one.clone(), other.clone()];
        let before = book.adopt(&both, &none, start).0;
        book.adopt(std::slice::from_ref(&other), &none, at(10));
        assert!(book.expired(at(3_609)).is_empty());
        assert_eq!(
            book.gone().map(|(_, name, since)| (name.as_str(), since)).collect::<Vec<_>>(),
            [("get_a", at(10))]
        );
        let back = book.adopt(&both, &none, at(3_609)).0;
        assert_eq!(names(&back), names(&before));
        book.adopt(&[], &none, at(4_000));
        book.adopt(&[], &none, at(5_000));
        assert_eq!(book.expired(at(7_600)).len(), 2, "since it went, not since it was last missed");
        assert!(book.slots.is_empty());
    }

    #[test]
    fn slots_are_bounded_and_what_finds_none_has_no_name() {
        let many = |from: usize| -> Vec<_> {
            (from..from + MOST_OPERATIONS).map(|nth| operation(Method::Get, &format!("/{nth}"))).collect()
        };
        let (start, none) = (Instant::now(), BTreeSet::new());
        let mut book = NameBook::default();
        assert_eq!(book.adopt(&many(0), &none, start).1, 0);
        assert_eq!(book.adopt(&many(1_000), &none, start).1, 0);
        let (named, without) = book.adopt(&many(2_000), &none, start);
        assert_eq!((named.len(), without, book.slots.len()), (0, MOST_OPERATIONS, MOST_SLOTS));
        book.expired(start + KEPT);
        assert_eq!(book.adopt(&many(2_000), &none, start + KEPT).1, 0);
    }
}
