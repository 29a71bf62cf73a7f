//! What a member does with messages: queues, sends, writes, and tells its engine what became of calls.

use std::collections::BTreeSet;

use strop::reliability::delivery::{AttemptResult, Matter, NotificationId, Progress};
use strop::reliability::engine::{Command, Notice, NoticeKind, Page};
use strop::reliability::escalation::Arrived;

use super::letters::Letter;
use super::member::{Called, Member};
use super::store::Write;
use crate::dice::Dice;

impl Member {
    pub(super) fn call(&mut self, page: Page, group: &mut Vec<Write>, t: u64) {
        let incident =
            self.engine.incident(&page.incident).expect("a call is about an incident at hand").clone();
        let letter = Letter {
            id: NotificationId::of_call(&page),
            channel: page.channel.clone(),
            incident: page.incident.clone(),
            dedup: page.dedup.clone(),
            matter: Matter::Call,
            severity: page.severity,
            call: Some(page.number),
            at: page.at.0 as u64,
            progress: Progress::new(self.millis(t)),
            flies: false,
        };
        self.queue(letter, group);
        let now = self.at(t);
        let silenced =
            self.engine.silences().iter().any(|one| one.covers(&incident.key, incident.severity, now));
        self.calls.push(Called { page, incident, duty: self.duty(t), silenced });
    }

    pub(super) fn notify(&mut self, notice: &Notice, group: &mut Vec<Write>, t: u64) {
        let version = self.engine.incident(&notice.incident).map_or(0, |one| one.version);
        let channels: BTreeSet<&String> = notice.to.iter().map(|(_, channel)| channel).collect();
        for channel in channels {
            let letter = Letter {
                id: NotificationId::of_notice(notice, version, channel),
                channel: channel.clone(),
                incident: notice.incident.clone(),
                dedup: notice.dedup.clone(),
                matter: match notice.news {
                    NoticeKind::State | NoticeKind::Severity => Matter::Update,
                    NoticeKind::Taken => Matter::Taken,
                    NoticeKind::Over => Matter::Over,
                },
                severity: notice.severity,
                call: None,
                at: notice.at.0 as u64,
                progress: Progress::new(self.millis(t)),
                flies: false,
            };
            self.queue(letter, group);
        }
    }

    fn queue(&mut self, letter: Letter, group: &mut Vec<Write>) {
        group.push(Write::Letter(Box::new(letter.clone())));
        self.letters.push(letter);
    }

    /// What is to be sent now.
    pub fn round(&mut self, t: u64) -> Vec<Letter> {
        if !self.acts() {
            return Vec::new();
        }
        let round = self.letters.round(self.millis(t));
        for row in round.rows {
            self.write(row);
        }
        for letter in &round.closed {
            self.report(letter, Arrived::No, t);
        }
        round.due
    }

    pub fn landed(&mut self, sent: Letter, came: &AttemptResult, t: u64, dice: &mut Dice) {
        let new = sent.progress.delivered == 0;
        let letter = self.letters.landed(sent, came, self.millis(t), dice.draw());
        match came {
            AttemptResult::Delivered { .. } if new => self.report(&letter, Arrived::Yes, t),
            AttemptResult::Refused | AttemptResult::Failed { .. } if !letter.progress.state.is_active() => {
                self.report(&letter, Arrived::No, t);
            }
            AttemptResult::Delivered { .. } | AttemptResult::Refused | AttemptResult::Failed { .. } => {
                self.write(letter)
            }
        }
    }

    fn write(&mut self, letter: Letter) {
        self.lane.push_back(vec![Write::Letter(Box::new(letter))]);
    }

    fn report(&mut self, letter: &Letter, arrived: Arrived, t: u64) {
        let row = Write::Letter(Box::new(letter.clone()));
        let Some(number) = letter.call else { return self.lane.push_back(vec![row]) };
        let (id, detail) = (letter.incident.clone(), letter.channel.clone());
        let told = self.order_with(Command::Delivered { id, number, arrived, detail }, vec![row], t);
        if told.is_err() {
            self.unheard.insert(letter.id.clone());
        }
    }

    /// What others have left undelivered.
    pub fn find(&mut self, left: Vec<Letter>, t: u64) {
        if self.acts() {
            let now = self.millis(t);
            self.letters.put_before(left, now);
        }
    }
}
