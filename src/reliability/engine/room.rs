//! Is there room for what a person orders? What Strop finds by itself is never refused.

use super::{Command, Engine};
use crate::reliability::incident::{HumanText, Incident, Refused};

/// Live incidents above which nobody opens another one by hand.
pub const MOST_LIVE: usize = 1_000;
/// Silences that last or are to come, at most: each look asks all of them.
pub const MOST_SILENCES: usize = 1_000;
/// Bytes that people may have written on all incidents at hand.
pub const MOST_WRITTEN: usize = 16 << 20;

/// What an order adds.
enum Adds {
    /// Nothing, or what is taken in any case.
    Nothing,
    /// A line of people.
    Line(HumanText),
    /// Texts that come once, however full the incident is.
    Once(HumanText),
}

impl Engine {
    /// Why an order is refused that would make too much of something.
    pub(super) fn room(&mut self, command: &Command) -> Result<(), Refused> {
        match command {
            Command::Open { .. } => {
                let live = self.incidents.values().filter(|one| one.state.is_live()).count();
                refuse(live >= MOST_LIVE, MOST_LIVE, "incidents that are not over")?;
            }
            Command::Ack { .. }
            | Command::Note { .. }
            | Command::Assign { .. }
            | Command::Rate { .. }
            | Command::Act { .. }
            | Command::Acted { .. }
            | Command::Evidence { .. }
            | Command::Checked { .. }
            | Command::Escalate { .. }
            | Command::Resolve { .. }
            | Command::Review { .. }
            | Command::Delivered { .. } => {}
        }
        let concerned = if let Command::Acted { service, .. } = command {
            self.concerned(service)
        } else {
            command.incident().cloned()
        };
        let incident = concerned.and_then(|id| self.incidents.get(&id));
        let line = match adds(command, incident) {
            Adds::Nothing => return Ok(()),
            Adds::Line(line) if incident.is_some_and(|one| !one.takes(line)) => return Err(Refused::Full),
            Adds::Line(line) | Adds::Once(line) => line,
        };
        let all = self.sizes.total(self.incidents.values());
        refuse(
            all + line.bytes > MOST_WRITTEN,
            MOST_WRITTEN,
            "bytes of notes on the incidents of the last day",
        )
    }
}

pub(super) fn refuse(over: bool, most: usize, what: &'static str) -> Result<(), Refused> {
    if over { Err(Refused::TooMany { most, what }) } else { Ok(()) }
}

fn adds(command: &Command, incident: Option<&Incident>) -> Adds {
    let line = |texts: &[&str]| Adds::Line(HumanText::line(texts.iter().map(|text| text.len()).sum()));
    match command {
        Command::Open { actor, title, service, .. } => {
            Adds::Once(HumanText::line(actor.len() + 2 * title.len() + service.len()))
        }
        // The first one ends the calls.
        Command::Ack { actor, .. } if incident.is_some_and(|one| one.clocks.acknowledged.is_some()) => {
            line(&[actor, actor])
        }
        Command::Note { actor, text: what, .. } | Command::Acted { actor, what, .. } => line(&[actor, what]),
        Command::Assign { actor, to, .. } => line(&[actor, actor, to]),
        Command::Rate { actor, reason, severity, .. }
            if incident.is_some_and(|one| one.severity != *severity) =>
        {
            line(&[actor, reason])
        }
        Command::Checked { actor: Some(actor), runbook, found, .. } => {
            let found = found.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
            line(&found.chain([actor.as_str(), runbook]).collect::<Vec<_>>())
        }
        Command::Review { review, actor, .. } => Adds::Once(HumanText::line(review.size() + 2 * actor.len())),
        Command::Ack { .. }
        | Command::Rate { .. }
        | Command::Act { .. }
        | Command::Evidence { .. }
        | Command::Checked { actor: None, .. }
        | Command::Escalate { .. }
        | Command::Resolve { .. }
        | Command::Delivered { .. } => Adds::Nothing,
    }
}
