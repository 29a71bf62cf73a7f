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
mod people;
mod scene;
#[cfg(test)]
pub(crate) mod story;
mod words;

use serde::{Deserialize, Serialize};

pub use scene::{
    BreakerScene, ClientFault, Door, EndpointIs, EndpointScene, FailureScene, ResourceScene, RouteScene,
    Scene, UpstreamScene,
};

pub use words::bound;

use super::escalation::{Ahead, CallCause};
use super::incident::{Incident, State};
use super::rule::{Rule, Severity};
use crate::units::At;
use scene::SceneSubject;
use words::{line, percent, span};

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
    /// Of what is over: the requests that failed, and all, of the minutes in which it lasted, as this sidecar
    /// counted; `None`: not counted.
    pub in_all: Option<(u64, u64)>,
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
    /// Where a person looks next.
    Look,
    /// How to take it.
    Acknowledge,
    /// A section of a newer version.
    #[serde(other)]
    Other,
}

impl Part {
    /// The heading that people read.
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

    /// The word that stands for it in JSON.
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
    /// Sentences. What is to be typed stands between backticks.
    pub lines: Vec<String>,
    /// A line for a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What a reader can do with a click, wherever the message is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ways {
    /// Who acknowledges it in PagerDuty has taken it.
    pub pagerduty: bool,
    /// Who presses the button in Slack has taken it.
    pub slack: bool,
    /// The link opens in a browser: it leads out of the pod, and no token is asked for.
    pub browser: bool,
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brief {
    pub audience: Audience,
    /// How far the incident is, in a word or two: `open`, `taken by ann`. Empty: there is no incident (a test).
    pub status: String,
    /// What is the matter, without numbers that change.
    pub title: String,
    /// For subjects: how bad and how far, what, since when or for how long. Empty: an older version has written it.
    pub headline: String,
    /// The first line: what fails, since when, how bad, for whom.
    pub lead: String,
    /// Names and values, the most important first.
    pub facts: Vec<(String, String)>,
    /// The rest, in the order in which it is read.
    pub sections: Vec<Section>,
    /// What a click does.
    pub ways: Ways,
    /// Is what it is about well, as far as it is seen: over, or good again and still watched? `None`: an older version has written it.
    pub well: Option<bool>,
}

impl Brief {
    /// How to take it, while there is something to take.
    pub fn take(&self) -> Option<&Section> {
        self.sections.iter().find(|section| section.part == Part::Acknowledge)
    }

    /// The sections as one reads them who has to act: how to take it comes before what only explains.
    pub fn in_order(&self) -> impl Iterator<Item = &Section> {
        let rest = self.sections.iter().filter(|section| section.part != Part::Acknowledge);
        self.take().into_iter().chain(rest)
    }

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

fn filled(all: impl Iterator<Item = (Part, Vec<String>, Option<String>)>) -> Vec<Section> {
    all.filter(|(_, lines, command)| !lines.is_empty() || command.is_some())
        .map(|(part, lines, command)| Section { part, lines, command })
        .collect()
}

/// What is the matter, as people say it: machines have the name of the sidecar that measured them, percentiles are numbers of requests,
/// and a share that was so when it was found is no title.
fn title(incident: &Incident, scene: &Scene) -> String {
    let title = percent(&line(&incident.title));
    if title.is_empty() {
        return format!("{} of {}", incident.key.rule.label(), incident.key.service);
    }
    let said = match incident.key.rule {
        Rule::Resource if !scene.member.is_empty() => Some(format!("{title} on {}", line(&scene.member))),
        Rule::ErrorRate => failing(&title),
        Rule::Latency => slow(&title),
        Rule::NetworkDown
        | Rule::ServiceDown
        | Rule::Breaker
        | Rule::PaymentFailure
        | Rule::Resource
        | Rule::DeclineRate
        | Rule::Reported
        | Rule::Manual
        | Rule::Unknown => None,
    };
    said.unwrap_or(title)
}

/// Of `15.00 % of search replies fail`.
fn failing(title: &str) -> Option<String> {
    let (share, route) = title.strip_suffix(" replies fail")?.split_once(" % of ")?;
    share.parse::<f64>().is_ok().then(|| format!("some requests of {route} fail"))
}

/// Of `p95 of checkout is over 3000 ms`.
fn slow(title: &str) -> Option<String> {
    let (which, rest) = title.split_once(" of ")?;
    let which = match which {
        "p50" => "half of the requests",
        "p95" => "1 in 20 requests",
        "p99" => "1 in 100 requests",
        _ => return None,
    };
    let (route, limit) = rest.split_once(" is over ")?;
    let millis = limit.strip_suffix(" ms").and_then(|limit| limit.parse().ok());
    let limit =
        millis.map_or_else(|| limit.to_owned(), |ms| words::took(std::time::Duration::from_millis(ms)));
    let verb = if which.starts_with("half") { "take" } else { "takes" };
    Some(format!("{which} of {route} {verb} longer than {limit}"))
}

/// What has become part of another incident goes on there.
fn is_well(incident: &Incident) -> bool {
    match incident.state {
        State::Monitoring | State::Resolved | State::Reviewed => true,
        State::Cleared => incident.part_of().is_none(),
        State::Suspected | State::Open | State::Acknowledged | State::Mitigating => false,
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

/// Since when nothing has been seen of what a live one is about.
fn unseen(incident: &Incident) -> Option<At> {
    incident.unseen_since.filter(|_| incident.state.is_live())
}

/// Contacts as people speak of them.
pub fn contacts(names: &[String]) -> String {
    words::list(&names.iter().map(|name| words::person(name)).collect::<Vec<_>>())
}

/// What a severity means.
fn meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical, the most serious of four levels",
        Severity::High => "high, the second of four levels",
        Severity::Medium => "medium, the third of four levels",
        Severity::Low => "low, the least serious of four levels: it can wait",
    }
}

#[cfg(test)]
mod tests;
