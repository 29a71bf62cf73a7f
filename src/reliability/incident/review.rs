//! What was learnt: a review is complete when causes and action items are named.

use serde::{Deserialize, Serialize};

use crate::units::At;

/// What is to be done so that it does not come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionItem {
    /// What is to be done, in a sentence.
    pub what: String,
    /// The person or team that is to do it.
    pub owner: String,
    /// The moment by which it is to be done.
    pub due: At,
}

/// The human part of a post-incident review; the rest is generated from the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Review {
    /// What failed, technically; empty: not written yet.
    pub technical: String,
    /// Which process let it.
    pub process: String,
    /// What people knew and assumed.
    pub human: String,
    /// What is to be done.
    pub actions: Vec<ActionItem>,
}

impl Review {
    /// Bytes of its texts.
    pub fn size(&self) -> usize {
        let items =
            self.actions.iter().map(|item| item.what.len() + item.owner.len() + size_of::<ActionItem>());
        self.technical.len() + self.process.len() + self.human.len() + items.sum::<usize>()
    }

    /// What is still to be filled in; empty: it is complete.
    pub fn missing(&self) -> Vec<&'static str> {
        let blank = |text: &str| text.trim().is_empty();
        let mut missing: Vec<_> =
            [("technical", &self.technical), ("process", &self.process), ("human", &self.human)]
                .into_iter()
                .filter(|(_, text)| blank(text))
                .map(|(name, _)| name)
                .collect();
        if self.actions.is_empty() || self.actions.iter().any(|item| blank(&item.what) || blank(&item.owner))
        {
            missing.push("actions");
        }
        missing
    }
}
