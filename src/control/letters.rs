//! What the desk wants told becomes letters.

use super::{Control, post, wording};
use crate::notify::Kind;
use crate::reliability::brief::Audience;
use crate::reliability::desk::Effect;
use crate::runtime::clock;

impl Control {
    /// What is to be told becomes messages, all of them with what is known at this moment.
    pub(super) fn letters(&self, told: Vec<Effect>) -> Vec<post::Letter> {
        if told.is_empty() {
            return Vec::new();
        }
        let moment = clock::now();
        let written = wording::Written {
            scene: self.wording.scene(moment, self.observer.at(moment), self.records.member()),
            policy: &self.desk.policy().escalation,
            clock: self.clock(moment),
        };
        let mut letters = Vec::new();
        for effect in told {
            let notice = match effect {
                Effect::Page(page) => {
                    letters.extend(self.desk.incident(&page.incident).map(|incident| {
                        let message =
                            written.message(incident, Kind::Trigger, Audience::Called, Some(page.cause));
                        post::Letter::call(&page, incident, message)
                    }));
                    continue;
                }
                Effect::Update(notice) | Effect::ResolveNotice(notice) => notice,
                Effect::Save(_) | Effect::SaveSilence(_) | Effect::Ledger(_) | Effect::Tell(_) => continue,
            };
            if let Some(incident) = self.desk.incident(&notice.incident) {
                let write = |kind, audience| written.message(incident, kind, audience, None);
                letters.extend(post::Letter::notices(&notice, incident, write));
            }
        }
        letters
    }
}
