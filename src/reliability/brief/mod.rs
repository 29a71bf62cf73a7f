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
mod people;
mod scene;
#[cfg(test)]
pub(crate) mod story;
mod words;

use serde::{Deserialize, Serialize};

pub use scene::{
    BreakerScene, ClientFault, Door, EndpointIs, EndpointScene, FailureScene, RouteScene, Scene,
    UpstreamScene,
};

use super::escalation::{Ahead, CallCause};
use super::incident::{Incident, State};
use super::rule::{Rule, Severity};
use crate::units::At;
use scene::SceneSubject;
use words::{capital, line, list, moment, part, share, span};

/// Whom a message is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Who is to act.
    #[default]
    Called,
    /// Who is to know.
    Stakeholders,
}

/// Why a message is written, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// For whom it is.
    pub audience: Audience,
    /// It calls somebody, for that reason; `None`: it tells of a change.
    pub call: Option<CallCause>,
    /// Who is called next; `None`: nobody, by itself.
    pub next: Option<Ahead>,
}

impl Occasion {
    fn calls_again(&self, incident: &Incident) -> bool {
        self.call == Some(CallCause::Again) && incident.state == State::Open
    }
}

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What was seen; to stakeholders: what it means.
    Evidence,
    /// What has been done.
    Done,
    /// What happens by itself.
    Next,
    /// Where to look.
    Look,
    /// How to take it.
    Acknowledge,
    /// A section of a newer version.
    #[serde(other)]
    Other,
}

impl Part {
    /// Its heading.
    pub fn title(self, audience: Audience) -> &'static str {
        match (self, audience) {
            (Self::Evidence, Audience::Called) => "What was seen",
            (Self::Evidence, Audience::Stakeholders) => "What it means",
            (Self::Done, Audience::Called) => "What Strop has done",
            (Self::Done, Audience::Stakeholders) => "What has been done",
            (Self::Next, _) => "What comes next",
            (Self::Look, _) => "What to look at",
            (Self::Acknowledge, _) => "How to take it",
            (Self::Other, _) => "More",
        }
    }

    /// As in JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Done => "done",
            Self::Next => "next",
            Self::Look => "look",
            Self::Acknowledge => "acknowledge",
            Self::Other => "other",
        }
    }
}

/// Some sentences under a heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What they are about.
    pub part: Part,
    /// Sentences.
    pub lines: Vec<String>,
    /// A line for a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brief {
    /// For whom.
    pub audience: Audience,
    /// How far the incident is, in a word or two: `open`, `taken by ann`. Empty: there is no incident (a test).
    pub status: String,
    /// What is the matter, without numbers that change: for subjects.
    pub title: String,
    /// The first line.
    pub lead: String,
    /// Names and values, the most important first.
    pub facts: Vec<(String, String)>,
    /// The rest, in the order in which it is read.
    pub sections: Vec<Section>,
}

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
        (Part::Evidence, evidence::sentences(incident, scene, about), None),
        (Part::Done, acts::done(incident, scene, about), None),
        (Part::Next, acts::next(incident, scene, about, occasion.next.as_ref()), None),
        (Part::Look, acts::look(incident, scene, about), None),
    ];
    let take = acts::acknowledge(incident, scene);
    let take = take.map(|(line, command)| (Part::Acknowledge, vec![line], Some(command)));
    let status = status(incident, scene.at);
    let again = occasion.calls_again(incident);
    Brief {
        audience: Audience::Called,
        status: if again { "still open".to_owned() } else { status },
        title: title(incident, scene),
        lead: lead(incident, scene, about, occasion),
        facts: evidence::facts(incident, scene, about),
        sections: filled(sections.into_iter().chain(take)),
    }
}

fn filled(all: impl Iterator<Item = (Part, Vec<String>, Option<String>)>) -> Vec<Section> {
    all.filter(|(_, lines, command)| !lines.is_empty() || command.is_some())
        .map(|(part, lines, command)| Section { part, lines, command })
        .collect()
}

/// A machine has no name of its own: it is the one of the sidecar that measured it.
fn title(incident: &Incident, scene: &Scene) -> String {
    let title = line(&incident.title);
    if incident.key.rule == Rule::Resource && !title.is_empty() && !scene.member.is_empty() {
        return format!("{title} on {}", line(&scene.member));
    }
    if title.is_empty() {
        format!("{} of {}", incident.key.rule.label(), incident.key.service)
    } else {
        title
    }
}

