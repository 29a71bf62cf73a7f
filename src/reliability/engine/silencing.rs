//! Orders about silences and maintenance.

use super::command::named;
use super::room::{MOST_SILENCES, refuse};
use super::{Effect, Engine};
use crate::reliability::incident::Refused;
use crate::reliability::silence::Silence;
use crate::units::At;

/// An order about a silence or maintenance.
#[derive(Clone, Debug, PartialEq)]
pub enum SilenceCommand {
    /// Hold calls back for a while.
    Begin(Silence),
    /// End one before its time.
    End {
        /// The number that the engine gave the silence.
        number: u64,
        actor: String,
    },
}

impl Engine {
    /// One order, at once, and the silence as it is then. What it changed is in the effects; there are none when it was refused.
    pub fn silence(&mut self, command: SilenceCommand, now: At) -> (Result<Silence, Refused>, Vec<Effect>) {
        let now = now.max(self.clock.now);
        self.clock.now = now;
        let done = match command {
            SilenceCommand::Begin(silence) => self.begin_silence(silence, now),
            SilenceCommand::End { number, actor } => self.end_silence(number, &actor, now),
        };
        if let Ok(silence) = &done {
            self.changed.before.push(Effect::SaveSilence(silence.clone()));
        }
        (done, self.effects())
    }

    fn begin_silence(&mut self, mut silence: Silence, now: At) -> Result<Silence, Refused> {
        refuse(self.silences.len() >= MOST_SILENCES, MOST_SILENCES, "silences")?;
        named(&silence.actor)?;
        silence.check(now)?;
        silence.number = self.next_silence(now);
        self.silences.push(silence.clone());
        Ok(silence)
    }

    fn end_silence(&mut self, number: u64, actor: &str, now: At) -> Result<Silence, Refused> {
        named(actor)?;
        let place = self.silences.iter().position(|silence| silence.number == number);
        let mut silence = self.silences.remove(place.ok_or(Refused::NoSuchSilence)?);
        silence.until = now;
        Ok(silence)
    }
}
