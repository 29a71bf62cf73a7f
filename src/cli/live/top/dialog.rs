//! An order about a breaker, from the key to the confirmation: how long, why, and is it meant?

use serde_json::{Value, json};

/// What is to be done with a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerAct {
    Hold,
    Close,
    Release,
}

impl BreakerAct {
    pub(super) fn question(self) -> &'static str {
        match self {
            Self::Hold => "Hold open (nothing is sent to it)",
            Self::Close => "Close by way of its probes",
            Self::Release => "Release (the evidence rules again)",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Hold => "open",
            Self::Close => "close",
            Self::Release => "release",
        }
    }
}

/// What is asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Lasts,
    Reason,
    /// y, or not.
    Meant,
}

/// An order that is being put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialog {
    pub(super) act: BreakerAct,
    /// The breaker, by its name in the API.
    pub(super) breaker: String,
    pub(super) lasts: String,
    pub(super) reason: String,
    pub(super) asked: Question,
}

/// An order that is meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GivenOrder {
    /// Below `/api/v2/sre/`.
    pub(super) path: String,
    /// Without the actor.
    pub(super) body: Value,
}

/// What a key brings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DialogStep {
    Stay,
    Given(GivenOrder),
}

/// As long as a reason may be, in characters; see the API's own bound.
const LONGEST: usize = 200;

impl Dialog {
    pub(super) fn new(act: BreakerAct, breaker: String) -> Self {
        let asked = if act == BreakerAct::Hold { Question::Lasts } else { Question::Reason };
        Self { act, breaker, lasts: "10m".to_owned(), reason: String::new(), asked }
    }

    /// Is there something to be said of how long?
    pub(super) fn has_time(&self) -> bool {
        self.act == BreakerAct::Hold
    }

    /// The text that is being written.
    fn text(&mut self) -> Option<&mut String> {
        match self.asked {
            Question::Lasts => Some(&mut self.lasts),
            Question::Reason => Some(&mut self.reason),
            Question::Meant => None,
        }
    }

    pub(super) fn letter(&mut self, letter: char) -> DialogStep {
        match self.text() {
            Some(text) if text.chars().count() < LONGEST && !letter.is_control() => text.push(letter),
            None if letter == 'y' => return DialogStep::Given(self.order()),
            Some(_) | None => {}
        }
        DialogStep::Stay
    }

    pub(super) fn rub_out(&mut self) {
        if let Some(text) = self.text() {
            text.pop();
        }
    }

    /// To what is asked next, once there is an answer.
    pub(super) fn enter(&mut self) {
        self.asked = match self.asked {
            Question::Lasts if !self.lasts.trim().is_empty() => Question::Reason,
            Question::Reason if !self.reason.trim().is_empty() => Question::Meant,
            asked @ (Question::Lasts | Question::Reason | Question::Meant) => asked,
        };
    }

    fn order(&self) -> GivenOrder {
        let mut body = json!({ "reason": self.reason.trim() });
        if self.has_time() {
            body["ttl"] = self.lasts.trim().into();
        }
        GivenOrder { path: format!("circuit-breakers/{}/{}", self.breaker, self.act.path()), body }
    }
}
