//! Which message of a line comes before which, and which says all that another one says.

use std::collections::BTreeMap;

use super::{DeliveryState, Matter, QueueEntry};

impl QueueEntry<'_> {
    /// Orders what several processes have told: they come as they are due, and once one has failed that is another order. Of one
    /// incident the end is the last, whatever the clocks of two members say.
    pub fn place(&self) -> (&str, bool, u64) {
        (self.incident, self.matter == Matter::Over, self.at)
    }

    pub(super) fn is_active(&self) -> bool {
        self.progress.state.is_active()
    }

    /// An order of all messages that every process has, whatever its clock and its queue: of one incident first the calls by their
    /// numbers, then that it is taken, then its end.
    pub(super) fn rank(&self) -> (&str, Matter, (usize, &str)) {
        (self.incident, self.matter, self.id.rank())
    }

    /// Was it told before `behind`, which is behind it in this queue? In the queue of another process the two may stand the other
    /// way round: then each would be folded into the other one, and neither be sent. What only informs may go by its moment.
    fn is_told_before(&self, behind: &Self) -> bool {
        match (self.progress.state, self.matter) {
            // It gives way to what was delivered.
            (DeliveryState::Repeating, _) => true,
            (_, Matter::Update) => self.place() <= behind.place(),
            (_, Matter::Call | Matter::Taken | Matter::Over) => self.rank() < behind.rank(),
        }
    }

    /// Does a later message of its line say all that it says?
    fn is_replaced_by(&self, later: &Self) -> bool {
        match (self.progress.state, self.matter, later.matter) {
            (DeliveryState::Repeating, ..) => later.progress.delivered > 0,
            (DeliveryState::Waiting, Matter::Update, _) => true,
            (
                DeliveryState::Waiting,
                Matter::Call | Matter::Taken,
                Matter::Call | Matter::Taken | Matter::Over,
            ) => true,
            // In one line only where the receiver knows both by one key: it has come back.
            (DeliveryState::Waiting, Matter::Over, Matter::Call | Matter::Over) => true,
            (DeliveryState::Waiting, Matter::Call | Matter::Taken | Matter::Over, Matter::Update)
            | (DeliveryState::Waiting, Matter::Over, Matter::Taken)
            | (
                DeliveryState::Sent | DeliveryState::Failed | DeliveryState::Dead | DeliveryState::Folded,
                ..,
            ) => false,
        }
    }

    /// Is it an end of which `other`, wherever it stands, has told or will tell? Two members may each tell the end of one incident.
    fn is_said_by(&self, other: &Self) -> bool {
        let ends = self.matter == Matter::Over && other.matter == Matter::Over;
        let told = !matches!(other.progress.state, DeliveryState::Failed | DeliveryState::Dead);
        let waits = self.progress.state == DeliveryState::Waiting;
        ends && told && waits && self.incident == other.incident && self.rank() < other.rank()
    }
}

/// Where a message that another process has left goes among `entries`: behind those of its line that were told before it, else
/// before all. Of what is left, what was told first is put first, see [`QueueEntry::place`].
pub fn slot(entries: &[QueueEntry<'_>], left: &QueueEntry<'_>) -> usize {
    let before = |one: &QueueEntry<'_>| {
        (one.channel, one.line) == (left.channel, left.line) && one.place() <= left.place()
    };
    entries.iter().rposition(before).map_or(0, |at| at + 1)
}

pub(super) type QueueLines<'e> = BTreeMap<(&'e str, &'e str), Vec<usize>>;

/// The places of the messages of each line, in their order.
pub(super) fn lines<'e>(entries: &[QueueEntry<'e>]) -> QueueLines<'e> {
    let mut lines: QueueLines<'e> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        lines.entry((entry.channel, entry.line)).or_default().push(at);
    }
    lines
}

/// The places of those that need not be sent any more. `entries` are in the order in which they were queued.
pub fn stale(entries: &[QueueEntry<'_>]) -> Vec<usize> {
    let mut stale = Vec::new();
    for line in lines(entries).values() {
        let all: Vec<(usize, &QueueEntry<'_>)> =
            line.iter().filter_map(|at| Some((*at, entries.get(*at)?))).collect();
        for (nth, (at, entry)) in all.iter().enumerate() {
            let mut behind = all[nth + 1..].iter().map(|(_, behind)| behind);
            let said = behind.any(|behind| entry.is_replaced_by(behind) && entry.is_told_before(behind))
                || all.iter().any(|(_, other)| entry.is_said_by(other));
            if !entry.flies && entry.is_active() && said {
                stale.push(*at);
            }
        }
    }
    stale
}
