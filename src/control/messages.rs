//! What the engine wants told becomes messages.

use super::Control;
use super::notifier::Notification;
use super::wording::MessageWriter;
use crate::notify::MessageKind;
use crate::reliability::brief::Audience;
use crate::reliability::engine::Effect;
use crate::runtime::clock;

impl Control {
    /// What is to be told becomes messages, all of them with what is known at this moment.
    pub(super) fn notifications(&self, told: Vec<Effect>) -> Vec<Notification> {
        if told.is_empty() {
            return Vec::new();
        }
        let moment = clock::now();
        let written = MessageWriter {
            scene: self.wording.scene(moment, self.observer.at(moment), self.records.member()),
            policy: &self.engine.policy().escalation,
            clock: self.clock(moment),
            uptime: &self.uptime,
        };
        let mut notifications = Vec::new();
        for effect in told {
            match effect {
                Effect::Page(page) => {
                    notifications.extend(self.engine.incident(&page.incident).map(|incident| {
                        let message = written.message(
                            incident,
                            MessageKind::Trigger,
                            Audience::Called,
                            Some(page.cause),
                        );
                        let wait = self.runbooks.wait(&page.incident, moment.instant);
                        Notification::call(&page, message, wait)
                    }))
                }
                Effect::Update(notice) | Effect::ResolveNotice(notice) => {
                    if let Some(incident) = self.engine.incident(&notice.incident) {
                        let write = |kind, audience| written.message(incident, kind, audience, None);
                        notifications.extend(Notification::notices(&notice, incident, write));
                    }
                }
                Effect::Save(_) | Effect::SaveSilence(_) | Effect::Ledger(_) | Effect::Tell(_) => {}
            }
        }
        notifications
    }
}
