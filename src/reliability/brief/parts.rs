//! What a message is made of.

use serde::{Deserialize, Serialize};

use crate::reliability::escalation::{Ahead, CallCause};
use crate::reliability::incident::{Incident, State};

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
    pub(super) fn calls_again(&self, incident: &Incident) -> bool {
        self.call == Some(CallCause::Again) && incident.state == State::Open
    }
}

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What was seen; to stakeholders: what it means.
    Evidence,
    /// What the checks of runbooks have found.
    Runbook,
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
            (Self::Runbook, _) => "What the runbook's checks found",
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
            Self::Runbook => "runbook",
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
}

/// The sections that have something to say.
pub(super) fn filled(all: impl Iterator<Item = (Part, Vec<String>, Option<String>)>) -> Vec<Section> {
    all.filter(|(_, lines, command)| !lines.is_empty() || command.is_some())
        .map(|(part, lines, command)| Section { part, lines, command })
        .collect()
}
