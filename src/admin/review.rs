//! How the human part of a post-incident review is written and shown.

use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::contract::moment::when;
use super::error::ApiError;
use super::request;
use crate::control::OrderedBy;
use crate::reliability::incident::{ActionItem, Review};

/// Something to be done.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct ActionOrder {
    /// What is to be done; required.
    what: Option<String>,
    /// Who does it; required.
    owner: Option<String>,
    /// By when: a day, or RFC 3339; required.
    due: Option<String>,
}

/// What was learnt. All of it is required.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReviewOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Technical factors: what failed.
    technical: Option<String>,
    /// Process factors: which process let it.
    process: Option<String>,
    /// Human factors: what people knew and assumed.
    human: Option<String>,
    /// What is to be done so that it does not come again; at least one.
    actions: Vec<ActionOrder>,
}

impl ReviewOrder {
    /// Who, and what was learnt. Whether it is complete is the incident's to say, but for a due date: it has no empty form.
    pub(super) fn read(self) -> Result<(OrderedBy, Review), ApiError> {
        let actions = self.actions.into_iter().enumerate().map(|(at, item)| {
            let due = request::day(&format!("actions[{at}].due"), &item.due.unwrap_or_default())?;
            Ok(ActionItem { what: item.what.unwrap_or_default(), owner: item.owner.unwrap_or_default(), due })
        });
        let review = Review {
            technical: self.technical.unwrap_or_default(),
            process: self.process.unwrap_or_default(),
            human: self.human.unwrap_or_default(),
            actions: actions.collect::<Result<_, ApiError>>()?,
        };
        Ok((request::who(self.actor), review))
    }
}

/// Something to be done.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ActionView {
    what: String,
    owner: String,
    due: String,
}

/// What was learnt from an incident.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ReviewView {
    /// What failed, technically.
    technical: String,
    /// Which process let it.
    process: String,
    /// What people knew and assumed.
    human: String,
    /// What is to be done.
    actions: Vec<ActionView>,
}

impl ReviewView {
    pub(super) fn of(review: &Review) -> Self {
        let action = |item: &ActionItem| ActionView {
            what: item.what.clone(),
            owner: item.owner.clone(),
            due: when(item.due),
        };
        Self {
            technical: review.technical.clone(),
            process: review.process.clone(),
            human: review.human.clone(),
            actions: review.actions.iter().map(action).collect(),
        }
    }
}