/// How far it is.
fn status(incident: &Incident, now: At) -> String {
    let by = incident.acknowledged_by.as_deref().map(line);
    match incident.state {
        State::Suspected => "suspected".to_owned(),
        State::Open => "open".to_owned(),
        State::Acknowledged => by.map_or_else(|| "taken".to_owned(), |by| format!("taken by {by}")),
        State::Mitigating => "being worked on".to_owned(),
        State::Monitoring => "good again, watched".to_owned(),
        State::Resolved => format!("resolved after {}", span(lasted(incident, now))),
        State::Reviewed => "reviewed".to_owned(),
        State::Cleared => "cleared".to_owned(),
    }
}

/// From the first bad event to the end of the condition, or until now.
fn lasted(incident: &Incident, now: At) -> std::time::Duration {
    incident.clocks.to_recover().unwrap_or_else(|| now.since(incident.clocks.began))
}

/// What fails, since when, how bad, for whom.
fn lead(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>, occasion: &Occasion) -> String {
    let (what, now) = (title(incident, scene), scene.at);
    let began = incident.clocks.began;
    let since = format!("since {} ({})", moment(began, now), span(now.since(began)));
    let severity = capital(incident.severity.label());
    let whom = whom(incident, about, now);
    let by = incident.acknowledged_by.as_deref().map_or_else(|| "somebody".to_owned(), line);
    match incident.state {
        State::Suspected => {
            format!("Suspected ({}): {what} {since}; {whom}.", incident.severity.label())
        }
        State::Open if occasion.calls_again(incident) => {
            format!("{severity}, and nobody has taken it: {what} {since}; {whom}.")
        }
        State::Open => format!("{severity}: {what} {since}; {whom}."),
        State::Acknowledged => format!("Taken by {by}. {severity}: {what} {since}; {whom}."),
        State::Mitigating => format!("Being worked on. {severity}: {what} {since}; {whom}."),
        State::Monitoring => {
            let good = incident.clocks.recovered.unwrap_or(now);
            format!("Good again since {}, still watched. {severity}: {what} {since}.", moment(good, now))
        }
        State::Resolved | State::Reviewed => {
            let end = incident.clocks.recovered.or(incident.clocks.closed).unwrap_or(now);
            let (from, to) = (moment(began, now), moment(end, now));
            let after = span(lasted(incident, now));
            format!("Resolved after {after} ({}): \"{what}\", {from} to {to}.", incident.severity.label())
        }
        State::Cleared => {
            let other = incident.part_of().map(|other| format!("Part of incident {other}"));
            let why = other.unwrap_or_else(|| "Never confirmed".to_owned());
            format!("{why}: {what}, suspected {since}.")
        }
    }
}

/// Since when nothing has been seen of what a live one is about.
fn unseen(incident: &Incident) -> Option<At> {
    incident.unseen_since.filter(|_| incident.state.is_live())
}

/// Whom it hits, as far as the traffic of the last minute shows.
fn whom(incident: &Incident, about: &SceneSubject<'_>, now: At) -> String {
    if let Some(since) = unseen(incident) {
        return format!("not seen since {}, so whether it still holds is not known", moment(since, now));
    }
    let (failed, total) = about.counts();
    let on = about.failing();
    let on = if on.is_empty() { String::new() } else { format!(", on {}", list(&on)) };
    let slow =
        (incident.key.rule == Rule::Latency).then(|| evidence::latest(incident, "slow_of_last_minute"));
    match (slow.flatten(), failed, total) {
        (Some(slow), ..) => format!("{} requests of the last minute were slower", line(slow)),
        _ if incident.is_drill() => "a drill: nobody is affected".to_owned(),
        (None, _, 0) if about.carries => {
            "no request was answered in the last minute, so who is affected is not known".to_owned()
        }
        (None, _, 0) => "who is affected is not measured".to_owned(),
        (None, 0, total) => format!("none of the last minute's {total} requests failed"),
        (None, failed, total) => {
            format!(
                "{} requests of the last minute failed ({}){on}",
                part(failed, total),
                share(failed, total)
            )
        }
    }
}

/// What a severity means.
fn meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical: something that everybody needs is out",
        Severity::High => "high: badly degraded, or partly out",
        Severity::Medium => "medium: some are disturbed",
        Severity::Low => "low: a warning; hardly anybody notices",
    }
}

#[cfg(test)]
mod tests;
