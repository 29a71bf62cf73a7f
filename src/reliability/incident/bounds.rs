//! How much people may write on an incident.
//!
//! What Strop finds is always recorded; what a person writes is refused above these bounds, and the refusal says so.
//! The first acknowledgement, the end and the review are taken in any case: each comes once, and an incident that is
//! full must still end.

use super::{Actor, Entry, Incident};

/// Lines of people on one timeline.
pub const LINES: usize = 1_000;
/// Bytes of these lines.
pub const BYTES: usize = 512 * 1024;
/// What a line costs beside its texts: its number, moment, kind and the allocations.
const LINE: usize = 96;

/// Lines of people, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HumanText {
    /// How many lines people have written.
    pub lines: usize,
    /// Bytes that these lines take in memory.
    pub bytes: usize,
}

impl HumanText {
    /// One line of so many bytes of text.
    pub fn line(text: usize) -> Self {
        Self { lines: 1, bytes: text + LINE }
    }

    /// The lines and bytes of both together.
    pub fn plus(self, other: Self) -> Self {
        Self { lines: self.lines + other.lines, bytes: self.bytes + other.bytes }
    }
}

fn of(entry: &Entry) -> Option<HumanText> {
    match &entry.actor {
        Actor::Named(name) => Some(HumanText::line(name.len() + entry.text.len())),
        Actor::Engine => None,
    }
}

impl Incident {
    /// What people have written on it: its timeline, its review.
    pub fn written(&self) -> HumanText {
        let lines = self.timeline.iter().filter_map(of).fold(HumanText::default(), HumanText::plus);
        let review = self.review.as_ref().map_or(0, super::Review::size);
        HumanText { bytes: lines.bytes + review, ..lines }
    }

    /// Is there room for one more line?
    pub fn takes(&self, line: HumanText) -> bool {
        let all = self.written().plus(line);
        all.lines <= LINES && all.bytes <= BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IncidentId;
    use crate::reliability::incident::{Beginning, EntryKind};
    use crate::reliability::rule::{AlertKey, Rule, Severity};
    use crate::units::At;

    fn open() -> Incident {
        let (key, began) = (AlertKey::of(Rule::Manual, "test", ""), At(1_000));
        let (title, severity) = ("a test".to_owned(), Severity::Low);
        let beginning = Beginning { id: IncidentId::of(0, 1), key, title, severity, began, earlier: None };
        Incident::suspected(beginning, began)
    }

    #[test]
    fn a_thousand_lines_of_people_are_taken_and_what_strop_tells_is_not_counted() {
        let mut one = open();
        let before = one.written();
        let ann = || Actor::Named("ann".to_owned());
        for n in 0..LINES {
            assert!(one.takes(HumanText::line(4)), "line {n}");
            one.tell(At(20_000), ann(), EntryKind::Note, "x".to_owned(), Vec::new());
            one.tell(At(20_000), Actor::Engine, EntryKind::Page, "calling ann".to_owned(), Vec::new());
        }
        assert_eq!(one.written().lines, before.lines + LINES);
        assert!(!one.takes(HumanText::line(4)));
    }

    #[test]
    fn few_long_lines_are_as_much_as_many_short_ones() {
        let mut one = open();
        let text = "x".repeat(10_000);
        while one.takes(HumanText::line(text.len() + 3)) {
            one.tell(At(20_000), Actor::Named("ann".to_owned()), EntryKind::Note, text.clone(), Vec::new());
        }
        assert_eq!(one.written().lines, 51);
        assert!(one.written().bytes <= BYTES);
        assert!(one.takes(HumanText::line(4)), "a short one still fits");
    }
}
