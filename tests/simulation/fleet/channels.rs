//! Ways to tell people, and what is the matter with them: away, slow, too busy, broken, or telling nobody that it went well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strop::names::IncidentId;
use strop::reliability::delivery::NotificationId;
use strop::reliability::delivery::{AttemptResult, Matter, Remaining, Whose};

use super::letters::Letter;
use crate::dice::Dice;

pub const NAMES: [&str; 3] = ["pager", "chat", "manager"];
/// Channels on which whatever is told wakes somebody; they know incidents by their key.
pub const PAGERS: [&str; 1] = ["pager"];
/// Forgets what it is not told again (as Alertmanager does).
pub const FORGETS: &str = "manager";
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    Away,
    /// Answers after seconds.
    Slow,
    /// 429, with so many seconds to wait.
    Busy(u64),
    /// 503.
    Broken,
    /// 400: it never wants it.
    Refuses,
    /// Takes it, and its answer is lost.
    Mute,
}

#[derive(Debug)]
pub struct Channels {
    moods: [Mood; 3],
    /// What has arrived somewhere.
    pub ids: BTreeSet<NotificationId>,
    /// Channels and incidents, by their line there: whoever was called, first …
    pub called: Told,
    /// … and who heard that it is over, last.
    pub ended: Told,
    took: u64,
}

/// By channel, line and incident: the how manieth message of all it was.
pub type Told = BTreeMap<(String, String, IncidentId), u64>;

impl Channels {
    pub fn new() -> Self {
        Self {
            moods: [Mood::Well; 3],
            ids: BTreeSet::new(),
            called: Told::new(),
            ended: Told::new(),
            took: 0,
        }
    }

    pub fn weather(&mut self, dice: &mut Dice) {
        for mood in &mut self.moods {
            if dice.chance(0.02) {
                let all = [
                    Mood::Well,
                    Mood::Well,
                    Mood::Well,
                    Mood::Away,
                    Mood::Slow,
                    Mood::Busy(dice.below(90)),
                    Mood::Broken,
                    Mood::Refuses,
                    Mood::Mute,
                ];
                *mood = dice.one_of(&all);
            }
        }
    }

    pub fn heal(&mut self) {
        self.moods = [Mood::Well; 3];
    }

    /// One attempt: what the sender hears of it, and after how many milliseconds.
    pub fn attempt(&mut self, letter: &Letter, dice: &mut Dice) -> (AttemptResult, u64) {
        let at = NAMES.iter().position(|name| *name == letter.channel).expect("a channel");
        let soon = 20 + dice.below(200);
        let failed = |retry_after: Option<u64>| AttemptResult::Failed {
            whose: Whose::Channel,
            retry_after: retry_after.map(Duration::from_secs),
            retry_within: None,
        };
        match self.moods[at] {
            Mood::Well => (self.take(letter), soon),
            Mood::Slow => (self.take(letter), 1_000 + dice.below(8_000)),
            Mood::Away => (failed(None), if dice.chance(0.5) { soon } else { 10_000 }),
            Mood::Busy(seconds) => (failed(Some(seconds)), soon),
            Mood::Broken => (failed(None), soon),
            Mood::Refuses => (AttemptResult::Refused, soon),
            Mood::Mute => {
                let _ = self.take(letter);
                (failed(None), 10_000)
            }
        }
    }

    fn take(&mut self, letter: &Letter) -> AttemptResult {
        self.ids.insert(letter.id.clone());
        self.took += 1;
        let told = || (letter.channel.clone(), letter.line().to_owned(), letter.incident.clone());
        match letter.matter {
            Matter::Call => drop(self.called.entry(told()).or_insert(self.took)),
            Matter::Over => drop(self.ended.insert(told(), self.took)),
            Matter::Taken | Matter::Update => {}
        }
        let again_in = (letter.channel == FORGETS && letter.matter == Matter::Call).then_some(AGAIN);
        AttemptResult::Delivered { again_in, left: Remaining::Nobody }
    }
}
