//! What a message about an incident says, for whom it is, whatever carries it.
//!
//! A function of the incident and of what is known around it. Who is called reads one line that says what fails, since when, how
//! bad and for whom, then the evidence, what was done, what comes next, where to look and how to take it. Stakeholders read what
//! the trouble means to them and that somebody has it. How a channel writes it is the channel's.
//!
//! # Invariants
//! * What was not observed is said to be unknown, or not said; it is never zero.
//! * Each line is one line, whatever the texts hold that it is made of.

mod acts;
mod evidence;
mod lead;
mod parts;
mod people;
mod runbook;
mod scene;
mod sentence;
mod state;
#[cfg(test)]
pub(crate) mod story;
mod words;

pub use parts::{Audience, Brief, Occasion, Part, Section, Ways};
pub use scene::{
    BreakerScene, ClientFault, Door, EndpointIs, EndpointScene, FailureScene, ResourceScene, RouteScene,
    Scene, UpstreamScene, VendorScene,
};

pub use sentence::{rank, sentence};
pub use state::contacts;
pub use words::bound;

use super::incident::Incident;
use parts::filled;
use scene::SceneSubject;
use state::{is_well, status};

impl Brief {
    /// What a message about `incident` says on that occasion.
    pub fn of(incident: &Incident, scene: &Scene, occasion: &Occasion) -> Self {
        let about = SceneSubject::of(incident, scene);
        let brief = match occasion.audience {
            Audience::Called => called(incident, scene, &about, occasion),
            Audience::Stakeholders => people::brief(incident, scene, &about),
        };
        debug_assert!(
            brief.sections.iter().all(|section| section.lines.iter().all(|line| !line.contains('\n')))
        );
        brief
    }
}

fn called(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>, occasion: &Occasion) -> Brief {
    let sections = [
        (Part::Evidence, evidence::sentences(incident, scene, about, occasion.in_all), None),
        (Part::Runbook, runbook::sentences(incident), None),
        (Part::Done, acts::done(incident, scene, about), None),
        (Part::Next, acts::next(incident, scene, about, occasion.next.as_ref()), None),
        (Part::Look, acts::look(incident, scene, about), None),
    ];
    let take = acts::acknowledge(incident, scene);
    let door = &scene.door;
    let ways = Ways {
        pagerduty: door.hears_pagerduty && take.is_some(),
        slack: door.hears_slack && take.is_some(),
        browser: door.public && door.token_file.is_none(),
    };
    let take = take.map(|(lines, command)| (Part::Acknowledge, lines, Some(command)));
    let status = status(incident, scene.at);
    let again = occasion.calls_again(incident);
    Brief {
        audience: Audience::Called,
        status: if again { "still open".to_owned() } else { status },
        title: lead::title(incident, scene),
        headline: lead::headline(incident, scene, again),
        lead: lead::lead(incident, scene, about, occasion),
        facts: evidence::facts(incident, scene, about),
        sections: filled(sections.into_iter().chain(take)),
        ways,
        well: Some(is_well(incident)),
    }
}

#[cfg(test)]
mod tests;
